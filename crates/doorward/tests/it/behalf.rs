//! Credentials for a server on behalf of its callers: exchanged tokens, assertions that the gateway signs, and the
//! gateway's certificate. The server is another gateway, which authenticates its callers.
#![allow(clippy::unwrap_used)]

use crate::support::client::{Answer, Modern};
use crate::support::issuer::Issuer;
use crate::support::login::{self, query};
use crate::support::{Gateway, made, wait_for};
use serde_json::{Value, json};

const KEY: &str = "store_key: 'another master key of some characters'\n";

fn sum() -> Value {
    json!({ "a": 20, "b": 3 })
}

/// A provider, a gateway whose callers it authenticates, and a server behind the gateway that accepts only its own
/// keys.
struct World {
    provider: Issuer,
    server: Gateway,
    front: Gateway,
}

impl World {
    /// Adds settings to the entry of the server; `{issuer}` stands for the provider.
    fn new(entry: &str) -> Self {
        let provider = Issuer::start();
        let server = Gateway::start("servers: {sample: {sample: true}}\n");
        let own = server.key(&["--user", "gateway"]);
        let entry = entry.replace("{issuer}", &provider.url);
        let front = Gateway::start(&format!(
            "identity: {{issuers: {{test: {{issuer: '{}'}}}}}}\npolicy: {{files: [open.cedar]}}\n\
             servers: {{b: {{url: '{}', headers: {{authorization: 'Bearer {own}'}}, {entry}}}}}\n",
            provider.url,
            server.url("/mcp/sample")
        ));
        Self { provider, server, front }
    }

    fn token_of(&self, user: &str) -> String {
        self.provider.token_with(&self.front.url("/mcp"), json!({ "sub": user }))
    }

    fn call(&self, token: &str) -> Answer {
        Modern::new(&self.front, "/mcp").bearing(token).call("b__add", sum())
    }

    /// The provider's next response is a key of the server.
    fn grants(&self, user: &str) {
        let key = self.server.key(&["--user", user]);
        let answer = json!({ "access_token": key, "token_type": "Bearer", "expires_in": 300 });
        self.provider.grants(answer);
    }
}

/// The fields of a form.
fn fields(form: &str) -> std::collections::BTreeMap<String, String> {
    query(&format!("http://x/?{form}"))
}

#[test]
fn a_callers_token_is_exchanged_and_never_sent_on() {
    let world = World::new(
        "exchange: {at: {issuer: '{issuer}', client_id: doorward, client_secret: 'hunter2 of the gateway'}, \
         audience: crm, scopes: [read]}",
    );
    world.grants("alice");
    let alice = world.token_of("alice");
    assert_eq!(world.call(&alice).text(), "23");
    let (shown, form) = world.provider.asked().pop().unwrap();
    let form = fields(&form);
    assert!(shown.starts_with("Basic "));
    for (name, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", &*alice),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("audience", "crm"),
        ("scope", "read"),
        ("resource", &*world.server.url("/mcp/sample")),
    ] {
        assert_eq!(form[name], value, "{name}");
    }
    // One exchange serves all calls of one caller; each caller has a separate one.
    let calls: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..10).map(|_| scope.spawn(|| world.call(&alice).text())).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(calls.iter().all(|text| text == "23"));
    assert_eq!(world.provider.asked().len(), 1);
    let bob = world.token_of("bob");
    world.grants("bob");
    assert_eq!(world.call(&bob).text(), "23");
    assert_eq!(world.provider.asked().len(), 2);
    // The server revokes the token, and the gateway fetches another one, once.
    let keys: Value =
        serde_json::from_str(&world.server.told(&["keys", "list", "--json"])).unwrap();
    for key in keys.as_array().unwrap().iter().filter(|key| key["owner"] == "alice") {
        world.server.told(&["keys", "revoke", key["id"].as_str().unwrap()]);
    }
    world.grants("alice");
    wait_for("alice has another", || {
        let _ = world.call(&alice);
        world.provider.asked().len() == 3
    });
    assert_eq!(world.call(&alice).text(), "23");
    assert_eq!(world.provider.asked().len(), 3);
    // A caller without a token has nothing to exchange.
    let key = world.front.key(&["--user", "carol"]);
    let refused = world.call(&key);
    assert_eq!(refused.kind(), "unauthorized", "{}", refused.body);
    // A refusal of the provider refuses the call, and none of its text reaches the caller.
    world.provider.refuses("access_denied");
    let dave = world.token_of("dave");
    let refused = world.call(&dave);
    assert_eq!(refused.kind(), "unauthorized");
    let log = [world.front.log(), world.server.log()].concat().join("\n");
    for secret in [&alice, &bob, &dave, "hunter2 of the gateway"] {
        assert!(!log.contains(secret) && !refused.body.contains(secret));
    }
}

#[test]
fn an_identity_assertion_gets_a_token_of_the_servers_own_authorization_server() {
    let there = Issuer::start();
    let world = World::new(&format!(
        "exchange: {{at: {{issuer: '{{issuer}}', client_id: doorward, client_secret: 'hunter2 of the gateway'}}, \
         scopes: [read], grant: {{issuer: '{}', client_id: there, client_secret: 'hunter2 of the others'}}}}",
        there.url
    ));
    let key = world.server.key(&["--user", "alice"]);
    there.grants(json!({ "access_token": key, "token_type": "Bearer", "expires_in": 300 }));
    let jag = "urn:ietf:params:oauth:token-type:id-jag";
    world.provider.grants(
        json!({ "access_token": "an assertion", "issued_token_type": jag, "token_type": "N_A" }),
    );
    let alice = world.token_of("alice");
    assert_eq!(world.call(&alice).text(), "23");
    let form = fields(&world.provider.asked().pop().unwrap().1);
    assert_eq!((&*form["requested_token_type"], &*form["audience"]), (jag, &*there.url));
    assert_eq!(
        (&*form["subject_token"], &*form["resource"]),
        (&*alice, &*world.server.url("/mcp/sample"))
    );
    let (_, form) = there.asked().pop().unwrap();
    let form = fields(&form);
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!((&*form["assertion"], &*form["scope"]), ("an assertion", "read"));
    assert!(!format!("{:?}", there.asked()).contains(&alice), "it is the provider's alone");
    // A response other than an assertion is not forwarded.
    world
        .provider
        .grants(json!({ "access_token": "a token", "token_type": "Bearer", "expires_in": 300 }));
    let bob = world.token_of("bob");
    assert_eq!(world.call(&bob).kind(), "unauthorized");
    assert_eq!(there.asked().len(), 1);
}

#[test]
fn a_server_is_told_who_calls_by_the_gateways_own_signature() {
    let server = Gateway::start("servers: {sample: {sample: true}}\n");
    let front = Gateway::start(&format!(
        "{KEY}servers: {{b: {{url: '{}', assertion: {{audience: '{}', lifetime: 30s}}}}}}\n",
        server.url("/mcp/sample"),
        server.url("/mcp/sample"),
    ));
    wait_for("the server is up", || front.states()[0]["state"] == "up");
    let alice = front.key(&["--user", "alice", "--in-tenant", "acme", "--in-team", "staff"]);
    let mallory = front.key(&["--user", "mallory"]);
    wait_for("the lists are there", || {
        Modern::new(&front, "/mcp")
            .bearing(&alice)
            .ask("tools/list", json!({}))
            .body
            .contains("b__add")
    });
    // From now on the server trusts the gateway's assertions and admits Alice of the staff team.
    let policy = r#"permit (principal, action, resource)
        when { principal == User::"front:alice" && principal in Team::"staff" && principal in Tenant::"acme" };"#;
    std::fs::write(server.folder.path().join("own.cedar"), policy).unwrap();
    let trusting = format!(
        "identity: {{issuers: {{front: {{issuer: '{}', jwks_uri: '{}', claims: {{tenant: tenant}}, trusted_for: {{teams: [staff], tenants: [acme]}}}}}}}}\n\
         policy: {{files: [own.cedar]}}\nservers: {{sample: {{sample: true}}}}\n",
        front.url(""),
        front.url("/oauth/jwks")
    );
    std::fs::write(&server.config, trusting).unwrap();
    let call = |key: &str| Modern::new(&front, "/mcp").bearing(key).call("b__add", sum());
    wait_for("alice is known", || {
        let answer = call(&alice);
        assert_ne!(answer.kind(), "denied", "{}", answer.body);
        let closed = Modern::new(&server, "/mcp/sample").call("add", sum()).status == 401;
        closed && answer.json()["result"]["content"][0]["text"] == "23"
    });
    let answer = call(&mallory);
    assert!(answer.json().get("result").is_none(), "{}", answer.body);
}

#[test]
fn a_server_is_shown_the_gateways_certificate() {
    let at = |file: &str| made(file).display().to_string();
    let server = Gateway::start(&format!(
        "tls: {{cert: '{}', key: '{}', client_ca: '{}'}}\npolicy: {{files: [open.cedar]}}\n\
         servers: {{sample: {{sample: true}}}}\n",
        at("first.pem"),
        at("first.key"),
        at("clients-ca.pem")
    ));
    let port = server.address.rsplit(':').next().unwrap();
    let front = |tls: &str| {
        Gateway::start_unready(&format!(
            "servers: {{b: {{url: 'https://localhost:{port}/mcp/sample', tls: {{ca: '${{file:{}}}'{tls}}}}}}}\n",
            at("ca.pem")
        ))
    };
    let known = front(&format!(
        ", cert: '${{file:{}}}', key: '${{file:{}}}'",
        at("client.pem"),
        at("client.key")
    ));
    wait_for("the server is up", || known.states()[0]["state"] == "up");
    assert_eq!(Modern::new(&known, "/mcp").call("b__add", sum()).text(), "23");
    let nobody = front("");
    wait_for("the server is down", || nobody.states()[0]["state"] == "down");
    assert!(nobody.states()[0]["problem"].as_str().unwrap().contains("401"), "{}", nobody.states());
}

#[test]
fn of_who_signed_in_at_the_gateway_the_providers_word_is_exchanged() {
    let server = Gateway::start("servers: {sample: {sample: true}}\n");
    let provider = Issuer::start();
    let entry = format!(
        "servers: {{b: {{url: '{}', headers: {{authorization: 'Bearer {}'}}, exchange: {{at: {{issuer: '{}', \
         client_id: doorward, client_secret: 'hunter2 of the gateway'}}}}}}}}\n",
        server.url("/mcp/sample"),
        server.key(&["--user", "gateway"]),
        provider.url
    );
    let config = login::World::config(&provider, "", "");
    let config = config.replace("servers: {sample: {sample: true}}\n", &entry);
    let world = login::World { provider, gateway: Gateway::start(&config) };
    let (access, refresh) = world.tokens();
    let key = server.key(&["--user", "alice"]);
    world
        .provider
        .grants(json!({ "access_token": key, "token_type": "Bearer", "expires_in": 300 }));
    let call =
        |token: &str| Modern::new(&world.gateway, "/mcp").bearing(token).call("b__add", sum());
    assert_eq!(call(&access).text(), "23");
    let form = fields(&world.provider.asked().pop().unwrap().1);
    assert_eq!(form["subject_token_type"], "urn:ietf:params:oauth:token-type:id_token");
    // The exchanged token is the provider's token for the user; the gateway's own token is not sent anywhere.
    assert_ne!(form["subject_token"], access);
    let claims = form["subject_token"].split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims);
    let claims: Value = serde_json::from_slice(&claims.unwrap()).unwrap();
    assert_eq!((&claims["sub"], &claims["aud"]), (&json!("alice"), &json!("doorward")));
    // One exchange serves the whole login, whichever of its tokens is presented.
    let asked = world.provider.asked().len();
    world.provider.behave(crate::support::issuer::Mood::Down);
    let (next, _) = login::pair(&world.refresh(&refresh, &[]));
    assert_eq!(call(&next).text(), "23");
    assert_eq!(world.provider.asked().len() - asked, 1, "the refresh alone");
    // When the login ends, so does everything that was exchanged for it.
    let grants: Value =
        serde_json::from_str(&world.gateway.told(&["grants", "list", "--json"])).unwrap();
    world.gateway.told(&["grants", "revoke", grants[0]["id"].as_str().unwrap()]);
    wait_for("the login is over", || call(&next).status == 401);
}
