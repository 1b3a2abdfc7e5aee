//! Tokens of an issuer: a valid one, and all invalid ones (the authorization list, 1 to 44).
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::time::{Duration, Instant};

use crate::support::client::{Answer, Handshake, JSON, Modern, get, open, send};
use crate::support::issuer::{Issuer, Mood, Signer, now, token, token_by_secret, unsigned};
use crate::support::{Gateway, wait_for};
use serde_json::{Value, json};

struct World {
    issuer: Issuer,
    gateway: Gateway,
}

impl World {
    fn new() -> Self {
        Self::with("", "")
    }

    /// With more settings of the issuer and of the configuration.
    fn with(of_issuer: &str, more: &str) -> Self {
        let issuer = Issuer::start();
        let gateway = Gateway::start(&format!(
            "identity: {{issuers: {{test: {{issuer: '{}', leeway: 2s{of_issuer}}}}}}}\n\
             policy: {{files: [open.cedar]}}\n\
             servers: {{sample: {{sample: true}}, other: {{sample: true, scopes: [files], tools: {{slow: {{scopes: ['jobs:run']}}}}}}}}\n{more}",
            issuer.url
        ));
        Self { issuer, gateway }
    }

    fn resource(&self) -> String {
        self.gateway.url("/mcp")
    }

    fn good(&self) -> String {
        self.issuer.token(&self.resource())
    }

    fn ask(&self, token: &str) -> Answer {
        Modern::new(&self.gateway, "/mcp")
            .bearing(token)
            .call("sample__add", json!({ "a": 1, "b": 2 }))
    }

    fn accepts(&self, token: &str) -> bool {
        let answer = self.ask(token);
        if answer.status == 200 {
            assert_eq!(answer.text(), "3");
        }
        answer.status == 200
    }

    fn challenge(&self, error: Option<&str>) -> String {
        let metadata = self.gateway.url("/.well-known/oauth-protected-resource/mcp");
        let error = error.map(|error| format!("error=\"{error}\", ")).unwrap_or_default();
        format!("Bearer {error}resource_metadata=\"{metadata}\"")
    }

    /// Asserts that the token is refused on every protocol, in both eras, with the right status and challenge.
    fn refuses(&self, what: &str, token: &str) {
        let due = self.challenge(Some("invalid_token"));
        let modern = self.ask(token);
        let hello = Handshake::initialize_bearing(
            &self.gateway,
            "/mcp",
            "2025-11-25",
            json!({}),
            Some(token),
        );
        let bearer = format!("Bearer {token}");
        let bare = |method, path| {
            send(&self.gateway.address, method, path, &[("authorization", bearer.as_str())], b"")
                .unwrap()
        };
        for answer in
            [modern, hello, bare("GET", "/mcp"), bare("DELETE", "/mcp"), bare("PUT", "/mcp")]
        {
            assert_eq!(
                (answer.status, answer.header("www-authenticate")),
                (401, Some(due.as_str())),
                "{what}: {}",
                answer.body
            );
        }
        assert_eq!(bare("GET", "/sse").status, 401, "{what}");
        let admin = send(
            &self.gateway.admin,
            "GET",
            "/servers",
            &[("authorization", bearer.as_str())],
            b"",
        )
        .unwrap();
        assert_eq!(admin.status, 401, "{what}");
    }
}

/// Adds the settings that every gateway here needs.
fn start(config: &str) -> Gateway {
    Gateway::start(config)
}

#[test]
fn a_good_token_opens_every_door() {
    let world = World::new();
    assert!(world.accepts(&world.good()));
    let token = world.good();
    let session =
        Handshake::open_bearing(&world.gateway, "/mcp", "2025-06-18", json!({}), Some(&token));
    assert_eq!(session.call(1, "sample__add", json!({ "a": 1, "b": 2 })).text(), "3");
    let sse = world.issuer.token(&world.gateway.url("/sse"));
    let bearer = format!("Bearer {sse}");
    let mut stream =
        open(&world.gateway.address, "GET", "/sse", &[("authorization", &bearer)], b"").unwrap();
    let endpoint = stream.event().unwrap();
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }).to_string();
    let posted = send(
        &world.gateway.address,
        "POST",
        &endpoint,
        &[JSON[0], ("authorization", &bearer)],
        ping.as_bytes(),
    );
    assert_eq!(posted.unwrap().status, 202);
    assert_eq!(stream.message().unwrap()["id"], 1);
    // A session continues with the same user's next token, but not with another user's (38).
    let mut next = session.clone();
    next.authorization = Some(format!(
        "Bearer {}",
        world.issuer.token_with(&world.resource(), json!({ "jti": "2" }))
    ));
    assert_eq!(next.call(2, "sample__add", json!({ "a": 1, "b": 2 })).text(), "3");
    let thief = world.issuer.token_with(&world.resource(), json!({ "sub": "mallory" }));
    next.authorization = Some(format!("Bearer {thief}"));
    assert_eq!(next.call(3, "sample__add", json!({ "a": 1, "b": 2 })).status, 404);
}

#[test]
fn what_is_shown_must_be_one_token_in_the_header() {
    let world = World::new();
    let client = Modern::new(&world.gateway, "/mcp");
    let body = client
        .body("tools/call", json!({ "name": "sample__add", "arguments": { "a": 1, "b": 2 } }));
    let good = world.good();
    let bearer = format!("Bearer {good}");
    let none = world.challenge(None);
    let malformed = world.challenge(Some("invalid_request"));
    let query = format!("/mcp?access_token={good}");
    let joined = format!("Bearer {good}, Bearer {good}");
    let two = format!("Bearer {good} {good}");
    for (case, path, headers, status, challenge) in [
        (1, "/mcp", vec![], 401, &none),
        (2, "/mcp", vec![("authorization", "Basic YTpi")], 401, &none),
        (2, "/mcp", vec![("authorization", "Magic x")], 401, &none),
        (3, "/mcp", vec![("authorization", "Bearer")], 400, &malformed),
        (3, "/mcp", vec![("authorization", "Bearer ")], 400, &malformed),
        (3, "/mcp", vec![("authorization", two.as_str())], 400, &malformed),
        (3, "/mcp", vec![("authorization", "Bearer {x}")], 400, &malformed),
        (
            4,
            "/mcp",
            vec![("authorization", bearer.as_str()), ("authorization", bearer.as_str())],
            400,
            &malformed,
        ),
        (4, "/mcp", vec![("authorization", joined.as_str())], 400, &malformed),
        (5, query.as_str(), vec![], 401, &none),
        (6, query.as_str(), vec![("authorization", bearer.as_str())], 400, &malformed),
        (
            34,
            "/mcp",
            vec![
                ("x-forwarded-authorization", bearer.as_str()),
                ("x-user", "alice"),
                ("mcp-user", "alice"),
            ],
            401,
            &none,
        ),
    ] {
        let answer = send(
            &world.gateway.address,
            "POST",
            path,
            &client_headers(&body, headers),
            body.to_string().as_bytes(),
        )
        .unwrap();
        assert_eq!(answer.status, status, "case {case}: {}", answer.body);
        assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()), "case {case}");
    }
    let lower = format!("bearer {good}");
    let answer = send(
        &world.gateway.address,
        "POST",
        "/mcp",
        &client_headers(&body, vec![("authorization", &lower)]),
        body.to_string().as_bytes(),
    );
    assert_eq!(answer.unwrap().status, 200, "the scheme's name has no case");
    assert!(!world.gateway.log().join("").contains(&good), "a token stands in the log");
}

fn client_headers<'a>(body: &Value, more: Vec<(&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
    let mut all = JSON.to_vec();
    for (name, value) in Modern::headers(body) {
        all.push((Box::leak(name.into_boxed_str()), Box::leak(value.into_boxed_str())));
    }
    all.extend(more);
    all
}

#[test]
fn no_token_is_good_but_one_of_the_issuers_for_this_gateway_now() {
    let world = World::new();
    let (issuer, resource) = (&world.issuer, world.resource());
    let with = |changes: Value| issuer.token_with(&resource, changes);
    let headed =
        |header: Value| token(&header, &issuer.claims(&resource).to_string(), &issuer.signer);
    assert!(world.accepts(&world.good()));
    let good = world.good();
    // 7: malformed tokens.
    world.refuses("rubbish", "abc");
    world.refuses("cut short", &good[..good.len() - 10]);
    world.refuses("without its end", good.rsplit_once('.').unwrap().0);
    world.refuses("longer than any", &"a".repeat(17 << 10));
    // 8 to 10: times.
    for (what, changes) in [
        ("expired", json!({ "exp": now() - 60 })),
        ("never expires", json!({ "exp": null })),
        ("expires in words", json!({ "exp": "tomorrow" })),
        ("expires as a text", json!({ "exp": (now() + 300).to_string() })),
        ("expires at no time", json!({ "exp": 1e300 })),
        ("not yet", json!({ "nbf": now() + 60 })),
        ("not yet, in words", json!({ "nbf": "later" })),
        ("issued in the future", json!({ "iat": now() + 60 })),
    ] {
        world.refuses(what, &with(changes));
    }
    let infinite = issuer.claims(&resource).to_string().replacen(
        &format!("\"exp\":{}", now() + 300),
        "\"exp\":1e400",
        1,
    );
    world
        .refuses("a time too large to be one", &token(&issuer.header(), &infinite, &issuer.signer));
    // 11, 12, 14, 15: audiences.
    let origin = world.gateway.url("");
    for (what, audience) in [
        ("another resource", json!("https://other.example/mcp")),
        ("nobody", Value::Null),
        ("the client", json!("agent-1")),
        ("empty", json!("")),
        ("no list", json!([])),
        ("a list of numbers", json!([1])),
        ("with a slash", json!(format!("{resource}/"))),
        ("in capitals", json!(format!("{origin}/MCP"))),
        ("by TLS", json!(resource.replace("http:", "https:"))),
        ("as a prefix", json!(format!("{resource}.evil"))),
        ("a longer host", json!(format!("{origin}.evil.example/mcp"))),
        ("another port", json!("http://127.0.0.1/mcp")),
        ("another portal", json!(format!("{origin}/mcp/sample"))),
    ] {
        world.refuses(what, &with(json!({ "aud": audience })));
    }
    let portal = issuer.token(&format!("{origin}/mcp/sample"));
    assert_eq!(
        Modern::new(&world.gateway, "/mcp/sample")
            .bearing(&portal)
            .ask("tools/list", json!({}))
            .status,
        200
    );
    assert_eq!(
        Modern::new(&world.gateway, "/mcp/other")
            .bearing(&portal)
            .ask("tools/list", json!({}))
            .status,
        401
    );
    // 13 (decided: one of several is enough), and the whole gateway; scheme and host are case-insensitive (14).
    assert!(world.accepts(&with(json!({ "aud": ["https://other.example", resource] }))));
    assert!(world.accepts(&issuer.token(&origin)));
    assert!(world.accepts(&issuer.token(&resource.replace("http:", "HTTP:"))));
    // 16: issuers.
    for (what, iss) in [
        ("another issuer", json!("https://evil.example")),
        ("the issuer with a slash", json!(format!("{}/", issuer.url))),
        ("no issuer", Value::Null),
    ] {
        world.refuses(what, &with(json!({ "iss": iss })));
    }
    // 17 to 19: algorithms.
    for none in ["none", "None", "nOnE", ""] {
        let header = json!({ "alg": none, "kid": "one", "typ": "at+jwt" });
        world.refuses("not signed", &unsigned(&header, &issuer.claims(&resource)));
    }
    let claims = issuer.claims(&resource);
    let by_secret = json!({ "alg": "HS256", "kid": "one", "typ": "at+jwt" });
    for secret in [
        issuer.signer.public_pem(),
        issuer.signer.jwk("one").to_string(),
        issuer.signer.jwk("one")["n"].as_str().unwrap().to_owned(),
    ] {
        world.refuses(
            "signed with the public key as a secret",
            &token_by_secret(&by_secret, &claims, secret.as_bytes()),
        );
    }
    let claimed =
        token_by_secret(&json!({ "alg": "RS256", "kid": "one", "typ": "at+jwt" }), &claims, b"x");
    world.refuses("a signature that is none", &claimed);
    world.refuses(
        "another's signature",
        &token(&issuer.header(), &claims.to_string(), &Signer::rsa()),
    );
    world
        .refuses("signed otherwise than it says", &headed(json!({ "alg": "ES256", "kid": "one" })));
    world.refuses("an algorithm of nobody's", &headed(json!({ "alg": "ES256K", "kid": "one" })));
    // 20, 21: headers that contain keys, or require unknown extensions.
    let evil = Signer::rsa();
    for (what, member, value) in [
        ("jwk", "jwk", evil.jwk("one")),
        ("jku", "jku", json!(format!("{}/evil-jwks", issuer.url))),
        ("x5u", "x5u", json!(format!("{}/evil-cert", issuer.url))),
    ] {
        let mut header = issuer.header();
        header[member] = value;
        world.refuses(what, &token(&header, &claims.to_string(), &evil));
    }
    assert_eq!(issuer.strange(), Vec::<String>::new(), "something was fetched that a token named");
    world.refuses("crit", &headed(json!({ "alg": "RS256", "kid": "one", "crit": ["exp"] })));
    for kid in [json!("../../etc/passwd"), json!("' OR 1=1 --"), json!("x".repeat(4096)), json!(1)]
    {
        world.refuses(
            "a strange kid",
            &headed(json!({ "alg": "RS256", "kid": kid, "typ": "at+jwt" })),
        );
    }
    // 22: without a key id, the key is still found.
    assert!(world.accepts(&headed(json!({ "alg": "RS256", "typ": "at+jwt" }))));
    assert!(world.accepts(&headed(json!({ "alg": "PS256", "kid": "one", "typ": "at+jwt" }))));
    // 28, 42: other kinds of token.
    world.refuses(
        "an ID token",
        &token(
            &json!({ "alg": "RS256", "kid": "one", "typ": "JWT" }),
            &{
                let mut claims = claims.clone();
                claims["nonce"] = "n".into();
                claims.to_string()
            },
            &issuer.signer,
        ),
    );
    world.refuses(
        "a logout token",
        &headed(json!({ "alg": "RS256", "kid": "one", "typ": "logout+jwt" })),
    );
    world.refuses("a token bound to a key", &with(json!({ "cnf": { "jkt": "x" } })));
    world.refuses("a token of nobody's", &with(json!({ "sub": null, "client_id": null })));
    // Duplicate members: two parsers might read different values.
    let twice = claims.to_string().replacen('{', "{\"sub\":\"root\",", 1);
    world.refuses("claims that stand twice", &token(&issuer.header(), &twice, &issuer.signer));
    assert!(world.accepts(&good), "the good one still is");
    // None of these requests reached a server, and the log contains no token.
    let log = world.gateway.log().join("");
    assert!(!log.contains(good.rsplit_once('.').unwrap().1));
}

#[test]
fn a_type_can_be_demanded_and_other_signatures_are_known() {
    let world = World::with(", require_at_jwt: true, algorithms: [ES256, EdDSA]", "");
    let (ec, ed) = (Signer::ec(), Signer::ed());
    world.issuer.publish(json!([ec.jwk("ec"), ed.jwk("ed"), world.issuer.signer.jwk("one")]));
    let claims = world.issuer.claims(&world.resource()).to_string();
    let signed = |signer: &Signer, kid: &str, typ: &str| {
        token(&json!({ "alg": signer.algorithm(), "kid": kid, "typ": typ }), &claims, signer)
    };
    assert!(world.accepts(&signed(&ec, "ec", "at+jwt")));
    assert!(world.accepts(&signed(&ed, "ed", "application/at+jwt")));
    world.refuses("another type", &signed(&ec, "ec", "JWT"));
    world.refuses("an algorithm that is not the issuer's", &world.good());
}

#[test]
fn keys_are_fetched_anew_for_an_unknown_id_but_not_for_each() {
    let world = World::new();
    assert!(world.accepts(&world.good()));
    assert_eq!(world.issuer.fetches(), 1);
    // 24: a key that was published just now.
    let (old, second) = (world.good(), Signer::rsa());
    world.issuer.publish(json!([second.jwk("two")]));
    let claims = world.issuer.claims(&world.resource()).to_string();
    let new = token(&json!({ "alg": "RS256", "kid": "two", "typ": "at+jwt" }), &claims, &second);
    assert!(world.accepts(&new));
    assert_eq!(world.issuer.fetches(), 2);
    assert!(!world.accepts(&old), "its key is not published any more");
    // 23: many unknown key ids.
    for number in 0..200 {
        let header = json!({ "alg": "RS256", "kid": format!("k{number}"), "typ": "at+jwt" });
        assert_eq!(world.ask(&token(&header, &claims, &second)).status, 401);
    }
    assert!(world.issuer.fetches() <= 3, "{}", world.issuer.fetches());
    // 25: fetched keys stay valid while the issuer is down.
    world.issuer.behave(Mood::Down);
    let another = world.issuer.claims(&world.resource()).to_string().replace("alice", "bob");
    assert!(world.accepts(&token(
        &json!({ "alg": "RS256", "kid": "two", "typ": "at+jwt" }),
        &another,
        &second
    )));
}

#[test]
fn what_cannot_be_checked_is_not_accepted() {
    for mood in [Mood::Down, Mood::Html, Mood::Huge, Mood::Hangs, Mood::Redirects] {
        let world = World::new();
        world.issuer.behave(mood);
        let began = Instant::now();
        let answer = world.ask(&world.good());
        assert_eq!(answer.status, 503, "{mood:?}");
        assert!(
            answer.header("retry-after").is_some() && answer.header("www-authenticate").is_none()
        );
        assert!(began.elapsed() < Duration::from_secs(15), "{mood:?} {:?}", began.elapsed());
        assert!(
            !world.issuer.strange().contains(&"/elsewhere".to_owned()),
            "a redirect was followed"
        );
    }
}

#[test]
fn opaque_tokens_are_asked_about() {
    let world =
        World::with(", introspection: {client_id: gw, client_secret: s3cret, cache: 1s}", "");
    let active = |changes: Value| {
        let mut claims = world.issuer.claims(&world.resource());
        claims["active"] = true.into();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    };
    world.issuer.says(active(json!({})));
    assert!(world.accepts("opaque-1") && world.accepts("opaque-1"));
    assert_eq!(world.issuer.introspections(), 1, "an answer is remembered");
    world.issuer.says(json!({ "active": false }));
    wait_for("29: it is not active any more", || !world.accepts("opaque-1"));
    for (what, says) in [
        ("no answer", json!({})),
        ("active in words", active(json!({ "active": "true" }))),
        ("for another", active(json!({ "aud": "https://other.example" }))),
        ("expired", active(json!({ "exp": now() - 60 }))),
        ("of another", active(json!({ "iss": "https://evil.example" }))),
    ] {
        world.issuer.says(says);
        world.refuses(what, &format!("opaque-{}", what.replace(' ', "-")));
    }
    world.issuer.behave(Mood::Down);
    assert_eq!(world.ask("opaque-2").status, 503);
}

/// A client that sends invented tokens and disconnects does not slow down the others.
#[test]
fn questions_about_tokens_end_with_those_who_have_left() {
    let world = World::with(", introspection: {client_id: gw, client_secret: s3cret}", "");
    let mut claims = world.issuer.claims(&world.resource());
    claims["active"] = true.into();
    world.issuer.says(claims);
    assert!(world.accepts("opaque-0"));
    world.issuer.behave(Mood::Hangs);
    for round in 0..8 {
        let asked = world.issuer.introspections();
        let _left: Vec<_> = (0..100)
            .map(|number| {
                let made_up = format!("made-up-{round}-{number}");
                let client = Modern::new(&world.gateway, "/mcp").bearing(&made_up);
                client.begin(&client.body("tools/list", json!({})))
            })
            .collect();
        wait_for("some are asked about", || world.issuer.introspections() > asked);
    }
    world.issuer.behave(Mood::Well);
    wait_for("good tokens are asked about", || world.accepts("opaque-1"));
}

#[test]
fn a_stream_ends_with_its_token() {
    let world = World::new();
    let short = world.issuer.token_with(&world.resource(), json!({ "exp": now() + 1 }));
    let client = Modern::new(&world.gateway, "/mcp").bearing(&short);
    let mut listening = client.listen(json!({ "toolsListChanged": true }));
    let began = Instant::now();
    while listening.event().is_some() {}
    // The leeway is 2 s.
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert_eq!(client.ask("tools/list", json!({})).status, 401);
}

#[test]
fn a_tool_may_need_scopes_that_the_token_lacks() {
    let world = World::new();
    let at = |path: &str, scope: &str| {
        let token = world.issuer.token_with(&world.gateway.url(""), json!({ "scope": scope }));
        Modern::new(&world.gateway, path).bearing(&token)
    };
    let slow = json!({ "steps": 1, "pause_ms": 1 });
    let metadata =
        |path: &str| world.gateway.url(&format!("/.well-known/oauth-protected-resource{path}"));
    // 30 to 32.
    for (path, tool, scope, needed) in [
        ("/mcp", "sample__add", "", None),
        ("/mcp", "other__add", "files", None),
        ("/mcp", "other__slow", "files jobs:run", None),
        ("/mcp", "other__slow", "files jobs", None),
        ("/mcp", "other__add", "", Some("files")),
        ("/mcp", "other__add", "Files", Some("files")),
        ("/mcp", "other__add", "file files2 xfiles", Some("files")),
        ("/mcp", "other__slow", "files", Some("files jobs:run")),
        ("/mcp", "other__slow", "files jobs:running", Some("files jobs:run")),
        ("/mcp/other", "slow", "jobs:run", Some("files jobs:run")),
    ] {
        let arguments =
            if tool.ends_with("slow") { slow.clone() } else { json!({ "a": 1, "b": 2 }) };
        let through = json!({ "name": tool, "arguments": arguments });
        let searching = at(&format!("{path}?discovery=search"), scope);
        let through = searching.call("call_tool", through).status;
        assert_eq!(through, if needed.is_some() { 403 } else { 200 }, "{tool} {scope}");
        let answer = at(path, scope).call(tool, arguments);
        match needed {
            None => assert_eq!(answer.status, 200, "{tool} {scope}: {}", answer.body),
            Some(needed) => {
                assert_eq!(answer.status, 403, "{tool} {scope}: {}", answer.body);
                let due = format!(
                    "Bearer error=\"insufficient_scope\", resource_metadata=\"{}\", scope=\"{needed}\"",
                    metadata(path)
                );
                assert_eq!(answer.header("www-authenticate"), Some(due.as_str()));
            }
        }
    }
    // The same in a session, before anything is streamed.
    let token = world.issuer.token(&world.gateway.url(""));
    let session =
        Handshake::open_bearing(&world.gateway, "/mcp", "2025-11-25", json!({}), Some(&token));
    assert_eq!(session.call(1, "other__add", json!({ "a": 1, "b": 2 })).status, 403);
    assert_eq!(session.call(2, "sample__add", json!({ "a": 1, "b": 2 })).status, 200);
    // The first challenge names no scopes, since they would reveal what exists.
    let first = Modern::new(&world.gateway, "/mcp/other").ask("tools/list", json!({}));
    let due = format!("Bearer resource_metadata=\"{}\"", metadata("/mcp/other"));
    assert_eq!((first.status, first.header("www-authenticate")), (401, Some(due.as_str())));
}

#[test]
fn metadata_names_the_resource_as_the_configuration_does() {
    let issuer = Issuer::start();
    let gateway = start(&format!(
        "public_url: https://gw.example\nidentity: {{scopes: [a], issuers: {{test: {{issuer: '{}'}}}}}}\nservers: {{sample: {{sample: true, scopes: [b]}}}}",
        issuer.url
    ));
    let read =
        |path: &str| -> Value { serde_json::from_str(&get(&gateway.address, path).1).unwrap() };
    for (path, resource) in [
        ("/mcp", "https://gw.example/mcp"),
        ("/mcp/sample", "https://gw.example/mcp/sample"),
        ("/sse", "https://gw.example/sse"),
        ("", "https://gw.example"),
    ] {
        let metadata = read(&format!("/.well-known/oauth-protected-resource{path}"));
        assert_eq!(metadata["resource"], resource);
        assert_eq!(metadata["authorization_servers"], json!([issuer.url]));
        assert_eq!(metadata["bearer_methods_supported"], json!(["header"]));
    }
    assert_eq!(
        read("/.well-known/oauth-protected-resource/mcp/sample")["scopes_supported"],
        json!(["a"])
    );
    // 41: no part of the challenge comes from the request.
    let strange = [
        ("host", "localhost"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example"),
    ];
    let answer =
        send(&gateway.address, "GET", "/.well-known/oauth-protected-resource/mcp", &strange, b"")
            .unwrap();
    assert!(answer.body.contains("https://gw.example/mcp") && !answer.body.contains("evil"));
    // Without an issuer there is nothing to log in to.
    let keys = start("servers: {sample: {sample: true}}");
    let _key = keys.key(&["--user", "a"]);
    assert_eq!(get(&keys.address, "/.well-known/oauth-protected-resource/mcp").0, 404);
    let challenge = Modern::new(&keys, "/mcp").ask("tools/list", json!({}));
    assert_eq!(challenge.header("www-authenticate"), Some("Bearer realm=\"doorward\""));
}

#[test]
fn user_and_agent_and_who_acts_for_whom_are_told_apart() {
    let world = World::with(
        ", tenant: acme, trust_email: true, claims: {user: email, teams: realm.groups}",
        "directory: {agents: {'test:blocked': {disabled: true}}, users: {'test:gone@x': {disabled: true}}}",
    );
    std::fs::write(
        world.gateway.folder.path().join("open.cedar"),
        "permit (principal == User::\"test:alice@x\", action, resource == Tool::\"sample/add\")
         when { context.agent == Agent::\"test:agent-2\" && context.chain == [\"test:agent-2\", \"test:agent-1\"] } ;
         permit (principal == Agent::\"test:robot\", action, resource == Tool::\"sample/echo\") unless { context has agent };
         permit (principal in Team::\"test:staff\", action, resource == Tool::\"sample/slow\") when { principal in Tenant::\"acme\" };"
            .replace("context.agent ==", "context has agent && context.agent ==").replace("context.chain == [\"test:agent-2\", \"test:agent-1\"]", "context.chain.containsAll([\"test:agent-2\", \"test:agent-1\"])"),
    )
    .unwrap();
    let names = |changes: Value| {
        let token = world.issuer.token_with(&world.resource(), changes);
        let answer =
            Modern::new(&world.gateway, "/mcp").bearing(&token).ask("tools/list", json!({}));
        if answer.status != 200 {
            return vec![answer.status.to_string()];
        }
        let tools = answer.result()["tools"].as_array().unwrap().clone();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let acting =
        json!({ "email": "alice@x", "act": { "sub": "agent-2", "act": { "sub": "agent-1" } } });
    wait_for("the policies are active", || names(acting.clone()) == ["sample__add"]);
    assert_eq!(names(json!({ "email": "alice@x" })), Vec::<String>::new());
    assert_eq!(names(json!({ "email": null, "client_id": "robot" })), ["sample__echo"]);
    assert_eq!(names(json!({ "email": "robot", "client_id": "robot" })), ["sample__echo"]);
    assert_eq!(
        names(json!({ "email": "x@x", "realm": { "groups": ["staff"] } })),
        ["sample__slow"]
    );
    assert_eq!(names(json!({ "email": "x@x", "groups": ["staff"] })), Vec::<String>::new());
    assert_eq!(names(json!({ "email": "gone@x" })), ["401"]);
    // A disabled principal cannot act, wherever the token names it.
    for claims in [
        json!({ "client_id": "blocked" }),
        json!({ "act": { "sub": "blocked" } }),
        json!({ "act": { "sub": "agent-2", "act": { "sub": "blocked" } } }),
        json!({ "act": { "sub": "agent-2" }, "client_id": "blocked" }),
        json!({ "azp": "agent-2", "client_id": "blocked" }),
    ] {
        let mut claims = claims;
        claims["email"] = "alice@x".into();
        assert_eq!(names(claims.clone()), ["401"], "{claims}");
    }
}

/// A stream delivers what its caller was allowed to see when it was opened, so a caller who loses a role loses the
/// stream.
#[test]
fn a_stream_ends_when_its_bearer_belongs_to_something_else() {
    let world = World::new();
    let token = world.good();
    let key = world.gateway.key(&["--user", "bob"]);
    for (who, shown) in [("test:alice", &token), ("bob", &key)] {
        world.gateway.told(&["principals", "set", "user", who, "--role", "watch"]);
        std::thread::sleep(Duration::from_millis(700));
        let client = Modern::new(&world.gateway, "/mcp").bearing(shown);
        let mut listening = client.listen(json!({ "toolsListChanged": true }));
        let session =
            Handshake::open_bearing(&world.gateway, "/mcp", "2025-06-18", json!({}), Some(shown));
        let mut main = session.listen(None);
        world.gateway.told(&["principals", "set", "user", who]);
        let began = Instant::now();
        for stream in [&mut listening, &mut main] {
            while stream.event().is_some() {}
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{who}: {:?}", began.elapsed());
        assert!(world.accepts(&token));
    }
}

#[test]
fn an_issuer_may_be_held_to_some_scopes() {
    let world = World::with(", trusted_for: {scopes: ['jobs:*']}", "");
    for (scope, status) in [("jobs:run files", 403), ("jobs:run", 403), ("", 403)] {
        let token = world.issuer.token_with(&world.gateway.url(""), json!({ "scope": scope }));
        let client = Modern::new(&world.gateway, "/mcp").bearing(&token);
        let answer = client.call("other__add", json!({ "a": 1, "b": 2 }));
        assert_eq!(answer.status, status, "{scope}: {}", answer.body);
    }
    let world = World::with(", trusted_for: {scopes: ['files']}", "");
    let token = world.issuer.token_with(&world.gateway.url(""), json!({ "scope": "files" }));
    let client = Modern::new(&world.gateway, "/mcp").bearing(&token);
    assert_eq!(client.call("other__add", json!({ "a": 1, "b": 2 })).status, 200);
}

/// A stream that was opened with a token ends when the token expires, however often it was validated since.
#[test]
fn a_stream_ends_with_its_bearer_though_the_token_was_checked_again() {
    let world = World::new();
    let token = world.good();
    let client = Modern::new(&world.gateway, "/mcp").bearing(&token);
    let mut stream = client.listen(json!({ "toolsListChanged": true }));
    // Another change makes the gateway validate the token again.
    world.gateway.told(&["principals", "set", "user", "somebody", "--team", "else"]);
    std::thread::sleep(Duration::from_millis(600));
    assert!(world.accepts(&token));
    world.gateway.told(&["principals", "set", "user", "test:alice", "--disabled"]);
    let began = Instant::now();
    while stream.event().is_some() {}
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(world.ask(&token).status, 401);
}

#[test]
fn only_what_names_administration_makes_operators() {
    let open = doorward_policy::ready_made::find("open").unwrap().policies;
    let root = "permit (principal is User, action in Action::\"administer\", resource);";
    for (policy, views, changes) in [
        ("permit (principal, action, resource);", false, false),
        ("permit (principal, action, resource == Gateway::\"doorward\");", false, false),
        ("permit (principal, action, resource) when { action == Action::\"view\" };", false, false),
        (
            "permit (principal, action, resource) when { context.protocol == \"admin\" };",
            false,
            false,
        ),
        ("permit (principal, action in Action::\"use\", resource);", false, false),
        (open, false, false),
        ("permit (principal, action == Action::\"view\", resource);", true, false),
        (root, true, true),
        (
            "permit (principal, action in [Action::\"use\", Action::\"mint_keys\", \
             Action::\"change_policy\", Action::\"manage_identities\"], resource);",
            false,
            true,
        ),
    ] {
        let folder = crate::support::folder();
        let file = folder.path().join("p.cedar");
        std::fs::write(&file, policy).unwrap();
        let issuer = Issuer::start();
        let gateway = start(&format!(
            "identity: {{issuers: {{test: {{issuer: '{}'}}}}}}\npolicy: {{files: [{}]}}\n\
             servers: {{sample: {{sample: true}}}}",
            issuer.url,
            file.display()
        ));
        let whole = gateway.url("");
        let token = issuer.token(&whole);
        let plain = gateway.key(&["--user", "plain"]);
        let admin = gateway.key(&["--user", "root", "--admin"]);
        let ask = |shown: &str, method: &str, path: &str| {
            let bearer = format!("Bearer {shown}");
            let headers = [JSON[0], ("authorization", bearer.as_str())];
            send(&gateway.admin, method, path, &headers, b"{}").unwrap().status
        };
        for (method, path) in [
            ("GET", "/admin/v1/servers/status"),
            ("GET", "/admin/v1/keys"),
            ("GET", "/metrics"),
            ("GET", "/admin/v1/telemetry"),
            ("GET", "/admin/v1/policies"),
            ("POST", "/admin/v1/keys"),
            ("PUT", "/admin/v1/policies"),
            ("PUT", "/admin/v1/principals/user/x"),
            ("DELETE", "/admin/v1/keys/nothing"),
        ] {
            let may = if method == "GET" { views } else { changes };
            let what = format!("{policy}: {method} {path}");
            assert_eq!(ask(&token, method, path) == 403, !may, "a token, {what}");
            // A key without operator rights cannot administer, whatever policies say.
            assert_eq!(ask(&plain, method, path), 403, "a key, {what}");
            assert_ne!(ask(&admin, method, path), 403, "an operator's key, {what}");
        }
        // A token for a URL that is not an endpoint is not valid anywhere.
        for (aud, path) in [
            ("/keys", "/admin/v1/keys"),
            ("/admin/v1/keys", "/admin/v1/keys"),
            ("/mcp", "/admin/v1/servers/status"),
        ] {
            let token = issuer.token(&gateway.url(aud));
            assert_eq!(ask(&token, "GET", path), 401, "for {aud}: {policy}");
        }
    }
}

#[test]
fn a_token_is_for_the_gateway_or_for_one_of_its_endpoints() {
    let world = World::new();
    for (audience, path, status) in [
        ("", "/mcp", 405),
        ("/", "/mcp", 405),
        ("/mcp", "/mcp", 405),
        ("/mcp", "/mcp/", 405),
        ("/mcp/sample", "/mcp/sample", 405),
        ("/sse", "/messages", 405),
        ("/mcp", "/mcp/sample", 401),
        ("/mcp/sample", "/mcp", 401),
        ("/messages", "/messages", 401),
        ("/nothing", "/nothing", 401),
        ("/mcp/a/b", "/mcp/a/b", 401),
        ("/keys", "/keys", 401),
        ("", "/keys", 404),
    ] {
        let bearer = format!("Bearer {}", world.issuer.token(&world.gateway.url(audience)));
        let headers = [("authorization", bearer.as_str())];
        let answer = send(&world.gateway.address, "PUT", path, &headers, b"").unwrap();
        assert_eq!(answer.status, status, "for '{audience}', at {path}: {}", answer.body);
    }
}

/// A team of one issuer is not the team of the same name of another issuer or of the operator.
#[test]
fn teams_roles_and_tenants_are_an_issuers_own() {
    let (ours, partner) = (Issuer::start(), Issuer::start());
    let gateway = start(&format!(
        "identity:\n  issuers:\n    \
         ours: {{issuer: '{}', claims: {{tenant: org}}, trusted_for: {{teams: [payments, 'eng-*'], roles: [lead], tenants: [acme]}}}}\n    \
         partner: {{issuer: '{}', claims: {{tenant: org}}}}\n\
         policy: {{files: [open.cedar]}}\nservers: {{sample: {{sample: true}}}}",
        ours.url, partner.url
    ));
    std::fs::write(
        gateway.folder.path().join("open.cedar"),
        "permit (principal in Team::\"payments\", action, resource == Tool::\"sample/add\");
         permit (principal in Role::\"lead\", action, resource == Tool::\"sample/echo\");
         permit (principal in Tenant::\"acme\", action, resource == Tool::\"sample/slow\");
         permit (principal in Team::\"eng-a\", action, resource == Tool::\"sample/introduce\");
         permit (principal in Team::\"partner:payments\", action, resource == Tool::\"sample/ask_model\");",
    )
    .unwrap();
    let names = |issuer: &Issuer, claims: Value| {
        let token = issuer.token_with(&gateway.url("/mcp"), claims);
        let listed = Modern::new(&gateway, "/mcp").bearing(&token).ask("tools/list", json!({}));
        let tools = listed.result()["tools"].as_array().unwrap().clone();
        let name = |tool: &Value| tool["name"].as_str().unwrap().replace("sample__", "");
        tools.iter().map(name).collect::<Vec<_>>()
    };
    let all = json!({ "groups": ["payments", "eng-a", "ours:payments", "x"], "roles": ["lead"], "org": "acme" });
    wait_for("the policies are active", || names(&ours, all.clone()).len() == 4);
    let mut seen = names(&ours, all.clone());
    seen.sort();
    assert!(
        ["add", "echo", "slow"].iter().all(|tool| seen.contains(&(*tool).to_owned())),
        "{seen:?}"
    );
    assert!(!seen.contains(&"ask_model".to_owned()), "{seen:?}");
    // The partner's groups with the same names are different groups.
    let theirs = names(&partner, all);
    assert!(theirs == ["ask_model"], "{theirs:?}");
    // No pattern and no name matches groups of another issuer.
    for group in ["partner:payments", "eng-b", "ours:eng-a"] {
        assert_eq!(names(&ours, json!({ "groups": [group] })), Vec::<String>::new(), "{group}");
    }
}

#[test]
fn an_unverified_address_is_nobodys() {
    let world = World::with(", claims: {user: email}", "");
    let ask = |claims: Value| world.ask(&world.issuer.token_with(&world.resource(), claims)).status;
    assert_eq!(ask(json!({ "email": "a@b.example", "email_verified": true })), 200);
    for said in [json!(false), json!("false"), json!(null), json!(1)] {
        let claims = json!({ "email": "ceo@b.example", "email_verified": said });
        assert_eq!(ask(claims), 401, "{said}");
    }
    assert_eq!(ask(json!({ "email": "ceo@b.example" })), 401);
    // The same when the user name comes from another claim.
    let world = World::with(", claims: {user: upn}", "");
    let ask = |claims: Value| world.ask(&world.issuer.token_with(&world.resource(), claims)).status;
    assert_eq!(ask(json!({ "upn": "ceo@b.example" })), 401);
    let both = json!({ "upn": "a@b.example", "email": "a@b.example", "email_verified": true });
    assert_eq!(ask(both), 200);
}

/// Without a credential, the response is the same whether something exists or not (RFC 9728, RFC 6750).
#[test]
fn challenges_and_metadata_tell_nothing_of_what_is_there() {
    let world = World::with(
        "",
        "portals: {support: {tools: ['sample/add'], scopes: [desk]}, plain: {tools: ['sample/add']}}",
    );
    let challenge = |path: &str| {
        let body = Modern::new(&world.gateway, path).body("tools/list", json!({}));
        let mut answers = Vec::new();
        for (method, path) in [("POST", path.to_owned()), ("GET", path.replace("/mcp", "/sse"))] {
            let answer =
                send(&world.gateway.address, method, &path, &JSON, body.to_string().as_bytes());
            let answer = answer.unwrap();
            assert_eq!(answer.status, 401, "{path}");
            answers.push(answer.header("www-authenticate").unwrap().replace(&path, "PATH"));
        }
        let metadata =
            get(&world.gateway.address, &format!("/.well-known/oauth-protected-resource{path}"));
        assert_eq!(metadata.0, 200, "{path}");
        answers.push(metadata.1.replace(path, "PATH"));
        answers
    };
    let nothing = challenge("/mcp/nothing");
    for path in
        ["/mcp/other", "/mcp/sample", "/mcp/support", "/mcp/SUPPORT", "/mcp/plain", "/mcp/OtheR"]
    {
        assert_eq!(challenge(path), nothing, "{path}");
    }
    // A caller who may know about the tool is told which scope is missing.
    let token = world.issuer.token(&world.gateway.url("/mcp/support"));
    let refused =
        Modern::new(&world.gateway, "/mcp/support").bearing(&token).ask("tools/list", json!({}));
    assert_eq!(refused.status, 403);
    assert!(refused.header("www-authenticate").unwrap().contains("scope=\"desk\""));
}
