//! The page on which people decide.

use super::world::{HOLD, World, id_of, url};
use crate::support::client::send;
use crate::support::login::{Browser, sealed};
use serde_json::json;

#[test]
fn it_shows_what_is_approved_and_nothing_to_others() {
    let world = World::new(HOLD);
    let gateway = world.start();
    let ann = world.client(&gateway, &["--user", "ann"]);
    let dana = world.lead();
    let bob = world.key(&["--user", "bob"]);
    let agent = world.key(&["--agent", "robot", "--role", "lead"]);
    let arguments = json!({ "url": "<script>\u{200b}\"x\"", "password": "hunter2" });
    let id = id_of(&ann.call("get", arguments.clone()));
    let page = world.page(&gateway, &dana, &id);
    for part in ["ann", "get", "Getting needs a lead", "&lt;script&gt;\\u{200b}", "[masked]"] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    assert!(!page.body.contains("hunter2") && !page.body.contains("<script"), "{}", page.body);
    let policy = page.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part) && !policy.contains("unsafe"), "{policy}");
    }
    for (name, value) in [("x-frame-options", "DENY"), ("cache-control", "no-store")] {
        assert_eq!(page.header(name), Some(value));
    }
    // Whoever may not decide is told the same as of what does not exist.
    let unknown = "0123456789abcdef0123456789abcdef";
    for key in [&bob, &agent] {
        let (hidden, absent) = (world.page(&gateway, key, &id), world.page(&gateway, key, unknown));
        assert_eq!((hidden.status, absent.status), (404, 404));
        assert_eq!(hidden.body.replace(&id, unknown), absent.body);
    }
    // Nor does a form of their own help.
    let path = format!("/approvals/{id}");
    let mut dana_browser = world.browser(&gateway, &dana, &id);
    let form = sealed(&dana_browser.get(&gateway, &path).body);
    let fields = [("request", &*form), ("decision", "approve")];
    let mut bob_browser = world.browser(&gateway, &bob, &id);
    assert_eq!(bob_browser.post(&gateway, &path, &fields, &[]).status, 400);
    assert_eq!(Browser::default().post(&gateway, &path, &fields, &[]).status, 400);
    // The caller sees the state, and has no vote.
    let own = world.key(&["--user", "ann", "--role", "lead"]);
    let mut ann_browser = world.browser(&gateway, &own, &id);
    let shown = ann_browser.get(&gateway, &path);
    assert!(shown.body.contains("waits for its approvers"), "{}", shown.body);
    assert_eq!(ann_browser.post(&gateway, &path, &fields, &[]).status, 400);
    // A form of another site, of another approval, or with its fields twice.
    let other = id_of(&ann.call("get", url("b")));
    for (path, more) in [
        (path.clone(), vec![("origin", "https://evil.example")]),
        (path.clone(), vec![("sec-fetch-site", "cross-site")]),
        (format!("/approvals/{other}"), vec![]),
    ] {
        let answer = dana_browser.post(&gateway, &path, &fields, &more);
        assert!(matches!(answer.status, 400 | 403), "{}", answer.body);
    }
    let twice = [("request", &*form), ("decision", "approve"), ("decision", "refuse")];
    assert_eq!(dana_browser.post(&gateway, &path, &twice, &[]).status, 400);
    assert!(ann.call("get", arguments.clone()).json().get("result").is_none());
    // A double click is one vote.
    assert_eq!(dana_browser.post(&gateway, &path, &fields, &[]).status, 200);
    assert_eq!(dana_browser.post(&gateway, &path, &fields, &[]).status, 200);
    assert_eq!(ann.call("get", arguments).text(), "get");
    assert_eq!(world.called().len(), 1);
    assert_eq!(world.called()[0]["arguments"]["password"], "hunter2");
    // Signing out forgets the key.
    let out = dana_browser.post(&gateway, &path, &[("decision", "sign_out")], &[]);
    assert_eq!(out.status, 303);
    assert!(dana_browser.get(&gateway, &path).body.contains("API key"));
}

#[test]
fn it_takes_no_other_requests() {
    let world = World::new(HOLD);
    let gateway = world.start();
    let ann = world.client(&gateway, &["--user", "ann"]);
    let id = id_of(&ann.call("get", url("a")));
    let path = format!("/approvals/{id}");
    for method in ["PUT", "DELETE"] {
        let answer = send(&gateway.address, method, &path, &[], b"").unwrap();
        assert_eq!(answer.status, 405);
    }
    let mut browser = Browser::default();
    for nothing in ["/approvals/", "/approvals/x%2f..", "/approvals/0/1"] {
        assert!(matches!(browser.get(&gateway, nothing).status, 401 | 404));
    }
    assert_eq!(browser.get(&gateway, &path).status, 200);
    let wrong = [("key", "dw_wrong"), ("decision", "sign_in")];
    let refused = browser.post(&gateway, &path, &wrong, &[]);
    assert_eq!(refused.status, 403, "{}", refused.body);
    let long = "x".repeat(9_000);
    let fields = [("key", &*long), ("decision", "sign_in")];
    assert_eq!(browser.post(&gateway, &path, &fields, &[]).status, 413);
    // A key in a header is for programs, and decides nothing here.
    let key = world.lead();
    let bearer = format!("Bearer {key}");
    let answer = send(&gateway.address, "GET", &path, &[("authorization", &bearer)], b"").unwrap();
    assert!(answer.body.contains("API key"), "{}", answer.body);
}
