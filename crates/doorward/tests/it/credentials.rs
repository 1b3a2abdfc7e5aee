//! Credentials for servers: the gateway uses its own, and never a caller's. The server is another gateway, which
//! authenticates its callers.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use crate::support::client::{Handshake, Modern};
use crate::support::issuer::{Issuer, Signer};
use crate::support::{Gateway, PROMPT, doorward, wait_for};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A server that admits only clients of the issuer.
fn server(issuer: &Issuer) -> Gateway {
    let config = "policy: {files: [open.cedar]}\nservers: {sample: {sample: true}}";
    Gateway::start(&format!(
        "identity: {{issuers: {{test: {{issuer: '{}', leeway: 0s}}}}}}\n{config}",
        issuer.url
    ))
}

/// A gateway in front of it, with a credential.
fn before(server: &Gateway, credential: &str) -> Gateway {
    let url = server.url("/mcp/sample");
    Gateway::start(&format!("servers: {{tools: {{url: '{url}', credential: {credential}}}}}"))
}

fn grant(issuer: &Issuer, server: &Gateway, lifetime: i64) {
    let changes = json!({ "sub": "gateway", "client_id": "gateway", "exp": crate::support::issuer::now() + lifetime, "jti": format!("{:?}", std::time::Instant::now()) });
    let token = issuer.token_with(&server.url("/mcp/sample"), changes);
    issuer.grants(json!({ "access_token": token, "token_type": "Bearer", "expires_in": lifetime }));
}

fn add(gateway: &Gateway) -> crate::support::client::Answer {
    Modern::new(gateway, "/mcp").call("tools__add", json!({ "a": 1, "b": 2 }))
}

#[test]
fn tokens_are_fetched_with_a_secret_used_again_and_renewed_by_one_for_all() {
    let issuer = Issuer::start();
    let server = server(&issuer);
    grant(&issuer, &server, 300);
    let credential = format!(
        "{{client: {{issuer: '{}', client_id: 'gate way', client_secret: 's3:cret', scopes: [a, b]}}}}",
        issuer.url
    );
    let gateway = before(&server, &credential);
    assert_eq!(add(&gateway).text(), "3");
    let session = Handshake::open(&gateway, "/mcp", "2025-06-18", json!({}));
    assert_eq!(session.call(1, "tools__add", json!({ "a": 1, "b": 2 })).text(), "3");
    let asked = issuer.asked();
    assert_eq!(asked.len(), 1, "one token is enough");
    let basic = STANDARD.encode("gate+way:s3%3Acret");
    assert_eq!(asked[0].0, format!("Basic {basic}"));
    let form: std::collections::BTreeMap<_, _> =
        url::form_urlencoded::parse(asked[0].1.as_bytes()).into_owned().collect();
    assert_eq!(form["grant_type"], "client_credentials");
    assert_eq!(
        (form["scope"].as_str(), form["resource"].as_str()),
        ("a b", server.url("/mcp/sample").as_str())
    );
    // An expired token: the next call fetches another, and many concurrent calls fetch only one.
    grant(&issuer, &server, 2);
    let short = before(&server, &credential);
    assert_eq!(add(&short).text(), "3");
    let before_expiry = issuer.asked().len();
    std::thread::sleep(std::time::Duration::from_millis(2100));
    grant(&issuer, &server, 300);
    let all: Vec<_> = (0..8)
        .map(|_| {
            let client = Modern::new(&short, "/mcp");
            std::thread::spawn(move || client.call("tools__add", json!({ "a": 1, "b": 2 })).text())
        })
        .collect();
    for one in all {
        assert_eq!(one.join().unwrap(), "3");
    }
    assert_eq!(issuer.asked().len(), before_expiry + 1, "one flight for all");
}

#[test]
fn a_token_that_the_server_refuses_is_replaced_once() {
    let issuer = Issuer::start();
    let server = server(&issuer);
    // A token that looks valid and is not.
    issuer.grants(json!({ "access_token": issuer.token("https://other.example"), "token_type": "bearer", "expires_in": 300 }));
    let credential = format!(
        "{{client: {{token_endpoint: '{}/token', client_id: g, client_secret: s}}}}",
        issuer.url
    );
    let gateway = before(&server, &credential);
    let refused = add(&gateway);
    // The server refuses the token, and the response does not send the caller to log in there.
    assert!(
        refused.header("www-authenticate").is_none() && !refused.body.contains(&issuer.url),
        "{}",
        refused.body
    );
    grant(&issuer, &server, 300);
    wait_for("the next one is good", || add(&gateway).json().get("result").is_some());
    let asked = issuer.asked().len();
    assert!(asked < 20, "{asked} tokens were fetched");
}

#[test]
fn a_key_signs_in_the_place_of_a_secret() {
    let issuer = Issuer::start();
    let server = server(&issuer);
    grant(&issuer, &server, 300);
    let folder = crate::support::folder();
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let text = STANDARD.encode(made.unwrap().as_ref());
    let key = folder.path().join("key.pem");
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    std::fs::write(&key, pem).unwrap();
    let credential = format!(
        "{{client: {{issuer: '{}', client_id: g, key_id: k1, private_key: '${{file:{}}}'}}}}",
        issuer.url,
        key.display()
    );
    let gateway = before(&server, &credential);
    assert_eq!(add(&gateway).text(), "3");
    let (authorization, form) = issuer.asked().pop().unwrap();
    assert_eq!(authorization, "");
    let form: std::collections::BTreeMap<_, _> =
        url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    assert_eq!(
        form["client_assertion_type"],
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    );
    let part = |at: usize| -> Value {
        let part = form["client_assertion"].split('.').nth(at).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    assert_eq!((&part(0)["alg"], &part(0)["kid"]), (&json!("ES256"), &json!("k1")));
    let claims = part(1);
    assert_eq!(
        (&claims["iss"], &claims["sub"], &claims["aud"]),
        (&json!("g"), &json!("g"), &json!(issuer.url))
    );
    assert!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap() <= 60
            && claims["jti"].as_str().unwrap().len() == 32
    );
}

/// A server that stores what it receives.
fn listener() -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(String::new()));
    let book = heard.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut piece = [0; 8192];
            stream.set_read_timeout(Some(PROMPT)).unwrap();
            let read = stream.read(&mut piece).unwrap_or(0);
            book.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..read]));
            let _ = stream.write_all(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    (url, heard)
}

#[test]
fn no_server_sees_a_callers_key_or_token_and_no_log_a_secret() {
    let issuer = Issuer::start();
    let (url, heard) = listener();
    let (basic, basic_heard) = listener();
    let gateway = Gateway::start_unready(&format!(
        "identity: {{issuers: {{test: {{issuer: '{}'}}}}}}\npolicy: {{files: [open.cedar]}}\n\
         servers: {{plain: {{url: '{url}', headers: {{x-api-key: planted-header}}}}, basic: {{url: '{basic}', credential: {{basic: {{user: me, password: planted-password}}}}}}, \
         client: {{url: '{url}', credential: {{client: {{issuer: '{}', client_id: g, client_secret: planted-secret}}}}}}}}",
        issuer.url, issuer.url
    ));
    let token = issuer.token(&gateway.url(""));
    let key = gateway.key(&["--user", "alice", "--admin"]);
    for bearer in [&token, &key] {
        let client = Modern::new(&gateway, "/mcp").bearing(bearer);
        for tool in ["plain__x", "basic__x", "client__x"] {
            client.call(tool, json!({}));
        }
        for path in ["/mcp/plain", "/mcp/basic", "/mcp/client"] {
            Modern { path: path.into(), ..client.clone() }.ask("tools/list", json!({}));
            Handshake::initialize_bearing(&gateway, path, "2025-06-18", json!({}), Some(bearer));
        }
    }
    let shown = STANDARD.encode("me:planted-password");
    wait_for("the servers were asked", || {
        heard.lock().unwrap().contains("x-api-key: planted-header")
            && basic_heard.lock().unwrap().contains(&format!("authorization: Basic {shown}"))
    });
    let heard = format!("{}{}", heard.lock().unwrap(), basic_heard.lock().unwrap());
    let secret = &key[17..];
    let signature = token.rsplit_once('.').unwrap().1;
    for mine in [secret, signature, key.as_str()] {
        assert!(!heard.contains(mine), "a server has seen what a caller showed");
    }
    let admin = [("authorization", format!("Bearer {key}"))];
    let admin: Vec<(&str, &str)> =
        admin.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut outputs = gateway.log().join("\n");
    let streams = "/admin/v1/events";
    let paths = doorward_admin::routes::paths().into_iter();
    for path in paths.filter(|path| !path.contains('{') && *path != streams) {
        outputs.push_str(
            &crate::support::client::send(&gateway.admin, "GET", path, &admin, b"").unwrap().body,
        );
    }
    outputs.push_str(&gateway.told(&["export"]));
    outputs.push_str(&gateway.told(&["keys", "list", "--all", "--json"]));
    outputs.push_str(&stored(gateway.folder.path()));
    for planted in
        ["planted-header", "planted-password", "planted-secret", secret, signature, shown.as_str()]
    {
        assert!(!outputs.contains(planted), "{planted} is told");
    }
}

#[test]
fn wrong_credentials_are_told_before_anything_starts() {
    let folder = crate::support::folder();
    let file = folder.path().join("doorward.yaml");
    let key = Signer::rsa().public_pem().replace('\n', "\\n");
    for (credential, said) in [
        ("{client: {client_id: a, client_secret: b}}".to_owned(), "set 'issuer'"),
        (
            "{client: {issuer: 'http://id.example', client_id: a, client_secret: b}}".to_owned(),
            "https://",
        ),
        (
            "{client: {issuer: 'https://id.example', client_id: a}}".to_owned(),
            "one of 'client_secret'",
        ),
        (
            format!(
                "{{client: {{issuer: 'https://id.example', client_id: a, private_key: \"{key}\"}}}}"
            ),
            "not an RSA",
        ),
        ("{basic: {user: 'a:b', password: c}}".to_owned(), "must not contain ':'"),
        ("{magic: {}}".to_owned(), "magic"),
        ("{basic: {user: a, password: changeme}}".to_owned(), "is a placeholder"),
        ("{client: {issuer: 'https://id.example', client_id: a, client_secret: '<your secret>'}}".to_owned(), "is a placeholder"),
    ] {
        std::fs::write(
            &file,
            format!("servers: {{x: {{url: 'https://x.example/mcp', credential: {credential}}}}}\n"),
        )
        .unwrap();
        let checked = doorward().arg("check").arg(&file).output().unwrap();
        let error = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.code() == Some(3) && error.contains(said), "{credential}: {error}");
    }
}

const KEY: &str = "a master key of more than 32 characters";

/// Runs a command on a gateway's store, with a secret on standard input.
fn keep(gateway: &Gateway, arguments: &[&str], secret: &str) -> std::process::Output {
    let mut child = doorward()
        .args(arguments)
        .env("DOORWARD_STORE", crate::support::store_in(gateway.folder.path()))
        .env("DOORWARD_STORE_KEY", KEY)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(secret.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn callers_bring_credentials_of_their_own_and_see_nobody_elses() {
    // The server is a gateway whose policies distinguish callers.
    let server = Gateway::start("policy: {files: [open.cedar]}\nservers: {sample: {sample: true}}");
    let own = server.told(&["keys", "create", "--service-account", "gateway"]);
    let alices = server.told(&["keys", "create", "--user", "alice-there"]);
    let teams = server.told(&["keys", "create", "--user", "team-there"]);
    std::fs::write(
        server.folder.path().join("open.cedar"),
        "permit (principal, action in [Action::\"list\", Action::\"read\"], resource);
         permit (principal == ServiceAccount::\"gateway\", action, resource) unless { resource == Tool::\"sample/none\" };
         permit (principal, action == Action::\"call\", resource);
         forbid (principal == ServiceAccount::\"gateway\", action == Action::\"call\", resource) when { context.arguments has text };"
            .replace("permit (principal == Serv", "@arguments(\"text?: String\") permit (principal == Serv").replace("forbid (", "@arguments(\"text?: String\") forbid ("),
    )
    .unwrap();
    wait_for("the server's policies are active", || {
        server.log().iter().filter(|line| line.contains("policies are active")).count() > 1
    });
    let url = server.url("/mcp/sample");
    let gateway = Gateway::start(&format!(
        "store_key: {KEY}\nservers: {{tools: {{url: '{url}', headers: {{Authorization: 'Bearer {own}'}}, personal: {{}}}}}}"
    ));
    let alice = gateway.key(&["--user", "alice"]);
    let bob = gateway.key(&["--user", "bob", "--in-team", "support"]);
    let eve = gateway.key(&["--user", "eve"]);
    for (arguments, secret) in [
        (["credentials", "set", "tools", "--user", "alice"], alices.as_str()),
        (["credentials", "set", "tools", "--team", "support"], teams.as_str()),
    ] {
        let done = keep(&gateway, &arguments, &format!("{secret}\n"));
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let echo = |key: &str| {
        Modern::new(&gateway, "/mcp").bearing(key).call("tools__echo", json!({ "text": "hi" }))
    };
    for (what, key) in [("alice's is used", &alice), ("a team's is its members'", &bob)] {
        wait_for(what, || echo(key).json().get("result").is_some());
        assert_eq!(echo(key).text(), "hi", "{what}");
    }
    let none = echo(&eve);
    assert_eq!(
        (none.kind().as_str(), none.json()["error"]["data"]["retryable"].clone()),
        ("unauthorized", json!(false)),
        "{}",
        none.body
    );
    // The gateway fetches lists once for all callers, with its own credential.
    assert!(
        Modern::new(&gateway, "/mcp").bearing(&eve).ask("tools/list", json!({})).result()["tools"]
            .as_array()
            .unwrap()
            .len()
            > 2
    );
    // This also holds in a session with the server, and sessions are not shared.
    for key in [&alice, &bob] {
        let session = Handshake::open_bearing(&gateway, "/mcp", "2025-06-18", json!({}), Some(key));
        assert_eq!(session.call(1, "tools__echo", json!({ "text": "hi" })).text(), "hi");
    }
    let session = Handshake::open_bearing(&gateway, "/mcp", "2025-06-18", json!({}), Some(&eve));
    assert_eq!(session.call(1, "tools__echo", json!({ "text": "hi" })).kind(), "unauthorized");
    // A credential that the server refuses affects only its owner.
    assert!(
        keep(&gateway, &["credentials", "set", "tools", "--user", "alice"], "dwk_wrong")
            .status
            .success()
    );
    wait_for("alice's is refused", || echo(&alice).kind() == "unauthorized");
    assert_eq!(echo(&bob).text(), "hi");
    // Credentials are removed, listed without secrets, and encrypted again with a new key.
    assert!(
        keep(&gateway, &["credentials", "remove", "tools", "--user", "alice"], "").status.success()
    );
    let listed =
        String::from_utf8(keep(&gateway, &["credentials", "list", "--json"], "").stdout).unwrap();
    assert!(
        listed.contains("support") && !listed.contains("alice") && !listed.contains("v1."),
        "{listed}"
    );
    let new = "another master key of 32 characters!";
    let rekeyed = keep(&gateway, &["credentials", "rekey", "--new-key", new], "");
    assert!(rekeyed.status.success(), "{}", String::from_utf8_lossy(&rekeyed.stderr));
    wait_for("the old key opens nothing", || echo(&bob).kind() == "unauthorized");
    assert!(gateway.logged("encrypted with another master key"));
    let again = Gateway::start(&format!(
        "store: {}\nstore_key: {new}\nservers: {{tools: {{url: '{url}', headers: {{Authorization: 'Bearer {own}'}}, personal: {{}}}}}}",
        crate::support::store_in(gateway.folder.path())
    ));
    assert_eq!(
        Modern::new(&again, "/mcp")
            .bearing(&bob)
            .call("tools__echo", json!({ "text": "hi" }))
            .text(),
        "hi"
    );
    // No secret appears in the log or in the files.
    let mut seen = gateway.log().join("");
    seen.push_str(&stored(gateway.folder.path()));
    for secret in [&alices[17..], &teams[17..], KEY, new] {
        assert!(!seen.contains(secret));
    }
    for (arguments, input, said) in [
        (["credentials", "set", "tools", "--user", "x"], "", "one credential"),
        (["credentials", "set", "tools", "--user", "x"], "two\nlines", "one credential"),
    ] {
        let wrong = keep(&gateway, &arguments, input);
        assert!(
            wrong.status.code() == Some(2) && String::from_utf8_lossy(&wrong.stderr).contains(said)
        );
    }
}

/// A partner's team "payments" is not the team that the credential is stored for.
#[test]
fn a_teams_credential_is_not_for_another_issuers_team_of_that_name() {
    let server = Gateway::start("servers: {sample: {sample: true}}");
    let own = server.told(&["keys", "create", "--service-account", "gateway"]);
    let teams = server.key(&["--user", "team-there"]);
    let (ours, partner) = (Issuer::start(), Issuer::start());
    let gateway = Gateway::start(&format!(
        "store_key: {KEY}\nidentity:\n  issuers:\n    ours: {{issuer: '{}', trusted_for: {{teams: [payments]}}}}\n    \
         partner: {{issuer: '{}'}}\npolicy: {{files: [open.cedar]}}\n\
         servers: {{tools: {{url: '{}', headers: {{Authorization: 'Bearer {own}'}}, personal: {{}}}}}}",
        ours.url,
        partner.url,
        server.url("/mcp/sample")
    ));
    let done = keep(
        &gateway,
        &["credentials", "set", "tools", "--team", "payments"],
        &format!("{teams}\n"),
    );
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let call = |issuer: &Issuer| {
        let token = issuer
            .token_with(&gateway.url("/mcp"), json!({ "groups": ["payments"], "tenant": "acme" }));
        Modern::new(&gateway, "/mcp").bearing(&token).call("tools__add", json!({ "a": 1, "b": 2 }))
    };
    wait_for("the credential is known", || call(&ours).json().get("result").is_some());
    assert_eq!(call(&partner).kind(), "unauthorized", "{}", call(&partner).body);
    wait_for("the record says whose team it is", || {
        gateway.told(&["audit", "search", "--json"]).contains("partner:payments")
    });
}

/// Everything that a gateway has stored in its folder.
fn stored(folder: &std::path::Path) -> String {
    let mut texts = String::new();
    for file in std::fs::read_dir(folder).unwrap().flatten() {
        let path = file.path();
        if path.is_dir() {
            texts.push_str(&stored(&path));
        } else if path.to_string_lossy().contains(".db") {
            texts.push_str(&String::from_utf8_lossy(&std::fs::read(path).unwrap()));
        }
    }
    texts
}
