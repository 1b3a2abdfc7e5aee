//! Tests of the answers.

use super::*;
use jiff::Timestamp;

const NAMESPACE: &str = "com.example.mcp";

fn entry(name: &str) -> Entry {
    Entry {
        kind: Kind::Server,
        name: name.into(),
        description: String::new(),
        url: format!("https://mcp.example.com/mcp/{name}"),
        version: "1.0.0".into(),
        status: Status::Active,
        published: Timestamp::UNIX_EPOCH,
        updated: Timestamp::UNIX_EPOCH,
    }
}

fn ask(path: &str, query: &str, entries: Vec<Entry>) -> (u16, Value) {
    let answer = decide(&Method::GET, path, query, NAMESPACE, || entries);
    (answer.status.as_u16(), answer.body)
}

fn names(body: &Value) -> Vec<&str> {
    body["servers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["server"]["title"].as_str().unwrap())
        .collect()
}

#[test]
fn pages_are_the_whole_list_in_order() {
    let all: Vec<Entry> = (0..75).rev().map(|n| entry(&format!("s{n:02}"))).collect();
    let (mut query, mut seen) = ("limit=10".to_owned(), Vec::new());
    loop {
        let (status, body) = ask("/v0.1/servers", &query, all.clone());
        assert_eq!(status, 200);
        assert_eq!(body["metadata"]["count"], names(&body).len());
        seen.extend(names(&body).into_iter().map(str::to_owned));
        let Some(next) = body["metadata"]["nextCursor"].as_str() else { break };
        query = format!("limit=10&cursor={next}");
    }
    assert_eq!(seen, (0..75).map(|n| format!("s{n:02}")).collect::<Vec<_>>());
    assert_eq!(names(&ask("/v0.1/servers/", "", all.clone()).1).len(), 30);
    let many: Vec<Entry> = (0..150).map(|n| entry(&format!("m{n:03}"))).collect();
    assert_eq!(names(&ask("/v0.1/servers", "limit=1000", many).1).len(), 100);
    let full = ask("/v0.1/servers", "limit=75", all).1;
    assert_eq!(full["metadata"], json!({ "count": 75 }));
}

#[test]
fn a_list_is_narrowed_by_every_parameter() {
    let later: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
    let all = || {
        vec![
            entry("files"),
            Entry { updated: later, ..entry("tickets") },
            Entry { version: "1.0.7".into(), ..entry("mail") },
        ]
    };
    for (query, expected) in [
        ("", &["files", "mail", "tickets"][..]),
        ("search=TICK", &["tickets"]),
        ("search=com.example.mcp%2Ff", &["files"]),
        ("search=none", &[]),
        ("version=latest", &["files", "mail", "tickets"]),
        ("version=1.0.7", &["mail"]),
        ("updated_since=2026-01-02T00:00:00Z", &["tickets"]),
        ("updated_since=2026-01-02T01:00:00%2B01:00", &["tickets"]),
        ("updated_since=2026-01-02T00:00:00.001Z", &[]),
        ("include_deleted=true", &["files", "mail", "tickets"]),
        ("cursor=&limit=1", &["files"]),
        ("search=i&version=1.0.0&limit=1", &["files"]),
        ("newer_parameter=x", &["files", "mail", "tickets"]),
    ] {
        let (status, body) = ask("/v0.1/servers", query, all());
        assert_eq!((status, names(&body)), (200, expected.to_vec()), "{query}");
    }
    let long = format!("search={}", "x".repeat(256));
    for query in [
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=",
        "cursor=%25",
        "updated_since=yesterday",
        "updated_since=2026-01-02",
        "include_deleted=perhaps",
        "limit=1&limit=2",
        &long,
    ] {
        let (status, body) = ask("/v0.1/servers", query, all());
        assert!(status == 400 && body["error"].is_string(), "{query}: {body}");
    }
}

#[test]
fn one_that_is_there_is_found_by_its_encoded_name() {
    let all = || vec![entry("tickets"), entry("files")];
    let (status, body) = ask("/v0.1/servers/com.example.mcp%2Ftickets/versions/latest", "", all());
    assert_eq!(status, 200);
    assert_eq!(
        body,
        json!({
            "server": {
                "$schema": crate::SCHEMA,
                "name": "com.example.mcp/tickets",
                "title": "tickets",
                "description": "The server 'tickets' of this gateway",
                "version": "1.0.0",
                "remotes": [
                    { "type": "streamable-http", "url": "https://mcp.example.com/mcp/tickets" }
                ],
            },
            "_meta": { crate::OFFICIAL: {
                "status": "active", "isLatest": true,
                "publishedAt": "1970-01-01T00:00:00Z", "updatedAt": "1970-01-01T00:00:00Z",
            } },
        })
    );
    let (status, body) = ask("/v0.1/servers/com.example.mcp%2Ftickets/versions", "", all());
    assert_eq!((status, names(&body)), (200, vec!["tickets"]));
    let there = ask("/v0.1/servers/com.example.mcp%2ftickets/versions/1.0.0", "", all());
    assert_eq!(there.0, 200);
    for name in ["com.example.mcp%2Fnone", "com.example.other%2Ftickets", "tickets", "%FF", ""] {
        for rest in ["", "/latest", "/1.0.0"] {
            let (status, body) = ask(&format!("/v0.1/servers/{name}/versions{rest}"), "", all());
            assert!(status == 404 && body["error"].is_string(), "{name}{rest}");
        }
    }
    let absent = ask("/v0.1/servers/com.example.mcp%2Ftickets/versions/2.0.0", "", all());
    assert_eq!(absent, ask("/v0.1/servers/com.example.mcp%2Fnone/versions/latest", "", all()));
}

#[test]
fn nothing_can_be_written() {
    let entries = || vec![entry("tickets")];
    let version = "/v0.1/servers/com.example.mcp%2Ftickets/versions/1.0.0";
    for (method, path, status) in [
        (Method::POST, "/v0.1/publish", 501),
        (Method::PUT, version, 501),
        (Method::DELETE, version, 501),
        (Method::POST, version, 405),
        (Method::GET, "/v0.1/publish", 405),
        (Method::POST, "/v0.1/servers", 405),
        (Method::GET, "/v0.1", 404),
        (Method::GET, "/v0.1/other", 404),
    ] {
        let answer = decide(&method, path, "", NAMESPACE, entries);
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        assert!(answer.body["error"].is_string());
    }
    assert!(is_path("/v0.1/servers") && is_path("/v0.1") && !is_path("/v0.10/servers"));
}

#[test]
fn texts_are_as_short_as_the_schema_wants_them() {
    let long = "\u{e4}".repeat(600);
    let status = Status::Deprecated(long.clone());
    let entry = Entry { description: long, status, kind: Kind::Portal, ..entry("old") };
    let response = entry.response(NAMESPACE);
    let length = |value: &Value| value.as_str().unwrap().chars().count();
    assert_eq!(length(&response["server"]["description"]), 100);
    assert_eq!(length(&response["_meta"][crate::OFFICIAL]["statusMessage"]), 500);
    assert_eq!(response["_meta"][crate::OFFICIAL]["status"], "deprecated");
}

#[test]
fn an_entry_is_updated_when_it_is_another() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let times = Times::default();
    let noted = |name: &str, description: &str, now: i64| {
        let entry = Entry {
            description: description.into(),
            published: at(5),
            updated: at(now),
            ..entry(name)
        };
        let mut all = [entry];
        times.set(&mut all, at(now));
        let [entry] = all;
        (entry.published.as_second(), entry.updated.as_second())
    };
    assert_eq!(noted("a", "x", 10), (5, 10));
    assert_eq!(noted("a", "x", 20), (5, 10));
    assert_eq!(noted("a", "y", 30), (5, 30));
    assert_eq!(noted("a", "y", 40), (5, 30));
    // One that was away comes anew.
    assert_eq!(noted("b", "x", 50), (5, 50));
    assert_eq!(noted("a", "y", 60), (5, 60));
}
