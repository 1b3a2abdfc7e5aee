//! The console and the portal: their files, signing in and out, and what a browser session authorizes (attacks T7,
//! T10, T16).

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::client::{Answer, Modern, open, send};
use crate::support::issuer::{Issuer, now, token};
use crate::support::login::query;
use crate::support::{Gateway, store_in, wait_for};

const SAMPLE: &str = "servers: {sample: {sample: true}}\n";
const ADMIN: (&str, &str) = ("doorward-admin", "1");
const JSON: (&str, &str) = ("content-type", "application/json");

/// A browser at the console or the portal.
#[derive(Clone)]
pub struct Browser {
    pub address: String,
    base: &'static str,
    pub cookies: BTreeMap<String, String>,
}

impl Browser {
    fn console(gateway: &Gateway) -> Self {
        Self { address: gateway.admin.clone(), base: "/console", cookies: BTreeMap::new() }
    }

    pub fn portal(gateway: &Gateway) -> Self {
        Self { address: gateway.address.clone(), base: "/portal", cookies: BTreeMap::new() }
    }

    fn cookie(&self) -> String {
        let all = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        all.collect::<Vec<_>>().join("; ")
    }

    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let cookie = self.cookie();
        let mut headers = vec![("cookie", cookie.as_str())];
        headers.extend(more);
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let answer = send(&self.address, method, path, &headers, text.as_bytes()).unwrap();
        for (_, value) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, rest) = value.split_once('=').unwrap();
            assert!(rest.contains("; Path=/;") && rest.contains("HttpOnly"), "{value}");
            let site = if name.contains("-login-") { "Lax" } else { "Strict" };
            assert!(rest.contains(&format!("SameSite={site}")), "{value}");
            self.cookies.insert(name.to_owned(), rest.split(';').next().unwrap().to_owned());
            if rest.contains("Max-Age=0") {
                self.cookies.remove(name);
            }
        }
        answer
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[("sec-fetch-site", "same-origin")], &Value::Null)
    }

    /// Sends a change as a page of the application does.
    pub fn change(&mut self, method: &str, path: &str, body: Value) -> Answer {
        let origin = format!("http://{}", self.address);
        let own = [ADMIN, JSON, ("origin", &*origin), ("sec-fetch-site", "same-origin")];
        self.send(method, path, &own, &body)
    }

    pub fn post(&mut self, rest: &str, body: Value) -> Answer {
        self.change("POST", &format!("{}{rest}", self.base), body)
    }

    fn session(&mut self) -> Value {
        let answer = self.get(&format!("{}/auth/session", self.base));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    pub fn sign_in(mut self, key: &str) -> Self {
        let answer = self.post("/auth/key", json!({ "key": key }));
        assert_eq!(answer.status, 204, "{}", answer.body);
        self
    }

    /// Signs in at the provider as the given user and returns to the gateway.
    pub fn sign_in_at(&mut self, provider: &Issuer, id: &str, to: &str, claims: Value) -> Answer {
        let asked = self.leave(id, to);
        provider.grants(granted(provider, &asked["nonce"], claims));
        let back = format!("{}/auth/callback?code=x&state={}", self.base, asked["state"]);
        self.send("GET", &back, &[("sec-fetch-site", "cross-site")], &Value::Null)
    }

    fn leave(&mut self, id: &str, to: &str) -> BTreeMap<String, String> {
        let answer = self.get(&format!("{}/auth/openid/{id}?return={to}", self.base));
        assert_eq!(answer.status, 303, "{}", answer.body);
        let asked = query(answer.header("location").unwrap());
        assert_eq!(
            asked["redirect_uri"],
            format!("http://{}{}/auth/callback", self.address, self.base)
        );
        assert_eq!(asked["code_challenge_method"], "S256");
        asked
    }
}

/// What the provider's token endpoint returns for a user.
fn granted(provider: &Issuer, nonce: &str, claims: Value) -> Value {
    let mut all = json!({
        "iss": provider.url, "aud": "doorward", "sub": "alice", "nonce": nonce,
        "iat": now(), "exp": now() + 300, "sid": "their session",
    });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    let header = json!({ "alg": "RS256", "kid": "one" });
    let id_token = token(&header, &all.to_string(), &provider.signer);
    json!({ "access_token": "theirs", "token_type": "Bearer", "id_token": id_token })
}

pub fn login(provider: &Issuer, more: &str) -> String {
    format!(
        "{SAMPLE}identity: {{login: {{providers: {{corp: {{issuer: '{}', client_id: doorward, client_secret: \
         'hunter2 hunter2 hunter2', trusted_for: {{roles: ['*']}}}}}}{more}}}}}\n",
        provider.url
    )
}

#[test]
fn a_browser_gets_the_application_and_programs_what_they_ask_for() {
    let gateway = Gateway::start(SAMPLE);
    for (address, base) in [(&gateway.admin, "/console"), (&gateway.address, "/portal")] {
        let page = [("accept", "text/html,*/*")];
        let root = send(address, "GET", "/", &page, b"").unwrap();
        assert_eq!((root.status, root.header("location")), (303, Some(&*format!("{base}/"))));
        for path in ["/", "/servers/deep/page", "/x.y"] {
            let answer = send(address, "GET", &format!("{base}{path}"), &page, b"").unwrap();
            assert_eq!(answer.status, 200);
            assert!(answer.body.contains(&format!("<base href=\"{base}/\">")), "{}", answer.body);
            let policy = answer.header("content-security-policy").unwrap();
            assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
            assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
            assert_eq!(answer.header("x-frame-options"), Some("DENY"));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(answer.header("cross-origin-opener-policy"), Some("same-origin"));
            assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"));
            assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
        let missing = send(address, "GET", &format!("{base}/assets/no.js"), &page, b"").unwrap();
        assert_eq!(missing.status, 404);
        // Another name for this machine (DNS rebinding).
        let other = [("host", "evil.example")];
        let other = send(address, "GET", &format!("{base}/"), &other, b"").unwrap();
        assert_eq!(other.status, 403);
    }
    let session = Browser::console(&gateway).session();
    assert_eq!((&session["signed_in"], &session["method"]), (&json!(true), &json!("open")));
    assert!(session["may"].as_array().unwrap().contains(&json!("view")), "{session}");
    assert_eq!(Browser::portal(&gateway).session()["may"], json!([]));
    // Web pages cannot create the first key, which would turn authentication on.
    let made = json!({ "owner": { "kind": "user", "name": "eve" } });
    let made = Browser::console(&gateway).change("POST", "/admin/v1/keys", made);
    assert_eq!(made.status, 403);
    assert_eq!(
        Modern::new(&gateway, "/mcp").call("sample__add", json!({ "a": 1, "b": 2 })).status,
        200
    );
}

#[test]
fn faces_that_are_disabled_are_not_there() {
    let gateway = Gateway::start(&format!(
        "{SAMPLE}console: {{enabled: false}}\nportal: {{enabled: false}}\n"
    ));
    let page = [("accept", "text/html")];
    let status = |address: &str, path| send(address, "GET", path, &page, b"").unwrap();
    assert_eq!(status(&gateway.admin, "/console/").status, 404);
    assert!(status(&gateway.address, "/").body.contains("This is an MCP gateway"));
    assert_ne!(status(&gateway.address, "/portal/auth/session").status, 200);
}

#[test]
fn a_key_signs_in_and_its_session_ends_with_it() {
    let gateway = Gateway::start(SAMPLE);
    let key = gateway.key(&["--user", "root", "--admin"]);
    let mut browser = Browser::console(&gateway);
    let before = browser.session();
    assert_eq!((&before["signed_in"], &before["principal"]), (&json!(false), &Value::Null));
    assert_eq!(before["gateway"]["version"], "");
    assert_eq!(browser.post("/auth/key", json!({ "key": "dwk_nonsense" })).status, 401);
    let mut browser = browser.sign_in(&key);
    let session = browser.session();
    assert_eq!(
        (&session["method"], &session["principal"]["name"]),
        (&json!("key"), &json!("root"))
    );
    assert_eq!(session["idle_seconds"], 3600);
    assert!(session["may"].as_array().unwrap().contains(&json!("mint_keys")), "{session}");
    assert_eq!(browser.get("/admin/v1/keys").status, 200);
    // Signing in again starts a new session and ends the old one, which prevents session fixation.
    let old = browser.clone();
    let mut browser = browser.sign_in(&key);
    assert_ne!(old.cookie(), browser.cookie());
    assert_eq!(old.clone().get("/admin/v1/keys").status, 401);
    let fixed = format!("doorward-console={}", "x".repeat(43));
    let mut chosen = browser.clone();
    chosen.cookies = [("doorward-console".to_owned(), fixed.clone())].into();
    chosen = chosen.sign_in(&key);
    assert_ne!(chosen.cookies["doorward-console"], fixed);
    // An administrator sees the session and can end it.
    let listed = browser.get("/admin/v1/logins").json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "{listed}");
    assert!(!listed.to_string().contains(&browser.cookies["doorward-console"]), "the secret");
    let own = listed["items"][1]["id"].as_str().unwrap();
    let other = listed["items"][0]["id"].as_str().unwrap();
    assert_eq!(
        browser.change("DELETE", &format!("/admin/v1/logins/{other}"), Value::Null).status,
        200
    );
    let left = [browser.clone(), chosen]
        .into_iter()
        .filter_map(|mut it| (it.get("/admin/v1/keys").status == 200).then_some(it));
    let mut left: Vec<_> = left.collect();
    assert_eq!(left.len(), 1, "{own}");
    let id = &key[4..16];
    gateway.told(&["keys", "revoke", id]);
    wait_for("the session is over", || left[0].get("/admin/v1/keys").status == 401);
    assert_eq!(left[0].session()["signed_in"], false);
}

/// Every request that a page of another site can make a browser send.
#[test]
fn other_sites_change_and_read_nothing_with_a_session() {
    let gateway = Gateway::start(SAMPLE);
    let key = gateway.key(&["--user", "root", "--admin"]);
    let mut browser = Browser::console(&gateway).sign_in(&key);
    let own = format!("http://{}", gateway.admin);
    let port = "http://127.0.0.1:1";
    let body = json!({ "everywhere": false });
    let path = "/admin/v1/configuration/reload";
    for (case, headers) in [
        ("no header", vec![JSON, ("origin", &*own)]),
        ("no origin", vec![JSON, ADMIN]),
        ("another port", vec![JSON, ADMIN, ("origin", port)]),
        ("another site", vec![JSON, ADMIN, ("origin", "https://evil.example")]),
        ("no site", vec![JSON, ADMIN, ("origin", "null")]),
        (
            "the browser says so",
            vec![JSON, ADMIN, ("origin", &*own), ("sec-fetch-site", "same-site")],
        ),
    ] {
        let answer = browser.send("POST", path, &headers, &body);
        assert_eq!(answer.status, 403, "{case}: {}", answer.body);
        if case != "no header" {
            for rest in ["key", "logout", "token"] {
                let path = format!("/console/auth/{rest}");
                assert_eq!(
                    browser.send("POST", &path, &headers, &body).status,
                    403,
                    "{case} {rest}"
                );
            }
        }
    }
    let form = [("content-type", "text/plain"), ADMIN, ("origin", &*own)];
    assert_eq!(browser.send("POST", path, &form, &body).status, 415);
    for site in ["cross-site", "same-site"] {
        let answer =
            browser.send("GET", "/admin/v1/keys", &[("sec-fetch-site", site)], &Value::Null);
        assert_eq!(answer.status, 403, "{site}");
    }
    assert_eq!(browser.get("/admin/v1/keys").status, 200, "still signed in");
}

#[test]
fn a_session_is_good_at_its_own_face_only_and_never_for_calls() {
    let gateway = Gateway::start(SAMPLE);
    let key = gateway.key(&["--user", "root", "--admin"]);
    let mut console = Browser::console(&gateway).sign_in(&key);
    let mut portal = Browser::portal(&gateway).sign_in(&key);
    assert_eq!(portal.get("/portal/v1/me").status, 200);
    assert_eq!(portal.get("/portal/v1/nothing").status, 404);
    // The same secrets, each under the name of the other cookie.
    let secret = |browser: &Browser| browser.cookies.values().next().unwrap().clone();
    for (mut at, secret) in [(portal.clone(), secret(&console)), (console.clone(), secret(&portal))]
    {
        at.cookies = ["doorward-console", "doorward-portal", "__Host-doorward-portal"]
            .map(|name| (name.to_owned(), secret.clone()))
            .into();
        assert_eq!(at.session()["signed_in"], false);
        let path = if at.base == "/portal" { "/portal/v1/me" } else { "/admin/v1/keys" };
        assert_eq!(at.get(path).status, 401);
    }
    let call = Modern::new(&gateway, "/mcp");
    let body =
        call.body("tools/call", json!({ "name": "sample__add", "arguments": { "a": 1, "b": 2 } }));
    let both = format!("{}; {}", console.cookie(), portal.cookie());
    assert_eq!(call.send(&body, &[("cookie", &both)]).status, 401);
    for path in ["/mcp", "/v0.1/servers", "/sse"] {
        let answer = send(&gateway.address, "GET", path, &[("cookie", &*both)], b"").unwrap();
        assert_eq!(answer.status, 401, "{path}");
    }
    // A token of the session is valid for calls, here and through the console, and for nothing else.
    for browser in [&mut console, &mut portal] {
        let issued = browser.post("/auth/token", json!({})).json();
        assert_eq!(issued["expires_in"], 300);
        let bearer = issued["token"].as_str().unwrap();
        let authorization = format!("Bearer {bearer}");
        assert_eq!(call.send(&body, &[("authorization", &authorization)]).status, 200);
        let admin = [("authorization", &*authorization)];
        assert_eq!(send(&gateway.admin, "GET", "/admin/v1/keys", &admin, b"").unwrap().status, 401);
        let headers = Modern::headers(&body);
        let mut headers: Vec<_> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let path = "/console/mcp/mcp/sample";
        let mut sample = body.clone();
        sample["params"]["name"] = json!("add");
        headers.retain(|(name, _)| *name != "mcp-name");
        headers.push(("mcp-name", "add"));
        let text = sample.to_string();
        let own = format!("http://{}", gateway.admin);
        headers.retain(|(name, _)| *name != "content-type");
        let accept = ("accept", "application/json, text/event-stream");
        headers.extend([JSON, accept, ("origin", &*own), ("cookie", &*both)]);
        let refused = send(&gateway.admin, "POST", path, &headers, text.as_bytes()).unwrap();
        assert_eq!(refused.status, 401, "{}", refused.body);
        headers.push(("authorization", &authorization));
        let answer = send(&gateway.admin, "POST", path, &headers, text.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "3"), "{}", answer.body);
        for elsewhere in ["/console/mcp/oauth/token", "/console/mcp/approvals/ab", "/console/mcp/"]
        {
            let answer =
                send(&gateway.admin, "POST", elsewhere, &headers, text.as_bytes()).unwrap();
            assert_ne!(answer.status, 200, "{elsewhere}");
        }
        // The token ends with the session.
        assert_eq!(browser.post("/auth/logout", json!({})).status, 200);
        assert_eq!(call.send(&body, &[("authorization", &authorization)]).status, 401);
    }
}

#[test]
fn wrong_keys_are_limited() {
    let gateway = Gateway::start(SAMPLE);
    let key = gateway.key(&["--user", "root"]);
    let mut browser = Browser::portal(&gateway);
    let wrong = json!({ "key": format!("{}x", &key[..key.len() - 1]) });
    let statuses: Vec<u16> =
        (0..14).map(|_| browser.post("/auth/key", wrong.clone()).status).collect();
    assert_eq!(statuses[0], 401);
    assert_eq!(statuses[13], 429, "{statuses:?}");
}

#[test]
fn a_user_signs_in_at_a_provider_and_out_everywhere() {
    let provider = Issuer::start();
    provider.describes(json!({ "end_session_endpoint": format!("{}/end", provider.url) }));
    let one = Gateway::start(&login(&provider, ""));
    let key = one.key(&["--user", "root", "--admin"]);
    let mut browser = Browser::console(&one);
    let ways = browser.session()["ways"].clone();
    assert_eq!(
        ways,
        json!([{ "kind": "openid", "id": "corp", "name": "corp" }, { "kind": "key" }])
    );
    let claims = json!({ "roles": ["ops"] });
    let back = browser.sign_in_at(&provider, "corp", "/console/servers", claims.clone());
    assert_eq!(
        (back.status, back.header("location")),
        (303, Some("/console/servers")),
        "{}",
        back.body
    );
    let session = browser.session();
    assert_eq!(session["principal"]["name"], "corp:alice");
    assert_eq!(session["principal"]["roles"], json!(["ops"]));
    assert_eq!((&session["method"], &session["provider"]), (&json!("openid"), &json!("corp")));
    // Nobody has given the user the right to administer.
    assert_eq!(session["may"], json!([]));
    assert_eq!(browser.get("/admin/v1/keys").status, 403);

    // Another gateway on the same store, where the user signs in to the portal.
    let store = store_in(one.folder.path());
    let two = Gateway::start(&format!("{}store: {store}\n", login(&provider, "")));
    let mut there = Browser::portal(&two);
    there.sign_in_at(&provider, "corp", "/portal/", claims.clone());
    assert_eq!(there.session()["signed_in"], true);
    let mut moved = browser.clone();
    moved.address = two.admin.clone();
    assert_eq!(moved.session()["principal"]["name"], "corp:alice", "replicas know it");
    let mut root = Browser::console(&two).sign_in(&key);
    let out = there.post("/auth/logout", json!({ "everywhere": true })).json();
    let to = out["continue"].as_str().unwrap();
    assert!(to.starts_with(&format!("{}/end?", provider.url)), "{to}");
    assert!(query(to).contains_key("id_token_hint"));
    for browser in [&mut browser, &mut moved, &mut there] {
        assert_eq!(browser.session()["signed_in"], false);
    }
    assert_eq!(root.session()["signed_in"], true, "somebody else");

    // The provider reports that the user has logged out there (back-channel logout).
    browser.sign_in_at(&provider, "corp", "/console/", claims.clone());
    there.sign_in_at(&provider, "corp", "/portal/", json!({ "sid": "another session" }));
    let say = |claims: Value| {
        let mut all = json!({ "iss": provider.url, "aud": "doorward", "iat": now(), "jti": "one",
            "sid": "their session", "sub": "alice",
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} } });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        let header = json!({ "alg": "RS256", "kid": "one", "typ": "logout+jwt" });
        let signed = token(&header, &all.to_string(), &provider.signer);
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let body = format!("logout_token={signed}");
        send(&two.address, "POST", "/portal/auth/backchannel", &form, body.as_bytes())
            .unwrap()
            .status
    };
    for wrong in [
        json!({ "aud": "another" }),
        json!({ "nonce": "x" }),
        json!({ "events": {} }),
        json!({ "iat": now() - 900 }),
        json!({ "iss": "https://evil.example" }),
    ] {
        assert_eq!(say(wrong.clone()), 400, "{wrong}");
    }
    assert_eq!(browser.session()["signed_in"], true);
    assert_eq!(say(json!({})), 200);
    assert_eq!(browser.session()["signed_in"], false);
    assert_eq!(there.session()["signed_in"], true, "of another session there");

    // Disabling a user takes effect at their next request.
    one.told(&["principals", "set", "user", "corp:alice", "--disabled"]);
    wait_for("the user is out", || there.session()["signed_in"] == false);
    let refused = there.sign_in_at(&provider, "corp", "/portal/", claims);
    assert_eq!(refused.status, 403);
}

#[test]
fn a_response_that_is_not_the_providers_own_signs_nobody_in() {
    let provider = Issuer::start();
    provider.describes(json!({ "authorization_response_iss_parameter_supported": true }));
    let gateway = Gateway::start(&login(&provider, ""));
    let start = || Browser::console(&gateway);
    let back = |browser: &mut Browser, asked: &BTreeMap<String, String>, more: &str| {
        let path = format!("/console/auth/callback?state={}&code=x{more}", asked["state"]);
        let answer = browser.get(&path);
        (answer.status, browser.session()["signed_in"] == true)
    };
    let iss = format!("&iss={}", provider.url);
    let mut browser = start();
    let asked = browser.leave("corp", "/console/");
    provider.grants(granted(&provider, &asked["nonce"], json!({})));
    // Mix-up: the response of another issuer, or of none (RFC 9207).
    assert_eq!(back(&mut browser.clone(), &asked, "&iss=https://evil.example"), (400, false));
    assert_eq!(back(&mut browser.clone(), &asked, ""), (400, false));
    // Another browser, with the attacker's state and code.
    assert_eq!(back(&mut start(), &asked, &iss), (400, false));
    let mut other = browser.clone();
    let elsewhere = other.leave("corp", "/console/");
    assert_ne!(elsewhere["state"], asked["state"]);
    // The ID token of another login, or for another client.
    provider.grants(granted(&provider, "another", json!({})));
    assert_eq!(back(&mut other, &elsewhere, &iss), (502, false));
    let mut other = start();
    let elsewhere = other.leave("corp", "/console/");
    provider.grants(granted(&provider, &elsewhere["nonce"], json!({ "aud": "another" })));
    assert_eq!(back(&mut other, &elsewhere, &iss), (502, false));
    // A login can be completed only once.
    provider.grants(granted(&provider, &asked["nonce"], json!({})));
    let replayed = browser.clone();
    assert_eq!(back(&mut browser, &asked, &iss), (303, true));
    assert_eq!(back(&mut replayed.clone(), &asked, &iss), (400, false));
    // A login at the portal does not sign in at the console.
    let mut portal = Browser::portal(&gateway);
    let asked = portal.leave("corp", "/portal/");
    provider.grants(granted(&provider, &asked["nonce"], json!({})));
    let mut console = start();
    for (name, value) in &portal.cookies {
        console.cookies.insert(name.replace("portal", "console"), value.clone());
    }
    assert_eq!(back(&mut console, &asked, &iss), (400, false));
    // A login never redirects to another site.
    let mut browser = start();
    let asked = browser.leave("corp", "https://evil.example/console/");
    provider.grants(granted(&provider, &asked["nonce"], json!({})));
    let path = format!("/console/auth/callback?state={}&code=x{iss}", asked["state"]);
    assert_eq!(browser.get(&path).header("location"), Some("/console/"));
    // A browser that uses another name of this machine is first redirected to the configured one.
    let port = gateway.admin.rsplit(':').next().unwrap();
    let named = format!("localhost:{port}");
    let path = "/console/auth/openid/corp?return=/console/x";
    let answer = send(&gateway.admin, "GET", path, &[("host", &named)], b"").unwrap();
    assert_eq!(answer.header("location"), Some(&*format!("http://{}{path}", gateway.admin)));
}

#[test]
fn a_session_ends_when_it_is_idle_and_in_any_case() {
    let provider = Issuer::start();
    let gateway = Gateway::start(&login(&provider, ", lifetime: 1m, idle: 1s"));
    let key = gateway.key(&["--user", "root", "--admin"]);
    let mut browser = Browser::console(&gateway).sign_in(&key);
    let headers = [("cookie", &*browser.cookie())].map(|(name, value)| (name, value.to_owned()));
    let sent: Vec<_> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
    let mut events = open(&gateway.admin, "GET", "/admin/v1/events", &sent, b"").unwrap();
    assert_eq!(events.status, 200);
    // An open stream does not count as use of the session, and ends with it.
    wait_for("the stream ends", || events.event().is_none());
    assert_eq!(browser.session()["signed_in"], false);
    // Use does not extend a session beyond the maximum lifetime that was set at login.
    let absolute =
        "UPDATE browser_sessions SET expires = created, idle = 1000, used = created + 900";
    let mut browser = Browser::console(&gateway).sign_in(&key);
    let file = gateway.folder.path().join("doorward.db");
    let changed = std::process::Command::new("python3")
        .args(["-c", "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()"])
        .arg(&file)
        .arg(absolute)
        .status();
    assert!(changed.unwrap().success());
    assert_eq!(browser.session()["signed_in"], false);
}

#[test]
fn a_stop_ends_sessions_and_their_streams() {
    let gateway = Gateway::start(SAMPLE);
    let key = gateway.key(&["--user", "root", "--admin"]);
    let other = gateway.key(&["--user", "eve", "--admin"]);
    let mut eve = Browser::console(&gateway).sign_in(&other);
    let mut root = Browser::console(&gateway).sign_in(&key);
    let cookie = eve.cookie();
    let mut events =
        open(&gateway.admin, "GET", "/admin/v1/events", &[("cookie", &*cookie)], b"").unwrap();
    assert_eq!(events.status, 200);
    gateway.told(&["stop", "user", "eve", "--why", "stolen laptop"]);
    wait_for("the stream ends", || events.event().is_none());
    wait_for("the session is gone", || {
        let all = root.get("/admin/v1/logins").json();
        all["items"].as_array().is_some_and(|all| all.len() == 1)
    });
    assert_ne!(eve.get("/admin/v1/keys").status, 200);
    // All sessions of a user who has left end at once.
    let left = json!({ "principal": "user \"root\"" });
    let ended = root.change("POST", "/admin/v1/logins/end", left);
    assert_eq!((ended.status, &ended.json()["ended"]), (200, &json!(1)), "{}", ended.body);
    assert_eq!(root.session()["signed_in"], false);
}

#[test]
fn an_administrator_has_a_few_streams_and_is_told_since_when_nothing_is_known() {
    let gateway = Gateway::start(SAMPLE);
    let key = gateway.key(&["--user", "root", "--admin"]);
    let browser = Browser::console(&gateway).sign_in(&key);
    let cookie = browser.cookie();
    let sent = [("cookie", &*cookie), ("last-event-id", "1700000000000")];
    let watch = || open(&gateway.admin, "GET", "/admin/v1/events", &sent, b"").unwrap();
    let mut streams: Vec<_> = (0..8).map(|_| watch()).collect();
    let mut resumed = String::new();
    while !resumed.contains("1700000000000") {
        resumed = streams[0].event().unwrap();
    }
    assert_eq!(watch().status, 429);
    drop(streams);
    wait_for("places are free again", || watch().status == 200);
}
