//! External checks of definitions: asked once for each, and again when one or the checks change, or when a check failed.

use serde_json::{Value, json};

use super::{Checker, allow, answer};
use crate::pins::world::{Changing, FIRST, Said, World, hashes};
use crate::support::client::Modern;
use crate::support::hostile::Era;
use crate::support::{Gateway, wait_for};

const BAD: &str = "Gets a page, badly.";

fn bad() -> String {
    FIRST.replace("Gets a page.", BAD)
}

/// A check that does not allow what has `badly` in it.
fn strict(action: &'static str) -> Checker {
    Checker::saying(move |asked| {
        let is_bad = asked["definition"].to_string().contains("badly");
        if is_bad { json!({ "action": action, "reason": "It is bad" }) } else { allow() }
    })
}

fn config(changing: &Changing, checks: &Value) -> String {
    format!("checks: {checks}\nservers:\n  s: {{url: \"{}\"}}\n", changing.server.url())
}

fn checks(checker: &Checker, more: &Value) -> Value {
    let mut check = checker.check(more);
    check["when"] = json!(["definition"]);
    check["breaker"] = json!({ "off": true });
    json!({ "review": check })
}

fn names(client: &Modern, list: &str) -> Vec<String> {
    let listed = client.ask(&format!("{list}/list"), json!({})).json();
    let all = listed["result"][list].as_array().cloned().unwrap_or_default();
    all.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

fn instructions(client: &Modern) -> Value {
    client.ask("server/discover", json!({})).result()["instructions"].clone()
}

fn reload(gateway: &Gateway, config: &str) {
    std::fs::write(&gateway.config, config).unwrap();
    gateway.signal(nix::sys::signal::Signal::SIGHUP);
}

/// How often the check was asked about a kind of definition.
fn times(checker: &Checker, kind: &str, name: Option<&str>) -> usize {
    let asked = checker.asked();
    let is_about =
        |asked: &Value| asked["type"] == kind && name.is_none_or(|name| asked["name"] == name);
    asked.iter().filter(|request| is_about(&request.json())).count()
}

#[test]
fn what_a_check_refuses_is_not_served_and_asked_about_once() {
    for era in [Era::Modern, Era::Handshake] {
        let mut said = Said::new(&bad());
        said.prompts = r#"[{"name":"ask","description":"Asks badly."}]"#.into();
        said.instructions = "Be kind.".into();
        let changing = Changing::saying(era, said);
        let checker = strict("refuse");
        let gateway = Gateway::start(&config(&changing, &checks(&checker, &json!({}))));
        let client = Modern::new(&gateway, "/mcp/s");
        assert_eq!(names(&client, "tools"), ["other"], "{era:?}");
        assert_eq!(names(&Modern::new(&gateway, "/mcp"), "tools"), ["s__other"], "{era:?}");
        assert!(names(&client, "prompts").is_empty(), "{era:?}");
        assert!(client.call("get", json!({ "url": "u" })).code() != 0, "{era:?}");
        assert!(changing.called.lock().unwrap().is_empty(), "{era:?}");
        assert_eq!(instructions(&client), "Be kind.", "{era:?}");
        assert_eq!(times(&checker, "tool", Some("get")), 1, "{era:?}: {:?}", checker.asked());
        assert_eq!(times(&checker, "instructions", None), 1, "{era:?}");
        let asked: Vec<_> = checker.asked().iter().map(super::Request::json).collect();
        let of_tool = asked.iter().find(|asked| asked["name"] == "get").unwrap();
        assert_eq!(
            (&of_tool["when"], &of_tool["server"], &of_tool["definition"]["description"]),
            (&json!("definition"), &json!("s"), &json!(BAD)),
        );
        assert!(of_tool["digest"].as_str().unwrap().starts_with("sha256:"), "{of_tool}");
        assert!(of_tool.get("call").is_none() && of_tool.get("arguments").is_none(), "{of_tool}");
        // Operators see why, in the status, metrics and the audit log.
        let why = gateway.states()[0]["left_out"][0]["why"].as_str().unwrap().to_owned();
        assert_eq!(why, "the check 'review' refuses it: It is bad", "{era:?}");
        assert_eq!(gateway.metric("doorward_definitions_withheld"), 2.0, "{era:?}");
        let search = ["audit", "search", "--json", "--text", "definition.checked"];
        wait_for("it is recorded", || gateway.told(&search).lines().count() == 2);
        let event = gateway.told(&search);
        assert!(
            event.contains("\"action\":\"refuse\"") && event.contains("sent_sha256"),
            "{event}"
        );

        // Another definition is asked about, and served or not as the check says.
        changing.say(FIRST);
        changing.tell(era, "tools");
        wait_for("it is served", || names(&client, "tools") == ["get", "other"]);
        changing.say(&bad());
        changing.tell(era, "tools");
        wait_for("it is gone", || names(&client, "tools") == ["other"]);
        // What was said about it is known; and of the other, nothing has changed.
        assert_eq!(times(&checker, "tool", Some("get")), 2, "{era:?}");
        assert_eq!(times(&checker, "tool", Some("other")), 1, "{era:?}");
    }
}

#[test]
fn instructions_that_a_check_refuses_are_not_passed_on() {
    let mut said = Said::new(FIRST);
    said.instructions = "Behave badly.".into();
    let changing = Changing::saying(Era::Modern, said);
    let checker = strict("refuse");
    let gateway = Gateway::start(&config(&changing, &checks(&checker, &json!({}))));
    let client = Modern::new(&gateway, "/mcp/s");
    assert_eq!(names(&client, "tools"), ["get", "other"]);
    assert!(instructions(&client).is_null(), "{}", instructions(&client));
    // Checks that are taken out of the settings withhold nothing, and new ones are asked about everything again.
    reload(&gateway, &config(&changing, &json!({})));
    wait_for("they are passed on", || instructions(&client) == "Behave badly.");
    let asked = times(&checker, "instructions", None);
    let targets = json!({ "targets": ["s/get", "t/*"], "order": 2 });
    reload(&gateway, &config(&changing, &checks(&checker, &targets)));
    wait_for("they are withheld again", || instructions(&client).is_null());
    // Until the check has been asked, they are withheld as well.
    wait_for("they are asked about", || times(&checker, "instructions", None) == asked + 1);
    assert_eq!(times(&checker, "tool", Some("other")), 1, "it is not among the targets now");
}

/// Without pins, what a check holds is served once the settings accept its digest.
#[test]
fn what_a_check_holds_is_served_once_settings_accept_its_digest() {
    let changing = Changing::saying(Era::Modern, Said::new(&bad()));
    let checker = strict("hold");
    let checks = checks(&checker, &json!({}));
    let gateway = Gateway::start(&config(&changing, &checks));
    let client = Modern::new(&gateway, "/mcp/s");
    assert_eq!(names(&client, "tools"), ["other"]);
    let why = gateway.states()[0]["left_out"][0]["why"].as_str().unwrap().to_owned();
    let digest = why.split("digest ").nth(1).unwrap();
    let accepted = format!("inspection: {{definitions: {{accepted: [\"{digest}\"]}}}}\n");
    reload(&gateway, &(accepted + &config(&changing, &checks)));
    wait_for("it is served", || names(&client, "tools") == ["get", "other"]);
    assert_eq!(times(&checker, "tool", Some("get")), 1);
}

/// With pins, what a check holds is served once somebody accepts it.
#[test]
fn what_a_check_holds_is_served_once_somebody_accepts_it() {
    let changing = Changing::saying(Era::Modern, Said::new(&bad()));
    let checker = strict("hold");
    let world = World::new();
    let door = world.start_with(&format!(
        "pins: {{mode: \"on\", on_new: serve}}\n{}",
        config(&changing, &checks(&checker, &json!({})))
    ));
    wait_for("it waits", || !door.drift_of("get").is_empty());
    wait_for("the other is served", || door.tools() == ["other"]);
    assert!(!door.calls("get"));
    let why = door.drift_of("get");
    assert_eq!(why.len(), 1, "{why:?}");
    assert_eq!(door.decide("accept", &hashes(&why)), 200);
    wait_for("it is served", || door.tools() == ["get", "other"]);
    assert!(door.calls("get"));
}

#[test]
fn a_check_that_fails_withholds_or_serves_as_its_settings_say_and_is_asked_again() {
    for (on_failure, served) in [("refuse", &[][..]), ("allow", &["get", "other"][..])] {
        let changing = Changing::saying(Era::Modern, Said::new(&bad()));
        let checker = Checker::start(|_, _| {});
        let settings = checks(&checker, &json!({ "on_failure": on_failure, "timeout": "500ms" }));
        let gateway = Gateway::start(&config(&changing, &settings));
        let client = Modern::new(&gateway, "/mcp/s");
        assert_eq!(names(&client, "tools"), served, "{on_failure}");
        let failures = "doorward_check_failures_total{check=\"review\",kind=\"stream_ended\"}";
        assert!(gateway.metric(failures) > 0.0, "{on_failure}");
        // A change of a definition is no answer about it.
        checker.behave(|_, stream| {
            answer(stream, &json!({ "action": "change", "patch": { "description": "x" } }));
        });
        let invalid = "doorward_check_failures_total{check=\"review\",kind=\"invalid_answer\"}";
        wait_for("it is asked again", || gateway.metric(invalid) > 0.0);
        assert_eq!(names(&client, "tools"), served, "{on_failure}");
        checker.behave(|request, stream| {
            let is_bad = request.body.contains("badly");
            answer(stream, &if is_bad { json!({ "action": "refuse" }) } else { allow() });
        });
        wait_for("its answer counts", || names(&client, "tools") == ["other"]);
    }
}
