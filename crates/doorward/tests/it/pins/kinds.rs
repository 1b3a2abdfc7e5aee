//! Pins of prompts, templates and instructions; new definitions; and what operators are told.

use super::rugs;
use super::world::{Changing, FIRST, World, hashes, tools_of};
use crate::support::client::Modern;
use crate::support::hostile::Era;
use crate::support::services::postgres;
use crate::support::{folder, store_in, told, wait_for};
use serde_json::{Value, json};

fn instructions(client: &Modern) -> Value {
    client.ask("server/discover", json!({})).json()["result"]["instructions"].clone()
}

#[test]
fn prompts_templates_and_instructions_are_pinned_like_tools() {
    for era in [Era::Modern, Era::Handshake] {
        let changing = Changing::start(era);
        let world = World::new();
        let gateway = world.start(&changing.server.url());
        gateway.accept_all();
        wait_for("all is served", || {
            gateway.names("resourceTemplates") == ["page:{name}"]
                && instructions(&gateway.client).to_string().contains("Be kind.")
        });
        let read = |uri: &str| {
            let said = gateway.client.ask("resources/read", json!({ "uri": uri })).json();
            said["result"]["contents"][0]["text"] == "a page"
        };
        assert!(read("page:other") && read("page:home"), "{era:?}");

        changing.change(|said| said.prompts = said.prompts.replace("Asks.", "Asks. Obey."));
        changing.tell(era, "prompts");
        wait_for("the prompt is withheld", || gateway.names("prompts").is_empty());
        let asked = gateway.client.ask("prompts/get", json!({ "name": "ask" }));
        assert!(asked.code() != 0, "{era:?}: {}", asked.body);

        changing.change(|said| said.templates = said.templates.replace("A page.", "A page. Obey."));
        changing.tell(era, "resources");
        wait_for("the template is withheld", || gateway.names("resourceTemplates").is_empty());
        // A URI that only the withheld template matches cannot be read; a listed resource can.
        assert!(!read("page:other"), "{era:?}");
        assert!(read("page:home"), "{era:?}");
        let kinds = |drift: &[Value]| {
            let mut kinds: Vec<_> = drift.iter().map(|it| it["kind"].to_string()).collect();
            kinds.sort();
            kinds.join(" ")
        };
        assert_eq!(kinds(&gateway.drift()), r#""prompt" "template""#);
        drop(gateway);

        changing.forget();
        changing.change(|said| said.instructions = "Obey.".into());
        let gateway = world.start(&changing.server.url());
        wait_for("the change of the instructions is seen", || {
            gateway.drift().iter().any(|it| it["kind"] == "instructions")
        });
        // Clients get the approved instructions.
        let told = instructions(&gateway.client).to_string();
        assert!(told.contains("Be kind.") && !told.contains("Obey"), "{era:?}: {told}");
        assert_eq!(gateway.decide("accept", &hashes(&gateway.drift())), 200);
        wait_for("all is served", || {
            gateway.names("prompts") == ["ask"]
                && gateway.names("resourceTemplates") == ["page:{name}"]
                && instructions(&gateway.client).to_string().contains("Obey.")
        });
        assert_eq!(gateway.tools(), ["get", "other"]);
    }
}

/// A server with one additional tool.
fn with_a_new_tool() -> String {
    tools_of(&format!("{FIRST},{}", FIRST.replace(r#""name":"get""#, r#""name":"fetch""#)))
}

#[test]
fn what_is_new_is_held_or_served_as_settings_say() {
    for (on_new, first, later) in [
        ("hold", &[][..], &[][..]),
        ("first", &["get", "other"][..], &["get", "other"][..]),
        ("serve", &["get", "other"][..], &["fetch", "get", "other"][..]),
    ] {
        let changing = Changing::start(Era::Modern);
        let world = World::new();
        let servers = format!(
            "servers:\n  s: {{url: \"{}\", pins: {{mode: \"on\", on_new: {on_new}}}}}",
            changing.server.url()
        );
        let gateway = world.start_with(&servers);
        let sorted = || {
            let mut names = gateway.tools();
            names.sort();
            names
        };
        wait_for("the first list is judged", || {
            sorted() == first && (on_new != "hold" || gateway.drift().len() == 5)
        });
        changing.change(|said| said.tools = with_a_new_tool());
        changing.tell(Era::Modern, "tools");
        wait_for("the new tool is judged", || {
            sorted() == later && (on_new == "serve" || !gateway.drift_of("fetch").is_empty())
        });
        assert_eq!(gateway.calls("fetch"), on_new == "serve", "{on_new}");
        if on_new != "hold" {
            // Changed definitions are withheld in any case.
            changing.say(&rugs().remove(0).1);
            changing.tell(Era::Modern, "tools");
            gateway.withheld_alone(on_new);
        }
    }
}

#[test]
fn operators_are_told_what_is_withheld_and_decide_on_the_command_line() {
    for in_postgres in [false, true] {
        let changing = Changing::start(Era::Modern);
        let folder = folder();
        let database = in_postgres.then(|| postgres(folder.path()));
        let store = match &database {
            Some((_, store)) => store.clone(),
            None => store_in(folder.path()),
        };
        let world = World::on(folder, store);
        let gateway = world.start(&changing.server.url());
        gateway.accept_all();
        assert_eq!(gateway.metric("doorward_definitions_withheld").as_deref(), Some("0"));
        changing.say(&rugs().remove(1).1);
        changing.tell(Era::Modern, "tools");
        gateway.withheld_alone("told");
        assert_eq!(gateway.metric("doorward_definitions_withheld").as_deref(), Some("1"));
        let events = told(
            &world.store,
            &["audit", "search", "--json", "--class", "events", "--limit", "500"],
        );
        let mut drifts = events.lines().filter(|line| line.contains("definition.drift"));
        assert!(drifts.next_back().unwrap().contains(r#""name":"get""#), "{events}");

        let at =
            ["--admin-url", &format!("http://{}", gateway.gateway.admin), "--key", &world.admin];
        let run = |words: &[&str]| {
            let all: Vec<&str> = words.iter().chain(&at).copied().collect();
            let done = crate::support::doorward().args(&all).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            String::from_utf8(done.stdout).unwrap()
        };
        let shown = run(&["servers", "diff", "s"]);
        assert!(
            shown.contains("tool get (modern)")
                && shown.contains("differs from what was approved")
                && shown.contains("/description: Gets a ")
                && shown.contains("{+")
                && shown.contains(r"\u{200b}"),
            "{shown}"
        );
        let hash = shown.split_once("(modern) ").unwrap().1;
        let hash = hash.split_once(':').unwrap().0.to_owned();
        let refused = run(&["servers", "refuse", "s", &hash]);
        assert_eq!(refused, "s: 1 decided on, 1 withheld\n");
        assert!(run(&["servers", "diff", "s"]).contains("was refused by"));
        let accepted = run(&["servers", "accept", "s", &hash[..8]]);
        assert_eq!(accepted, "s: 1 decided on, 0 withheld\n");
        wait_for("it is served", || gateway.tools() == ["get", "other"]);
        assert_eq!(run(&["servers", "diff", "s"]), "s: nothing is withheld\n");
        told(&world.store, &["audit", "verify", "--trust-database"]);
    }
}
