//! Accounts of users at servers.

use serde_json::{Value, json};

use super::world::{World, all};

const MORE: &str = "store_key: 0123456789abcdef0123456789abcdef\n";

fn start() -> World {
    let world = World::start_with(MORE);
    let folder = world.gateway.folder.path();
    let file = folder.join("doorward.yaml");
    let config = std::fs::read_to_string(&file).unwrap();
    let config = config.replace(
        "  blue: {sample: true}\n",
        "  blue: {sample: true}\n  notes: {url: 'http://127.0.0.1:9/mcp', personal: {required: true}}\n  \
         calendar: {url: 'http://127.0.0.1:9/mcp', delegated: {issuer: 'http://127.0.0.1:9', same_host: true}}\n",
    );
    std::fs::write(&file, config).unwrap();
    let policies = folder.join("policies");
    std::fs::write(
        policies.join("more.cedar"),
        "permit (principal in Tenant::\"acme\", action in Action::\"use\", resource in Server::\"notes\");\n\
         permit (principal in Tenant::\"acme\", action in Action::\"use\", resource in Server::\"calendar\");\n",
    )
    .unwrap();
    world.gateway.told(&["policy", "apply", policies.to_str().unwrap()]);
    world.gateway.signal(nix::sys::signal::Signal::SIGHUP);
    crate::support::wait_for("the servers are there", || {
        world.items(&world.alice, "/accounts").len() == 2
    });
    world
}

#[test]
fn somebody_connects_and_disconnects_accounts_of_their_own_alone() {
    let world = start();
    let accounts = world.items(&world.alice, "/accounts");
    assert_eq!(all(&accounts, "server"), ["calendar", "notes"]);
    assert_eq!(all(&accounts, "way"), ["consent", "credential"]);
    assert!(accounts.iter().all(|it| it["connected"] == false), "{accounts:?}");
    assert!(world.items(&world.bob, "/accounts").is_empty());

    let (status, stored) =
        world.ask(&world.alice, "PUT", "/accounts/notes", &json!({ "value": "s3cret-of-alice" }));
    assert_eq!((status, &stored["connected"]), (200, &json!(true)), "{stored}");
    let listed = json!(world.items(&world.alice, "/accounts")).to_string();
    assert!(!listed.contains("s3cret"), "{listed}");
    assert_eq!(world.items(&world.alice, "/accounts")[1]["connected"], true);
    for wrong in [json!({ "value": "" }), json!({ "value": "a\nb" }), json!({})] {
        assert_eq!(world.ask(&world.alice, "PUT", "/accounts/notes", &wrong).0, 400, "{wrong}");
    }
    // Each in its own way.
    let value = json!({ "value": "x" });
    assert_eq!(world.ask(&world.alice, "PUT", "/accounts/calendar", &value).0, 409);
    assert_eq!(world.ask(&world.alice, "PUT", "/accounts/blue", &value).0, 409);
    assert_eq!(world.ask(&world.alice, "POST", "/accounts/notes/connect", &json!({})).0, 409);
    let (status, link) = world.ask(&world.alice, "POST", "/accounts/calendar/connect", &json!({}));
    assert_eq!(status, 200, "{link}");
    let url = link["url"].as_str().unwrap();
    assert!(url.contains("/oauth/connect?request="), "{url}");
    let own = world.gateway.url("");
    assert!(url.starts_with(own.trim_end_matches('/')), "{url} {own}");

    // Another's is neither used nor removed.
    assert_eq!(world.ask(&world.bob, "DELETE", "/accounts/notes", &Value::Null).0, 404);
    assert_eq!(world.items(&world.alice, "/accounts")[1]["connected"], true);
    assert_eq!(world.ask(&world.alice, "DELETE", "/accounts/notes", &Value::Null).0, 200);
    assert_eq!(world.items(&world.alice, "/accounts")[1]["connected"], false);
    assert_eq!(world.ask(&world.alice, "DELETE", "/accounts/notes", &Value::Null).0, 404);
    // What a tenant provides is said, and is not the user's to remove.
    world.administer("PUT", "/credentials/notes/tenant/acme", &json!({ "secret": "of-all" }));
    let notes = world.items(&world.alice, "/accounts")[1].clone();
    assert_eq!((&notes["connected"], &notes["shared_by"]), (&json!(false), &json!("tenant")));
    assert_eq!(world.ask(&world.alice, "DELETE", "/accounts/notes", &Value::Null).0, 404);
    let records =
        world.gateway.told(&["audit", "search", "--class", "acts", "--json", "--limit", "100"]);
    assert!(records.contains("credential.put") && !records.contains("s3cret"), "{records}");
}
