//! Delegation at a server that requires a token: another gateway, whose authorization server is independent of the
//! first.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::a2a::{A2a, state, to, words};
use crate::support::client::{Answer, Handshake, Modern, send};
use crate::support::hostile::{Era, answer, with_habit};
use crate::support::issuer::Issuer;
use crate::support::login::{Browser, World, query, sealed};
use crate::support::{Gateway, wait_for};
use serde_json::{Value, json};

const KEY: &str = "store_key: 'another master key of some characters'\n";

/// A gateway in front of a server that requires tokens, and the server.
struct Pair {
    behind: World,
    front: Gateway,
}

impl Pair {
    fn new() -> Self {
        Self::before(World::new())
    }

    fn before(behind: World) -> Self {
        let front = Gateway::start(&format!(
            "{KEY}servers: {{b: {{url: '{}', delegated: {{}}}}}}\n",
            behind.gateway.url("/mcp/sample")
        ));
        let pair = Self { behind, front };
        // An operator connects the gateway itself, so that it can list the server's tools.
        let admin = format!("http://{}", pair.front.admin);
        let link = pair.front.told(&["credentials", "connect", "b", "--admin-url", &admin]);
        pair.connect(&link, "alice");
        wait_for("the server is up", || pair.front.states()[0]["state"] == "up");
        pair
    }

    /// Opens a link, gives consent everywhere, and returns.
    fn connect(&self, link: &str, user: &str) -> Answer {
        let mut browser = Browser::default();
        let away = leave(&self.front, &mut browser, link);
        assert!(away.starts_with(&self.behind.gateway.url("/oauth/authorize?")), "{away}");
        let asked = query(&away);
        assert_eq!(asked["resource"], self.behind.gateway.url("/mcp/sample"));
        assert_eq!(asked["redirect_uri"], self.front.url("/oauth/connected"));
        let back = self.consent(&away, user);
        let answer = browser.get(&self.front, &back);
        assert!(answer.body.contains("b is connected"), "{}", answer.body);
        answer
    }

    /// Gives consent at the server's authorization server. Returns the path of the callback.
    fn consent(&self, away: &str, user: &str) -> String {
        let (gateway, mut browser) = (&self.behind.gateway, Browser::default());
        let page = browser.get(gateway, &away[gateway.url("").len()..]);
        assert!(page.body.contains("Doorward"), "{}", page.body);
        let fields = [("request", &*sealed(&page.body)), ("decision", "allow")];
        let login = browser.post(gateway, "/oauth/consent", &fields, &[]);
        let login = login.header("location").unwrap().to_owned();
        self.behind.provider.knows(json!({ "sub": user }));
        self.behind.sign_in(&login, json!({ "sub": user }));
        let back = browser.get(gateway, &self.behind.callback(&login));
        let back = back.header("location").unwrap();
        back[self.front.url("").len()..].to_owned()
    }

    fn client(&self, user: &str) -> Modern {
        let modern = Modern::new(&self.front, "/mcp").bearing(&self.front.key(&["--user", user]));
        modern.with(json!({ "elicitation": { "url": {} } }))
    }
}

/// Opens a link and confirms. Returns the URL that the browser is redirected to.
fn leave(gateway: &Gateway, browser: &mut Browser, link: &str) -> String {
    let page = browser.get(gateway, &link[gateway.url("").len()..]);
    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    let fields = [("request", &*sealed(&page.body)), ("decision", "allow")];
    let answer = browser.post(gateway, "/oauth/connect", &fields, &[("origin", &gateway.url(""))]);
    assert_eq!(answer.status, 303, "{}", answer.body);
    answer.header("location").unwrap().to_owned()
}

fn sum() -> Value {
    json!({ "a": 20, "b": 3 })
}

/// The link and the state of a result that asks for consent.
fn asked(answer: &Answer) -> (String, String) {
    let result = answer.result();
    assert_eq!(result["resultType"], "input_required", "{result}");
    let question = &result["inputRequests"]["consent"];
    assert_eq!(
        (&question["method"], &question["params"]["mode"]),
        (&json!("elicitation/create"), &json!("url"))
    );
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&question["params"]["url"]), text(&result["requestState"]))
}

fn retry(client: &Modern, state: &str, action: &str) -> Answer {
    client.ask(
        "tools/call",
        json!({
            "name": "b__add", "arguments": sum(), "requestState": state,
            "inputResponses": { "consent": { "action": action } },
        }),
    )
}

#[test]
fn a_task_of_an_agent_is_told_the_link_and_goes_on_after_consent() {
    let pair = Pair::new();
    let alice = A2a::new(&pair.front).bearing(&pair.front.key(&["--user", "alice"]));
    let asked = alice.call("b/add", sum());
    assert_eq!(state(&asked), "TASK_STATE_AUTH_REQUIRED", "{asked}");
    let words = words(&asked);
    let (_, link) = words.split_once(": ").unwrap();
    pair.connect(link, "alice");
    let done = alice.send(to(&asked, json!({ "text": "I have opened it" })));
    assert_eq!(state(&done), "TASK_STATE_COMPLETED", "{done}");
    assert_eq!(done["artifacts"][0]["parts"][0]["data"]["sum"], 23, "{done}");
    // Who declines is not asked again.
    let bob = A2a::new(&pair.front).bearing(&pair.front.key(&["--user", "bob"]));
    let asked = bob.call("b/add", sum());
    let decline = json!({ "inputResponses": { "consent": { "action": "decline" } } });
    let declined = bob.send(to(&asked, json!({ "data": decline })));
    assert_eq!(state(&declined), "TASK_STATE_FAILED", "{declined}");
    assert!(!declined.to_string().contains("artifact"), "{declined}");
}

#[test]
fn a_call_waits_until_its_user_has_consented_and_goes_on() {
    let pair = Pair::new();
    let alice = pair.client("alice");
    let (link, state) = asked(&alice.call("b__add", sum()));
    assert!(link.starts_with(&pair.front.url("/oauth/connect?request=")), "{link}");
    // The call waits while the user gives consent.
    let answer = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| retry(&alice, &state, "accept"));
        std::thread::sleep(Duration::from_millis(700));
        pair.connect(&link, "alice");
        waiting.join().unwrap()
    });
    assert_eq!(answer.text(), "23");
    assert_eq!(alice.call("b__add", sum()).text(), "23");
    // Another user is asked separately, and nobody can answer for another user.
    let bob = pair.client("bob");
    let (_, own) = asked(&bob.call("b__add", sum()));
    assert_eq!(retry(&bob, &state, "accept").code(), -32602);
    let declined = retry(&bob, &own, "decline");
    assert_eq!(declined.kind(), "unauthorized", "{}", declined.body);
    // The user's credential is stored, listed and encrypted.
    let listed: Value =
        serde_json::from_str(&pair.front.told(&["credentials", "list", "--json"])).unwrap();
    let owners: Vec<_> =
        listed.as_array().unwrap().iter().map(|one| one["owner"].as_str().unwrap()).collect();
    assert_eq!(owners, ["gateway", "user \"alice\""]);
    let database = std::fs::read(pair.front.folder.path().join("doorward.db")).unwrap();
    let wal = std::fs::read(pair.front.folder.path().join("doorward.db-wal")).unwrap_or_default();
    let all = [&database[..], &wal, pair.front.log().join("\n").as_bytes()].concat();
    // The server's tokens are JWTs.
    assert!(!String::from_utf8_lossy(&all).contains("eyJ"));
    assert_eq!(
        pair.front.told(&["credentials", "disconnect", "b"]),
        "deleted for b: the gateway's own grant"
    );
    // After it is removed, consent is requested again.
    pair.front.told(&["credentials", "remove", "b", "--user", "alice"]);
    let began = Instant::now();
    wait_for("alice is asked again", || {
        alice.call("b__add", sum()).result()["resultType"] == "input_required"
    });
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_grant_that_is_over_at_the_server_is_asked_for_again() {
    let pair = Pair::new();
    let alice = pair.client("alice");
    let (link, _) = asked(&alice.call("b__add", sum()));
    pair.connect(&link, "alice");
    assert_eq!(alice.call("b__add", sum()).text(), "23");
    let grants = pair.behind.gateway.told(&["grants", "list", "--json"]);
    let grants: Value = serde_json::from_str(&grants).unwrap();
    for grant in grants.as_array().unwrap() {
        pair.behind.gateway.told(&["grants", "revoke", grant["id"].as_str().unwrap()]);
    }
    wait_for("alice is asked again", || {
        let answer = alice.call("b__add", sum());
        answer.json()["result"]["resultType"] == "input_required"
    });
    wait_for("it is logged", || pair.front.logged("a grant has ended"));
}

#[test]
fn every_client_is_told_in_its_own_words() {
    let pair = Pair::new();
    let key = pair.front.key(&["--user", "alice"]);
    let open = |revision: &str, capabilities: Value| {
        Handshake::open_bearing(&pair.front, "/mcp", revision, capabilities, Some(&key))
    };
    let url = json!({ "elicitation": { "url": {}, "form": {} } });
    let session = open("2025-11-25", url.clone());
    let mut main = session.listen(None);
    let answer = session.call(1, "b__add", sum());
    assert_eq!(answer.code(), -32042, "{}", answer.body);
    let elicitation = &answer.json()["error"]["data"]["elicitations"][0];
    assert_eq!(elicitation["mode"], "url");
    let id = elicitation["elicitationId"].as_str().unwrap().to_owned();
    let link = elicitation["url"].as_str().unwrap().to_owned();
    // A client without URL elicitation gets the link as text.
    let modern = Modern::new(&pair.front, "/mcp").bearing(&key);
    for answer in [
        open("2025-11-25", json!({})).call(1, "b__add", sum()),
        open("2025-06-18", json!({ "elicitation": {} })).call(1, "b__add", sum()),
        open("2024-11-05", json!({})).call(1, "b__add", sum()),
        modern.call("b__add", sum()),
    ] {
        assert_eq!(answer.kind(), "unauthorized", "{}", answer.body);
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(&pair.front.url("/oauth/connect?request=")), "{message}");
    }
    pair.connect(&link, "alice");
    // The client is notified when the elicitation completes, and can then repeat the call.
    let done = loop {
        let message = main.message().unwrap();
        if message["method"] == "notifications/elicitation/complete" {
            break message;
        }
    };
    assert_eq!(done["params"]["elicitationId"], json!(id));
    assert_eq!(session.call(2, "b__add", sum()).text(), "23");
    assert_eq!(open("2025-11-25", url).call(2, "b__add", sum()).text(), "23");
    assert_eq!(open("2025-06-18", json!({})).call(1, "b__add", sum()).text(), "23");
}

#[test]
fn a_consent_is_for_the_browser_that_was_sent_and_from_the_issuer_that_was_asked() {
    let pair = Pair::new();
    let alice = pair.client("alice");
    let (link, _) = asked(&alice.call("b__add", sum()));
    let mut browser = Browser::default();
    let away = leave(&pair.front, &mut browser, &link);
    let back = pair.consent(&away, "alice");
    let state = query(&away)["state"].clone();
    let refused = |browser: &mut Browser, path: &str, what: &str| {
        let answer = browser.get(&pair.front, path);
        assert_eq!(answer.status, 400, "{what}: {}", answer.body);
        assert!(!answer.body.contains("is connected"));
    };
    refused(&mut Browser::default(), &back, "another browser");
    refused(&mut browser.clone(), &back.replace(&state, "x"), "another state");
    refused(&mut browser.clone(), &format!("{back}&iss=x"), "twice");
    let issuer = format!(
        "iss={}",
        query(&format!("http://x{back}"))["iss"].replace(':', "%3A").replace('/', "%2F")
    );
    assert!(back.contains(&issuer), "{back}");
    refused(
        &mut browser.clone(),
        &back.replace(&issuer, "iss=https%3A%2F%2Fevil.example"),
        "another issuer",
    );
    refused(
        &mut browser.clone(),
        &back.replace(&issuer, "x=y"),
        "no issuer, though it says that it names itself",
    );
    assert_eq!(alice.call("b__add", sum()).result()["resultType"], "input_required");
    assert_eq!(browser.get(&pair.front, &back).status, 200);
    refused(&mut browser, &back, "reused");
    assert_eq!(alice.call("b__add", sum()).text(), "23");
    // Links are sealed, and their pages work only in the browser that opened them.
    for path in ["/oauth/connect", "/oauth/connect?request=x"] {
        refused(&mut browser, path, path);
    }
    let page = browser.get(&pair.front, &link[pair.front.url("").len()..]);
    let fields = [("request", &*sealed(&page.body)), ("decision", "allow")];
    let other = Browser::default().post(&pair.front, "/oauth/connect", &fields, &[]);
    assert_eq!(other.status, 400);
    let foreign =
        browser.post(&pair.front, "/oauth/connect", &fields, &[("origin", "http://localhost:1")]);
    assert_eq!(foreign.status, 403);
}

#[test]
fn who_opens_a_link_must_be_whom_it_was_made_for() {
    let behind = World::new();
    let provider = Issuer::start();
    let more = format!(
        "servers: {{b: {{url: '{}', delegated: {{}}}}}}\n",
        behind.gateway.url("/mcp/sample")
    );
    let config =
        World::config(&provider, "", "").replace("servers: {sample: {sample: true}}\n", &more);
    let front = World { provider, gateway: Gateway::start_unready(&config) };
    // An operator connects the gateway itself, which is not a user.
    let pair = Pair { behind, front: front.gateway };
    let key = pair.front.key(&["--user", "root", "--admin"]);
    let admin = format!("http://{}", pair.front.admin);
    let link =
        pair.front.told(&["credentials", "connect", "b", "--admin-url", &admin, "--key", &key]);
    pair.connect(&link, "alice");
    wait_for("the server is up", || {
        let told = pair.front.told(&["servers", "--admin-url", &admin, "--key", &key, "--json"]);
        told.contains("\"up\"")
    });
    let front = World { provider: front.provider, gateway: pair.front };
    let (access, _) = front.tokens();
    let alice = Modern::new(&front.gateway, "/mcp").bearing(&access);
    let alice = alice.with(json!({ "elicitation": { "url": {} } }));
    let (link, _) = asked(&alice.call("b__add", sum()));
    let pair = Pair { behind: pair.behind, front: front.gateway };
    let front_provider = front.provider;
    let open = |user: &str| {
        let mut browser = Browser::default();
        let login = leave(&pair.front, &mut browser, &link);
        assert!(login.starts_with(&format!("{}/authorize?", front_provider.url)), "{login}");
        let claims = json!({
            "iss": front_provider.url, "aud": "doorward", "sub": user, "iat": crate::support::issuer::now(),
            "exp": crate::support::issuer::now() + 60, "nonce": query(&login)["nonce"],
        });
        let header = json!({ "alg": "RS256", "kid": "one", "typ": "JWT" });
        let id_token =
            crate::support::issuer::token(&header, &claims.to_string(), &front_provider.signer);
        front_provider.knows(json!({ "sub": user }));
        front_provider
            .grants(json!({ "access_token": "x", "token_type": "Bearer", "id_token": id_token }));
        let path = format!("/oauth/callback?code=x&state={}", query(&login)["state"]);
        (browser.get(&pair.front, &path), browser)
    };
    // When another user opens the link, nothing of theirs is connected.
    let (refused, _) = open("mallory");
    assert_eq!((refused.status, refused.header("location")), (403, None), "{}", refused.body);
    wait_for("it is logged", || pair.front.logged("a link was opened by another user"));
    let (answer, mut browser) = open("alice");
    let away = answer.header("location").unwrap().to_owned();
    let back = pair.consent(&away, "alice");
    assert!(browser.get(&pair.front, &back).body.contains("b is connected"));
    assert_eq!(alice.call("b__add", sum()).text(), "23");
}

#[test]
fn a_tool_that_needs_more_is_asked_for_beside_what_was_given() {
    let provider = Issuer::start();
    let config = World::config(&provider, "", "")
        .replace("scopes: [read, write]", "scopes: [read]")
        .replace(
            "sample: {sample: true}",
            "sample: {sample: true, tools: {add: {scopes: [write]}}}",
        );
    let gateway = Gateway::start(&config);
    let pair = Pair::before(World { provider, gateway });
    let alice = pair.client("alice");
    let (link, _) = asked(&alice.call("b__add", sum()));
    pair.connect(&link, "alice");
    // The missing scope is requested at once, and the call waits until the user consents to it as well.
    let (link, state) = asked(&alice.call("b__add", sum()));
    let answer = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| retry(&alice, &state, "accept"));
        std::thread::sleep(Duration::from_millis(1200));
        assert!(!waiting.is_finished(), "it does not wait");
        let mut browser = Browser::default();
        let away = leave(&pair.front, &mut browser, &link);
        assert_eq!(query(&away)["scope"], "read write");
        let back = pair.consent(&away, "alice");
        assert!(browser.get(&pair.front, &back).body.contains("b is connected"));
        waiting.join().unwrap()
    });
    assert_eq!(answer.text(), "23");
    assert_eq!(alice.call("b__add", sum()).text(), "23");
}

/// A server whose authorization server can be made to misbehave.
struct Wrong {
    issuer: Issuer,
    server: Gateway,
    front: Gateway,
}

impl Wrong {
    fn new(delegated: &str) -> Self {
        let issuer = Issuer::start();
        issuer.describes(json!({ "code_challenge_methods_supported": ["S256"] }));
        let server = Gateway::start("servers: {sample: {sample: true}}\n");
        // The gateway itself uses its own key; the tokens that users receive are keys as well.
        let own = server.key(&["--user", "gateway"]);
        let front = Gateway::start(&format!(
            "{KEY}servers: {{b: {{url: '{}', headers: {{authorization: 'Bearer {own}'}}, \
             delegated: {{issuer: '{}', {delegated}}}}}}}\n",
            server.url("/mcp/sample"),
            issuer.url
        ));
        Self { issuer, server, front }
    }

    fn client(&self) -> Modern {
        let key = self.front.key(&["--user", "alice"]);
        Modern::new(&self.front, "/mcp").bearing(&key).with(json!({ "elicitation": { "url": {} } }))
    }

    fn connect(&self, client: &Modern) -> Answer {
        let (link, _) = asked(&client.call("b__add", sum()));
        let mut browser = Browser::default();
        let away = leave(&self.front, &mut browser, &link);
        let path = format!("/oauth/connected?code=x&state={}", query(&away)["state"]);
        browser.get(&self.front, &path)
    }
}

#[test]
fn tokens_are_renewed_ahead_of_their_time_once_for_all() {
    let wrong =
        Wrong::new("client_id: doorward, client_secret: 'hunter2 of the gateway', scopes: [a, b]");
    let client = wrong.client();
    let token = |name: &str, lifetime: i64| {
        let key = wrong.server.key(&["--user", name]);
        json!({ "access_token": key, "token_type": "Bearer", "expires_in": lifetime, "refresh_token": "again" })
    };
    wrong.issuer.grants(token("first", 4));
    assert!(wrong.connect(&client).body.contains("b is connected"));
    let (shown, form) = wrong.issuer.asked().pop().unwrap();
    assert!(
        shown.starts_with("Basic ") && form.contains("grant_type=authorization_code"),
        "{form}"
    );
    assert!(form.contains("code_verifier=") && form.contains("resource="));
    assert_eq!(client.call("b__add", sum()).text(), "23");
    let before = wrong.issuer.asked().len();
    wrong.issuer.grants(token("second", 300));
    std::thread::sleep(Duration::from_millis(4200));
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert_eq!(client.call("b__add", sum()).text(), "23"));
        }
    });
    let asked = wrong.issuer.asked();
    assert_eq!(asked.len(), before + 1, "{asked:?}");
    assert!(
        asked[before].1.contains("grant_type=refresh_token")
            && asked[before].1.contains("refresh_token=again")
    );
    let told = wrong.front.told(&["credentials", "list"]);
    assert!(told.contains("user \"alice\"") && !told.contains("second"), "{told}");
}

#[test]
fn an_authorization_server_that_misleads_is_not_followed() {
    let wrong = Wrong::new("client_id: doorward");
    let client = wrong.client();
    for (members, why) in [
        (json!({}), "it does not announce support for PKCE"),
        (
            json!({ "code_challenge_methods_supported": ["plain"] }),
            "it does not announce support for PKCE",
        ),
        (json!({ "issuer": "https://other.example" }), "it is the metadata of"),
        (
            json!({ "authorization_endpoint": "javascript:alert(1)", "code_challenge_methods_supported": ["S256"] }),
            "is not an https:// URL",
        ),
    ] {
        wrong.issuer.describes(members.clone());
        let (link, _) = asked(&client.call("b__add", sum()));
        let mut browser = Browser::default();
        let page = browser.get(&wrong.front, &link[wrong.front.url("").len()..]);
        let fields = [("request", &*sealed(&page.body)), ("decision", "allow")];
        let answer = browser.post(&wrong.front, "/oauth/connect", &fields, &[]);
        assert_eq!((answer.status, answer.header("location")), (502, None), "{members}");
        wait_for("it is logged", || wrong.front.logged(why));
    }
    // If the authorization server accepts neither client metadata documents nor registrations, the error tells the
    // operator what to do.
    let wrong = Wrong::new("scopes: [a]");
    let client = wrong.client();
    let (link, _) = asked(&client.call("b__add", sum()));
    let mut browser = Browser::default();
    let page = browser.get(&wrong.front, &link[wrong.front.url("").len()..]);
    let fields = [("request", &*sealed(&page.body)), ("decision", "allow")];
    assert_eq!(browser.post(&wrong.front, "/oauth/connect", &fields, &[]).status, 502);
    wait_for("it is logged", || wrong.front.logged("register the gateway there"));
    // A server whose metadata names another resource.
    let other = World::new();
    let front = Gateway::start(&format!(
        "{KEY}servers: {{b: {{url: '{}', delegated: {{}}}}}}\n",
        other.gateway.url("/mcp/sample/")
    ));
    let _ = send(&front.address, "GET", "/oauth/client.json", &[], b"").unwrap();
    let document = send(&front.address, "GET", "/oauth/client.json", &[], b"").unwrap();
    assert_eq!(document.json()["redirect_uris"], json!([front.url("/oauth/connected")]));
}

/// Another port of the server's host may belong to a service that trusts local requests, such as the gateway's own
/// admin listener. The gateway sends no request to such a port, even if the server names it.
#[test]
fn nothing_at_another_port_of_the_servers_host_is_asked() {
    for named in
        ["resource_metadata", "authorization_servers", "registration_endpoint", "token_endpoint"]
    {
        for same_host in [false, true] {
            let asked = Arc::new(AtomicUsize::new(0));
            let seen = asked.clone();
            let near = with_habit(Era::Modern, move |_, out| {
                seen.fetch_add(1, Ordering::SeqCst);
                answer(out, 404, "application/json", b"{}");
                true
            });
            let elsewhere = format!("http://{}", near.address);
            let server = with_habit(Era::Modern, move |asked, out| {
                let own = format!("http://{}", asked.header("host").unwrap());
                let at = |member: &str, path: &str| {
                    format!("{}{path}", if member == named { &elsewhere } else { &own })
                };
                let body = match asked.path.split('?').next().unwrap_or_default() {
                    "/mcp" => {
                        let metadata =
                            at("resource_metadata", "/.well-known/oauth-protected-resource/mcp");
                        let head = format!(
                            "HTTP/1.1 401 X\r\nwww-authenticate: Bearer resource_metadata=\"{metadata}\"\r\ncontent-length: 0\r\n\r\n"
                        );
                        let _ = std::io::Write::write_all(out, head.as_bytes());
                        return true;
                    }
                    "/.well-known/oauth-protected-resource/mcp" => json!({
                        "resource": format!("{own}/mcp"),
                        "authorization_servers": [at("authorization_servers", "")],
                    }),
                    "/.well-known/oauth-authorization-server" => json!({
                        "issuer": own,
                        "authorization_endpoint": format!("{own}/authorize"),
                        "token_endpoint": at("token_endpoint", "/token"),
                        "registration_endpoint": at("registration_endpoint", "/keys"),
                        "code_challenge_methods_supported": ["S256"],
                    }),
                    "/keys" => json!({ "client_id": "x" }),
                    _ => json!({}),
                };
                answer(out, 200, "application/json", body.to_string().as_bytes());
                true
            });
            let front = Gateway::start_unready(&format!(
                "{KEY}servers: {{b: {{url: '{}', delegated: {{same_host: {same_host}}}}}}}\n",
                server.url()
            ));
            let admin = format!("http://{}", front.admin);
            let link = front.told(&["credentials", "connect", "b", "--admin-url", &admin]);
            let mut browser = Browser::default();
            let page = browser.get(&front, &link[front.url("").len()..]);
            let fields = [("request", &*sealed(&page.body)), ("decision", "allow")];
            let away =
                browser.post(&front, "/oauth/connect", &fields, &[("origin", &front.url(""))]);
            if let Some(location) = away.header("location").filter(|_| away.status == 303) {
                let state = query(location)["state"].clone();
                browser.get(&front, &format!("/oauth/connected?code=x&state={state}"));
            }
            let count = asked.load(Ordering::SeqCst);
            // If the operator allows the whole host, the gateway does send the request, which proves that this test
            // can fail.
            assert_eq!(count > 0, same_host, "{named}, same_host {same_host}: {count} requests");
        }
    }
}

#[test]
fn what_is_stopped_is_connected_by_nobody() {
    let pair = Pair::new();
    let front = &pair.front;
    let key = front.key(&["--user", "alice", "--in-tenant", "acme"]);
    let alice = Modern::new(front, "/mcp").bearing(&key);
    let alice = alice.with(json!({ "elicitation": { "url": {} } }));
    let (link, _) = asked(&alice.call("b__add", sum()));
    let path = &link[front.url("").len()..];
    let mut browser = Browser::default();
    let page = browser.get(front, path);
    let fields = [("request", &*sealed(&page.body)), ("decision", "allow")];
    // A login that is under way: the user has given consent but has not come back yet.
    let mut away = Browser::default();
    let gone = leave(front, &mut away, &link);
    let back = pair.consent(&gone, "alice");
    let is_refused = |answer: &Answer| {
        answer.status == 400 && answer.body.contains("stopped by an administrator")
    };
    for target in [
        &["server", "b"][..],
        &["user", "alice"],
        &["tenant", "acme"],
        &["credential", "b"],
        &["credential", "b/user:alice"],
        &["all"],
    ] {
        let said = front.told(&[&["stop"], target, &["--why", "a drill"]].concat());
        let id = said.rsplit('(').next().unwrap().trim_end_matches(')').to_owned();
        wait_for("the link is refused", || is_refused(&Browser::default().get(front, path)));
        let origin = front.url("");
        let answer = browser.post(front, "/oauth/connect", &fields, &[("origin", &origin)]);
        assert!(is_refused(&answer), "{target:?}: {} {}", answer.status, answer.body);
        let answer = away.clone().get(front, &back);
        assert!(!answer.body.contains("is connected"), "{target:?}: {}", answer.body);
        front.told(&["stop", "undo", &id, "--why", "over"]);
        wait_for("the link is good again", || Browser::default().get(front, path).status == 200);
    }
    // An emergency stop for another user does not affect this one.
    front.told(&["stop", "user", "bob", "--why", "a drill"]);
    front.told(&["stop", "credential", "b/user:bob", "--why", "a drill"]);
    let answer = away.get(front, &back);
    assert!(answer.body.contains("b is connected"), "{}", answer.body);
    assert_eq!(alice.call("b__add", sum()).text(), "23");
}
