//! The admin listener against hostile requests (T16, T17, T19, T20, T26, T30; R4, R7, R10), and the conditions of every
//! change.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use doorward_admin::Route;
use doorward_admin::routes;
use serde_json::{Value, json};

use crate::support::client::{Answer, JSON, connect, get, send};
use crate::support::services::free_port;
use crate::support::{Gateway, wait_for};

struct Door {
    gateway: Gateway,
    key: String,
}

impl Door {
    fn open(config: &str) -> Self {
        let gateway = Gateway::start(config);
        let key = gateway.key(&["--user", "root", "--admin"]);
        Self { gateway, key }
    }

    /// Sends a request; who is told to slow down does.
    fn ask(&self, method: &str, path: &str, more: &[(&str, &str)], body: &str) -> Answer {
        let bearer = format!("Bearer {}", self.key);
        let mut headers = vec![("authorization", bearer.as_str())];
        if !more.iter().any(|(name, _)| *name == "content-type") {
            headers.push(JSON[0]);
        }
        headers.extend(more.iter().filter(|(_, value)| !value.is_empty()));
        loop {
            let admin = &self.gateway.admin;
            let answer = send(admin, method, path, &headers, body.as_bytes()).unwrap();
            if answer.status != 429 {
                return answer;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends bytes as they are, and reads what comes until the connection ends or nothing comes for a while.
    fn raw(&self, text: &str) -> (Vec<u16>, String) {
        let text = text.replace("KEY", &self.key).replace("HOST", &self.gateway.admin);
        let mut stream = connect(&self.gateway.admin);
        stream.set_read_timeout(Some(Duration::from_millis(600))).unwrap();
        let _ = stream.write_all(text.as_bytes());
        let mut read = Vec::new();
        let _ = stream.read_to_end(&mut read);
        let read = String::from_utf8_lossy(&read).into_owned();
        let heads = read.split("HTTP/1.1 ").skip(1);
        (heads.filter_map(|head| head.get(..3)?.parse().ok()).collect(), read)
    }

    fn acts(&self) -> usize {
        let words = ["audit", "search", "--class", "acts", "--json", "--limit", "100000"];
        self.gateway.told(&words).lines().count()
    }
}

/// What is wrong with a request, its headers and body, and the status of the response.
type Hostile<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a str, u16);

const PORTAL: &str = r#"{"portal":{"tools":["sample/add"]}}"#;

#[test]
fn hostile_requests_are_refused_and_change_nothing() {
    let mut door = Door::open("limits: {headers: 8KiB}\nservers: {sample: {sample: true}}\n");
    let deep = format!(r#"{{"portal":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let large = format!(r#"{{"portal":{{"description":"{}"}}}}"#, "x".repeat(5 << 20));
    let long = "x".repeat(9_000);
    let long_key = "k".repeat(256);
    let before = door.acts();
    let at = "/admin/v1/portals/evil";
    let kind = |kind: &'static str| vec![("content-type", kind)];
    let table: Vec<Hostile<'_>> = vec![
        ("a large body", vec![], &large, 413),
        ("long headers", vec![("x-long", &long)], PORTAL, 431),
        ("a deep body", vec![], &deep, 400),
        ("a member twice", vec![], r#"{"portal":{"tools":[]},"portal":{"tools":["a/b"]}}"#, 400),
        ("a member twice inside", vec![], r#"{"portal":{"tools":["a/b"],"tools":["a/c"]}}"#, 400),
        ("an escaped member twice", vec![], r#"{"portal":{},"\u0070ortal":{}}"#, 400),
        ("a member in another case", vec![], r#"{"Portal":{"tools":["a/b"]}}"#, 400),
        ("an unknown member", vec![], r#"{"portal":{"tools":["a/b"]},"command":"sh"}"#, 400),
        ("another name than the path", vec![], r#"{"name":"x","portal":{"tools":["a/b"]}}"#, 400),
        ("something behind it", vec![], r#"{"portal":{"tools":["a/b"]}} x"#, 400),
        ("two documents", vec![], "{}{}", 400),
        ("a batch", vec![], r#"[{"portal":{"tools":["a/b"]}}]"#, 400),
        ("a byte order mark", vec![], "\u{feff}{\"portal\":{\"tools\":[\"a/b\"]}}", 400),
        ("no number", vec![], r#"{"portal":NaN}"#, 400),
        ("a number beyond all", vec![], r#"{"portal":1e400}"#, 400),
        ("half a surrogate", vec![], r#"{"portal":{"description":"\ud800"}}"#, 400),
        ("a text", vec![], "\"x\"", 400),
        ("plain text", kind("text/plain"), PORTAL, 415),
        ("a form", kind("application/x-www-form-urlencoded"), "portal=x", 415),
        ("a form of parts", kind("multipart/form-data; boundary=x"), PORTAL, 415),
        ("no kind", kind(""), PORTAL, 415),
        ("two kinds", kind("application/json, text/plain"), PORTAL, 415),
        ("compressed", vec![("content-encoding", "gzip")], "\u{1f}\u{8b}\u{8}", 400),
        ("another origin", vec![("origin", "http://evil.example")], PORTAL, 403),
        ("no origin", vec![("origin", "null")], PORTAL, 403),
        ("an origin of the same host", vec![("origin", "http://127.0.0.1:1")], PORTAL, 403),
        ("another host", vec![("host", "evil.example")], PORTAL, 403),
        ("a host that looks alike", vec![("host", "127.0.0.1.evil.example")], PORTAL, 403),
        ("a tag that is none", vec![("if-match", "nonsense")], PORTAL, 412),
        ("a weak tag", vec![("if-match", "W/\"x\"")], PORTAL, 412),
        ("a tag of something else", vec![("if-match", "*")], PORTAL, 412),
        ("two conditions", vec![("if-match", "*"), ("if-match", "\"x\"")], PORTAL, 400),
        ("a long idempotency key", vec![("idempotency-key", &long_key)], PORTAL, 400),
        ("two of them", vec![("idempotency-key", "a"), ("idempotency-key", "b")], PORTAL, 400),
    ];
    for (what, headers, body, status) in &table {
        let answer = door.ask("PUT", at, headers, body);
        assert_eq!(answer.status, *status, "{what}: {}", answer.body);
        assert!(answer.body.len() < 4_000, "{what}");
        assert!(answer.header("access-control-allow-origin").is_none(), "{what}");
        // Of headers that are too long, nothing is read that could be answered.
        if *status != 431 {
            let problem: Value = serde_json::from_str(&answer.body).expect(what);
            assert_eq!(problem["status"], *status, "{what}: {problem}");
        }
    }
    // Another method than the one that is there, however it is said.
    for (name, value) in [
        ("x-http-method-override", "PUT"),
        ("x-method-override", "PUT"),
        ("x-http-method", "PUT"),
        ("x-forwarded-user", "root"),
        ("x-original-url", at),
        ("x-rewrite-url", at),
    ] {
        assert_eq!(door.ask("POST", at, &[(name, value)], PORTAL).status, 405, "{name}");
        assert_eq!(door.ask("GET", at, &[(name, value)], "").status, 404, "{name}");
    }
    for method in ["PATCH", "TRACE", "OPTIONS", "PROPFIND", "put"] {
        let status = door.ask(method, at, &[], PORTAL).status;
        assert!(matches!(status, 400 | 405), "{method}: {status}");
    }
    for (query, status) in [
        ("?dry_run=yes", 400),
        ("?dry_run=", 400),
        ("?_method=DELETE", 400),
        ("?portal=x", 400),
        ("?name=other", 400),
        ("?a=%ff", 400),
    ] {
        assert_eq!(door.ask("PUT", &format!("{at}{query}"), &[], PORTAL).status, status, "{query}");
    }
    for path in [
        "/admin/v1/portals/../portals/evil",
        "/admin/v1/portals/%2e%2e/portals/evil",
        "/admin/v1//portals/evil",
        "/admin/v1/portals/evil/",
        "/ADMIN/v1/portals/evil",
        "/admin/v1/portals/evil%00",
        "/admin/v1/portals/ev%2fil",
        "/admin/v1/portals/%ff",
    ] {
        let status = door.ask("PUT", path, &[], PORTAL).status;
        assert!(matches!(status, 400 | 404 | 405), "{path}: {status}");
    }
    assert_eq!(door.acts(), before, "nothing was changed");
    let (_, listed) = (0, door.ask("GET", "/admin/v1/portals", &[], ""));
    assert!(!listed.body.contains("evil"), "{}", listed.body);
    assert!(door.gateway.is_alive() && !door.gateway.logged("panicked"));
    // The same as it should be is taken.
    assert_eq!(door.ask("PUT", at, &[], PORTAL).status, 200);
}

#[test]
fn no_request_is_hidden_in_another() {
    let door = Door::open("servers: {sample: {sample: true}}\n");
    let before = door.acts();
    let hidden = format!(
        "PUT /admin/v1/portals/evil HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer KEY\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{PORTAL}",
        PORTAL.len()
    );
    let length = hidden.replace("KEY", &door.key).replace("HOST", &door.gateway.admin).len();
    let post = "POST /admin/v1/policies/check HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer KEY\r\n\
                content-type: application/json\r\n";
    for (what, head) in [
        ("two lengths", format!("content-length: 0\r\ncontent-length: {length}\r\n\r\n")),
        ("two lengths in one", format!("content-length: 0, {length}\r\n\r\n")),
        ("a signed length", "content-length: +0\r\n\r\n".into()),
        ("a negative length", "content-length: -1\r\n\r\n".into()),
        ("a length in hexadecimal", "content-length: 0x0\r\n\r\n".into()),
        (
            "length and chunks",
            format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        ("chunks that are none", "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n".into()),
        ("chunks, then not", "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n".into()),
        (
            "a space before the colon",
            "transfer-encoding : chunked\r\ncontent-length: 0\r\n\r\n".into(),
        ),
        (
            "a folded header",
            "x-a: b\r\n transfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n".into(),
        ),
        (
            "a bare carriage return",
            "x-a: b\rtransfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n".into(),
        ),
        ("a zero byte", "x-a: b\0c\r\ncontent-length: 0\r\n\r\n".into()),
        ("a chunk's size that is none", "transfer-encoding: chunked\r\n\r\n-1\r\n\r\n".into()),
        (
            "a chunk's size beyond all",
            "transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n".into(),
        ),
    ] {
        let (statuses, read) = door.raw(&format!("{post}{head}{hidden}"));
        // The first is refused and the connection closed; or its body is what it says, and no request is in it.
        let first = statuses.first().copied().unwrap_or(400);
        assert!((400..500).contains(&first), "{what}: {read}");
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 0, "{what}: {read}");
        let listed = door.ask("GET", "/admin/v1/portals", &[], "");
        assert!(!listed.body.contains("evil"), "{what}: {read}");
    }
    for (what, text) in [
        ("two hosts", "GET /healthz HTTP/1.1\r\nhost: HOST\r\nhost: evil.example\r\n\r\n"),
        ("no host", "GET /healthz HTTP/1.1\r\n\r\n"),
        ("no host in an old version", "GET /healthz HTTP/1.0\r\n\r\n"),
        (
            "another host in the target",
            "GET http://evil.example/admin/v1/keys HTTP/1.1\r\nhost: HOST\r\n\r\n",
        ),
        (
            "two credentials",
            "GET /admin/v1/keys HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer KEY\r\nauthorization: Bearer x\r\n\r\n",
        ),
        ("an unknown version", "GET /healthz HTTP/9.9\r\nhost: HOST\r\n\r\n"),
        ("no request", "\0\0\0\r\n\r\n"),
        ("a tunnel", "CONNECT evil.example:443 HTTP/1.1\r\nhost: HOST\r\n\r\n"),
    ] {
        let (statuses, read) = door.raw(text);
        assert!(!statuses.contains(&200), "{what}: {read}");
    }
    assert_eq!(door.acts(), before);
    assert!(!door.gateway.logged("panicked"));
}

#[test]
fn slow_clients_are_cut_off_and_hold_up_nobody() {
    let door = Door::open("timeouts: {headers: 1s, body: 1s}\nservers: {sample: {sample: true}}\n");
    let before = door.gateway.usage().0;
    let head = format!(
        "PUT /admin/v1/portals/slow HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\n",
        door.gateway.admin, door.key
    );
    let begun = Instant::now();
    let open = |text: &str| {
        let mut stream = connect(&door.gateway.admin);
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let mut slow: Vec<_> = (0..40).map(|_| open("GET /healthz HT")).collect();
    slow.extend((0..40).map(|_| open(&format!("{head}content-length: 100\r\n\r\n{{\"portal\""))));
    slow.extend(
        (0..40).map(|_| open(&format!("{head}transfer-encoding: chunked\r\n\r\n5\r\n{{\"p"))),
    );
    // Others are served meanwhile.
    assert_eq!(get(&door.gateway.admin, "/healthz").0, 200);
    assert_eq!(door.ask("GET", "/admin/v1/keys", &[], "").status, 200);
    for mut stream in slow {
        stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
        let mut read = Vec::new();
        stream.read_to_end(&mut read).unwrap();
        let read = String::from_utf8_lossy(&read).into_owned();
        assert!(read.is_empty() || read.starts_with("HTTP/1.1 408"), "{read}");
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    wait_for("all is closed", || door.gateway.usage().0 <= before + 4);
    assert_eq!(door.ask("GET", "/admin/v1/portals/slow", &[], "").status, 404);
}

/// A path of a route with some values for its parameters.
fn path_of(route: &Route) -> String {
    let part = |part: &str| match part {
        "{kind}" => "user".to_owned(),
        "{version}" => "1".to_owned(),
        part if part.starts_with('{') => "nothing".to_owned(),
        part => part.to_owned(),
    };
    route.path.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[test]
fn pages_that_cannot_be_are_refused_by_every_list() {
    let door = Door::open("servers: {sample: {sample: true}}\n");
    let mut lists = 0;
    for route in routes::all().into_iter().filter(|route| !route.changes()) {
        let input = (route.input)(&mut schemars::SchemaGenerator::default());
        let has = |name: &str| input.pointer(&format!("/properties/{name}")).is_some();
        let ask = |query: &str| {
            let answer = door.ask("GET", &format!("{}?{query}", path_of(&route)), &[], "");
            assert!(answer.status < 500 && answer.body.len() < 1 << 20, "{route:?}: {query}");
            answer.status
        };
        assert_eq!(ask("nope=1"), 400, "{route:?}");
        if has("cursor") {
            lists += 1;
            for cursor in ["%25", "*", "AAAA====", "%ff"] {
                let status = ask(&format!("cursor={cursor}"));
                // Of what is not there, nothing else is said.
                assert!(matches!(status, 400 | 404 | 413 | 431), "{route:?}: {cursor}: {status}");
            }
            // Well-formed, of no list: never more than an empty page.
            let long = "A".repeat(5_000);
            for cursor in ["bm9wZQ", "W10", "eyJhIjoxfQ", "MS8y", "CgoK", &long] {
                assert!(matches!(ask(&format!("cursor={cursor}")), 200 | 400 | 404), "{route:?}");
            }
        }
        let properties = input.get("properties").and_then(Value::as_object).into_iter().flatten();
        let numbers = properties.filter(|(_, schema)| {
            schema["type"].to_string().contains("integer") && !route.path.contains("{version}")
        });
        for (name, _) in numbers {
            for number in [i64::MIN, -1, 0, i64::MAX - 1, i64::MAX] {
                ask(&format!("{name}={number}"));
            }
        }
        if has("limit") {
            for limit in ["0", "1001", "-1", "1e3", "99999999999999999999", "x", ""] {
                let status = ask(&format!("limit={limit}"));
                assert!(matches!(status, 400 | 404), "{route:?}: {limit}: {status}");
            }
            assert_eq!(ask("limit=1&limit=1"), 400, "{route:?}");
        }
    }
    assert!(lists > 15, "{lists}");
    assert!(!door.gateway.logged("panicked"));
}

/// The path of the route that reads what a route changes.
fn reader(all: &[Route], changer: &Route) -> Option<String> {
    all.iter().find(|other| routes::reads(other, changer)).map(|reader| reader.path.to_owned())
}

#[test]
fn a_condition_that_does_not_hold_stops_every_change() {
    let door = Door::open("servers: {sample: {sample: true}}\n");
    let before = door.acts();
    let all = routes::all();
    let (mut conditional, mut others) = (0, 0);
    for route in all.iter().filter(|route| route.changes()) {
        let path = path_of(route);
        let condition = [("if-match", "\"nonsense\"")];
        let answer = door.ask(route.method.as_str(), &path, &condition, "{}");
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        if reader(&all, route).is_some() {
            conditional += 1;
            assert_eq!(problem["code"], "precondition_failed", "{route:?}: {problem}");
            assert_eq!(answer.status, 412);
        } else {
            others += 1;
            assert_eq!(answer.status, 400, "{route:?}: {problem}");
        }
    }
    assert!(conditional > 20 && others > 10, "{conditional} {others}");
    assert_eq!(door.acts(), before);
}

/// Requests that change something that is stored, in an order in which each is possible: the operation, the path, the body,
/// and another body for the same path.
fn changes(key_id: &str) -> Vec<(&'static str, String, Value)> {
    let portal = json!({ "portal": { "tools": ["sample/add"] } });
    let files = |text: &str| json!({ "files": { "a.cedar": text }, "note": text });
    let all = "permit (principal, action, resource);";
    let reason = json!({ "reason": "a test" });
    let proposal =
        json!({ "name": "tickets", "settings": { "url": "https://tickets.example.com/mcp" } });
    [
        ("resources.apply", "/apply", json!({ "resources": portals("applied") })),
        ("audit.hold", "/audit/holds", json!({ "tenant": "acme", "reason": "case 17" })),
        ("audit.release", "/audit/holds/HOLD", json!({})),
        ("principals.put", "/principals/team/crew", json!({ "disabled": false })),
        ("principals.rename", "/principals/team/crew/rename", json!({ "to": "gang" })),
        ("principals.remove", "/principals/team/gang", json!({})),
        ("credentials.put", "/credentials/mail/user/alice", json!({ "secret": "x" })),
        ("credentials.remove", "/credentials/mail/user/alice", json!({})),
        ("credits.grant", "/credits/tenant/acme/grant", json!({ "amount": 5 })),
        ("credits.budget", "/credits/team/crew/budget", json!({ "amount": 5 })),
        ("keys.create", "/keys", json!({ "owner": { "kind": "user", "name": "x" } })),
        ("keys.rotate", &format!("/keys/{key_id}/rotate"), json!({ "overlap": 60 })),
        ("keys.revoke", &format!("/keys/{key_id}"), json!({})),
        ("policies.apply", "/policies", files(all)),
        ("policies.apply", "/policies", files(&format!("// again\n{all}"))),
        ("policies.rollback", "/policies/rollback", json!({})),
        ("portals.put", "/portals/desk", portal),
        ("portals.remove", "/portals/desk", json!({})),
        ("servers.propose", "/servers", proposal),
        ("servers.review", "/servers/tickets/review", reason.clone()),
        ("servers.reject", "/servers/tickets/reject", reason.clone()),
        ("servers.quarantine", "/servers/sample/quarantine", reason.clone()),
        ("servers.release", "/servers/sample/release", reason.clone()),
        ("servers.deprecate", "/servers/sample/deprecate", json!({ "note": "go" })),
        ("servers.activate", "/servers/sample/activate", reason.clone()),
        ("servers.retire", "/servers/sample/retire", reason),
        ("stops.set", "/stops", json!({ "kind": "user", "name": "eve", "why": "a drill" })),
        ("stops.lift", "/stops/STOP/lift", json!({ "why": "over" })),
        ("webhooks.test", "/webhooks/hook/test", json!({})),
        ("credentials.rekey", "/credentials/rekey", json!({ "new_key": "x".repeat(40) })),
    ]
    .map(|(id, path, body)| (id, format!("/admin/v1{path}"), body))
    .into()
}

fn portals(name: &str) -> Value {
    json!({ "portals": { name: { "tools": ["sample/add"] } } })
}

/// What changes nothing that is stored, or needs somebody else: a server that is looked at, has drifted, or a user who
/// consents.
const APART: [&str; 28] = [
    "approvals.approve",
    "approvals.refuse",
    "requests.grant",
    "requests.refuse",
    "audit.retain",
    "audit.verify",
    "clients.remove",
    "flow.clear",
    "grants.revoke",
    "logins.end",
    "logins.end_all",
    "policies.check",
    "policies.diff",
    "policies.draft",
    "policies.explain",
    "policies.simulate",
    "policies.test",
    "registries.read",
    "servers.accept",
    "servers.approve",
    "servers.connect",
    "servers.disconnect",
    "servers.look",
    "servers.refuse",
    "sessions.end",
    "settings.reload",
    "streams.end",
    "webhooks.redeliver",
];

#[test]
fn every_change_is_made_once_however_often_it_is_sent() {
    let hook = free_port();
    let door = Door::open(&format!(
        "store_key: 'a master key of the tests, of 40 letters'\nservers: {{sample: {{sample: true}}}}\n\
         webhooks: {{hook: {{url: 'http://127.0.0.1:{hook}/', secret: a-text-of-more-than-24-characters}}}}\n"
    ));
    let all = routes::all();
    let other = door.gateway.key(&["--user", "other"]);
    let table = changes(&other[4..16]);
    let covered: BTreeSet<&str> = table.iter().map(|(id, ..)| *id).chain(APART).collect();
    let changing: BTreeSet<&str> =
        all.iter().filter(|route| route.changes()).map(|route| route.id).collect();
    assert_eq!(covered, changing, "a new operation belongs to one of the lists");
    let (mut hold, mut stop) = (String::new(), String::new());
    for (at, (id, path, body)) in table.iter().enumerate() {
        let route = all.iter().find(|route| route.id == *id).unwrap();
        let path = path.replace("HOLD", &hold).replace("STOP", &stop);
        let (method, text) = (route.method.as_str(), body.to_string());
        // Rehearsed, it changes nothing.
        let before = door.acts();
        let rehearsed = door.ask(method, &format!("{path}?dry_run=true"), &[], &text);
        assert!(matches!(rehearsed.status, 200 | 201), "{id}: {}", rehearsed.body);
        assert_eq!(door.acts(), before, "{id}");
        // If what it changes can be read, it is changed on the condition that it is as it was read.
        let tag = reader(&all, route).and_then(|reads| {
            let depth = reads.split('/').count();
            let read: Vec<&str> = path.split('/').take(depth).collect();
            let answer = door.ask("GET", &read.join("/"), &[], "");
            answer.header("etag").map(|tag| (read.join("/"), tag.to_owned()))
        });
        let key = format!("change-{at}");
        let once = [("idempotency-key", key.as_str())];
        let mut headers = once.to_vec();
        headers.extend(tag.iter().map(|(_, tag)| ("if-match", tag.as_str())));
        let first = door.ask(method, &path, &headers, &text);
        assert!(matches!(first.status, 200 | 201), "{id}: {} {}", first.status, first.body);
        assert_eq!(first.status == 201, route.makes, "{id}");
        let after = door.acts();
        let again = door.ask(method, &path, &headers, &text);
        assert_eq!(
            (again.status, again.header("idempotent-replayed")),
            (first.status, Some("true")),
            "{id}"
        );
        assert_eq!(door.acts(), after, "{id} was done twice");
        let mut said: Value = serde_json::from_str(&first.body).unwrap();
        let repeated: Value = serde_json::from_str(&again.body).unwrap();
        said.as_object_mut().unwrap().remove("secret");
        assert_eq!(said, repeated, "{id}");
        let another =
            door.ask("POST", "/admin/v1/keys", &once, r#"{"owner":{"kind":"user","name":"z"}}"#);
        assert_eq!(another.status, 422, "{id}: {}", another.body);
        if let Some((read, tag)) = &tag {
            let now = door.ask("GET", read, &[], "");
            if now.header("etag") != Some(tag) {
                let late = door.ask(method, &path, &[("if-match", tag)], &text);
                assert_eq!(late.status, 412, "{id}: {}", late.body);
            }
        }
        match *id {
            "audit.hold" => hold = said["id"].as_str().unwrap().to_owned(),
            "stops.set" => stop = said["id"].as_str().unwrap().to_owned(),
            _ => {}
        }
    }
}
