//! The gateway as an authorization server in front of an OpenID provider: the correct flow, and all incorrect ones
//! (the authorization list, 45 to 72; R12).
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use crate::support::client::{Modern, get, send};
use crate::support::issuer::{Issuer, Signer, now, token};
use crate::support::login::{Browser, SECRET, World, basic, pair, query, sealed};
use crate::support::{Gateway, wait_for};
use serde_json::{Value, json};

/// The `error` of a response.
fn word(answer: &crate::support::client::Answer) -> String {
    answer.json()["error"].as_str().unwrap_or_default().to_owned()
}

/// The `error` in the URL that a browser is redirected to, which must be the client's own.
fn word_back(answer: &crate::support::client::Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.body);
    let location = answer.header("location").unwrap();
    assert!(location.starts_with("http://127.0.0.1:4711/callback?"), "{location}");
    let told = query(location);
    assert!(told.contains_key("iss") && !told.contains_key("code"), "{location}");
    told["error"].clone()
}

#[test]
fn a_user_signs_in_and_the_client_gets_tokens_of_the_gateways_own() {
    let world = World::new();
    let origin = world.gateway.url("");
    let (status, text) = get(&world.gateway.address, "/.well-known/oauth-protected-resource/mcp");
    let resource: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &resource["authorization_servers"]), (200, &json!([origin])));
    let (_, text) = get(&world.gateway.address, "/.well-known/oauth-authorization-server");
    let metadata: Value = serde_json::from_str(&text).unwrap();
    let (_, text) = get(&world.gateway.address, "/.well-known/openid-configuration");
    assert_eq!(metadata, serde_json::from_str::<Value>(&text).unwrap());
    assert_eq!(metadata["issuer"], json!(origin));
    assert_eq!(metadata["code_challenge_methods_supported"], json!(["S256"]));
    for flag in
        ["authorization_response_iss_parameter_supported", "client_id_metadata_document_supported"]
    {
        assert_eq!(metadata[flag], json!(true));
    }

    let mut browser = Browser::default();
    let page = browser.get(&world.gateway, &world.path(&[]));
    for text in ["Desk", "127.0.0.1", "read", &world.gateway.url("/mcp"), "on this computer"] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    assert!(!page.body.contains("unknown"));
    assert!(page.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("referrer-policy"), Some("same-origin"));

    let login = world.consent(&mut browser, &[]);
    assert!(login.starts_with(&format!("{}/authorize?", world.provider.url)), "{login}");
    let asked = query(&login);
    assert_eq!(asked["redirect_uri"], world.gateway.url("/oauth/callback"));
    assert_eq!((&*asked["client_id"], &*asked["code_challenge_method"]), ("doorward", "S256"));
    world.sign_in(&login, json!({}));
    world.provider.knows(json!({ "sub": "alice", "roles": ["admin"], "groups": ["ignored"] }));
    let back = browser.get(&world.gateway, &world.callback(&login));
    let told = query(back.header("location").unwrap());
    assert_eq!((&*told["state"], &*told["iss"]), ("of the client", &*origin));
    let (shown, redeemed) = world.provider.asked().pop().unwrap();
    assert!(
        redeemed.contains("code=a-code-of-the-providers") && redeemed.contains("code_verifier=")
    );
    assert_eq!(shown, basic("doorward", "hunter2 hunter2 hunter2"));

    let answer = world.redeem(&told["code"], &[("resource", &world.gateway.url("/mcp"))]);
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    assert_eq!(answer.header("pragma"), Some("no-cache"));
    assert_eq!(answer.json()["scope"], "read");
    assert_eq!(answer.json()["token_type"], "Bearer");
    assert!(!answer.body.contains("of-the-providers"));
    let (access, refresh) = pair(&answer);
    assert!(world.is_good(&access));
    // Only the gateway's endpoint accepts the token, and it contains nothing from the provider.
    let other = Modern::new(&world.gateway, "/mcp/sample").bearing(&access);
    assert_eq!(other.call("add", json!({ "a": 1, "b": 2 })).status, 401);
    assert!(!world.is_good("an-access-token-of-the-providers"));
    assert!(!world.is_good(&refresh));

    // Introspection names the user, for policies and for other resource servers.
    let fields = [("token", &*access)];
    let robot = [("authorization", &*basic("robot", SECRET))];
    let said = Browser::default().post(&world.gateway, "/oauth/introspect", &fields, &robot).json();
    assert_eq!(said["active"], json!(true), "{said}");
    assert_eq!((&said["sub"], &said["client_id"]), (&json!("alice"), &json!("desk")));
    assert_eq!((&said["groups"], &said["roles"]), (&json!(["staff"]), &json!(["admin"])));

    let refreshed = world.refresh(&refresh, &[]);
    assert_eq!(refreshed.status, 200, "{}", refreshed.body);
    let (next, _) = pair(&refreshed);
    assert!(world.is_good(&next) && world.is_good(&access));
    assert!(world.provider.asked().pop().unwrap().1.contains("refresh_token=a-refresh-token"));

    // None of these secrets is stored or logged in plain text.
    let database = std::fs::read(world.gateway.folder.path().join("doorward.db")).unwrap();
    let wal =
        std::fs::read(world.gateway.folder.path().join("doorward.db-wal")).unwrap_or_default();
    let all = [&database[..], &wal, world.gateway.log().join("\n").as_bytes()].concat();
    let all = String::from_utf8_lossy(&all);
    for secret in ["of-the-providers", &access, &refresh, &next, &told["code"], "hunter2", SECRET] {
        assert!(!all.contains(secret), "{secret} was found");
    }
}

#[test]
fn users_are_sent_where_the_client_has_said_and_nowhere_else() {
    let world = World::new();
    let mut browser = Browser::default();
    for uri in [
        "https://app.example/callback/",
        "https://app.example/Callback",
        "https://app.example:443/callback",
        "https://app.example/callbackx",
        "https://app.example/x/../callback",
        "https://app.example/%63allback",
        "https://user@app.example/callback",
        "https://app.example/callback#x",
        "https://app.example/callback?x=y",
        "http://localhost:4711/callback",
        "http://127.0.0.1:4711/other",
        "http://127.0.0.1:4711@evil.example/callback",
        "javascript:alert(1)",
    ] {
        let answer = browser.get(&world.gateway, &world.path(&[("redirect_uri", uri)]));
        assert_eq!((answer.status, answer.header("location")), (400, None), "{uri}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    }
    for changes in [[("client_id", "nobody")], [("client_id", "")], [("redirect_uri", "")]] {
        let answer = browser.get(&world.gateway, &world.path(&changes));
        assert_eq!((answer.status, answer.header("location")), (400, None), "{changes:?}");
    }
    let twice = format!("{}&redirect_uri=https://evil.example/", world.path(&[]));
    assert_eq!(browser.get(&world.gateway, &twice).status, 400);
    let port = browser
        .get(&world.gateway, &world.path(&[("redirect_uri", "http://127.0.0.1:1/callback")]));
    assert_eq!(port.status, 200);
}

#[test]
fn what_is_wrong_with_a_request_is_told_to_the_client() {
    let world = World::new();
    let mut browser = Browser::default();
    let long = "x".repeat(1025);
    let fragment = format!("{}#x", world.gateway.url("/mcp"));
    for (changes, word) in [
        (&[("response_type", "token")][..], "unsupported_response_type"),
        (&[("response_type", "id_token")], "unsupported_response_type"),
        (&[("response_type", "")], "invalid_request"),
        (&[("code_challenge", "")], "invalid_request"),
        (&[("code_challenge", "short")], "invalid_request"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("code_challenge_method", "")], "invalid_request"),
        (&[("response_mode", "fragment")], "invalid_request"),
        (&[("prompt", "none")], "interaction_required"),
        (&[("request", "eyJ9")], "request_not_supported"),
        (&[("request_uri", "https://x.example/")], "request_uri_not_supported"),
        (&[("resource", "https://other.example/mcp")], "invalid_target"),
        (&[("resource", &fragment)], "invalid_target"),
        (&[("state", &long)], "invalid_request"),
    ] {
        let answer = browser.get(&world.gateway, &world.path(changes));
        assert_eq!(word_back(&answer), word, "{changes:?}");
    }
    let twice = format!("{}&resource={}", world.path(&[]), world.gateway.url("/mcp"));
    assert_eq!(word_back(&browser.get(&world.gateway, &twice)), "invalid_target");
    // Without a resource, the token is valid for the whole gateway.
    let code = world.code(&[("resource", "")]);
    let answer = world.redeem(&code, &[]);
    assert!(world.is_good(&pair(&answer).0));
    // The user denies consent.
    let page = browser.get(&world.gateway, &world.path(&[]));
    let fields = [("request", &*sealed(&page.body)), ("decision", "deny")];
    let answer = browser.post(&world.gateway, "/oauth/consent", &fields, &[]);
    assert_eq!(word_back(&answer), "access_denied");
    // A request that is too long is refused before it is parsed.
    let long = world.path(&[("scope", &"x".repeat(9000))]);
    assert_eq!(browser.get(&world.gateway, &long).status, 414);
}

#[test]
fn a_code_is_for_one_client_once_and_only_for_who_asked_for_it() {
    let world = World::new();
    let short = "x".repeat(42);
    let long = "x".repeat(129);
    for changes in [
        &[("code_verifier", "another-verifier-of-forty-three-characters-x")][..],
        &[("code_verifier", "")],
        &[("code_verifier", &short)],
        &[("code_verifier", &long)],
        &[("redirect_uri", "http://127.0.0.1:4712/callback")],
        &[("client_id", "robot"), ("client_secret", SECRET)],
    ] {
        let code = world.code(&[]);
        let answer = world.redeem(&code, changes);
        assert_eq!((answer.status, &*word(&answer)), (400, "invalid_grant"), "{changes:?}");
        assert_eq!(word(&world.redeem(&code, &[])), "invalid_grant", "{changes:?}: not burnt");
    }
    let answer = world.redeem("no-such-code", &[]);
    assert_eq!((answer.status, &*word(&answer)), (400, "invalid_grant"));
    // If a code is used twice, the tokens of its first use are revoked.
    let code = world.code(&[]);
    let (access, refresh) = pair(&world.redeem(&code, &[]));
    assert!(world.is_good(&access));
    assert_eq!(word(&world.redeem(&code, &[])), "invalid_grant");
    wait_for("the token is refused", || !world.is_good(&access));
    assert_eq!(word(&world.refresh(&refresh, &[])), "invalid_grant");
    // The resource differs from the one of the authorization request.
    let code = world.code(&[]);
    let answer = world.redeem(&code, &[("resource", "https://other.example/mcp")]);
    assert_eq!((answer.status, &*word(&answer)), (400, "invalid_target"));
    for (changes, said) in [
        (&[("grant_type", "password")][..], "unsupported_grant_type"),
        (&[("grant_type", "")], "invalid_request"),
        (&[("code", "")], "invalid_request"),
    ] {
        let answer = world.redeem("x", changes);
        assert_eq!((answer.status, &*word(&answer)), (400, said), "{changes:?}");
    }
}

#[test]
fn a_refresh_token_used_twice_ends_its_family() {
    let world = World::new();
    let (_, first) = world.tokens();
    let (access, second) = pair(&world.refresh(&first, &[]));
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(word(&world.refresh(&first, &[])), "invalid_grant");
    wait_for("the token is refused", || !world.is_good(&access));
    assert_eq!(word(&world.refresh(&second, &[])), "invalid_grant");
    wait_for("it is logged", || world.gateway.logged("a refresh token was used twice"));

    // Of two concurrent refreshes one succeeds, and the token family stays valid.
    let (_, token) = world.tokens();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(|| world.refresh(&token, &[]))).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(won.len(), 1);
    let (access, next) = pair(won[0]);
    assert!(world.is_good(&access));
    assert_eq!(world.refresh(&next, &[]).status, 200);

    // A refresh for more scopes than consented to, or for another resource, is refused and does not use up the token.
    let (_, token) = world.tokens();
    assert_eq!(word(&world.refresh(&token, &[("scope", "read write")])), "invalid_scope");
    let other = world.gateway.url("/mcp/sample");
    assert_eq!(word(&world.refresh(&token, &[("resource", &other)])), "invalid_target");
    assert_eq!(world.refresh(&token, &[("scope", "read")]).status, 200);

    // The token belongs to another client.
    let (access, token) = world.tokens();
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", "robot"),
        ("client_secret", SECRET),
        ("refresh_token", &*token),
    ];
    assert_eq!(word(&world.token_endpoint(&fields)), "invalid_grant");
    wait_for("the token is refused", || !world.is_good(&access));
}

#[test]
fn a_user_whom_the_provider_does_not_know_any_more_is_out() {
    let world = World::new();
    let (access, refresh) = world.tokens();
    world.provider.behave(crate::support::issuer::Mood::Down);
    let answer = world.refresh(&refresh, &[]);
    assert_eq!(answer.status, 200, "nobody is logged out because the provider is down");
    let (_, refresh) = pair(&answer);
    world.provider.behave(crate::support::issuer::Mood::Well);
    world.provider.refuses("invalid_grant");
    assert_eq!(word(&world.refresh(&refresh, &[])), "invalid_grant");
    wait_for("the token is refused", || !world.is_good(&access));
}

#[test]
fn a_callback_is_for_the_browser_that_consented_and_once() {
    let world = World::new();
    let mut browser = Browser::default();
    let login = world.consent(&mut browser, &[]);
    world.sign_in(&login, json!({}));
    let path = world.callback(&login);
    let refused = |browser: &mut Browser, path: &str, what: &str| {
        let asked = world.provider.asked().len();
        let answer = browser.get(&world.gateway, path);
        assert_eq!((answer.status, answer.header("location")), (400, None), "{what}");
        assert_eq!(world.provider.asked().len(), asked, "{what}: the provider was asked");
        answer
    };
    refused(&mut Browser::default(), &path, "another browser");
    let mut asked_only = Browser::default();
    asked_only.get(&world.gateway, &world.path(&[]));
    refused(&mut asked_only, &path, "a browser that has not consented");
    let state = query(&login)["state"].clone();
    refused(&mut browser.clone(), &path.replace(&state, ""), "no state");
    refused(
        &mut browser.clone(),
        &path.replace(&state, &state.replace(&state[20..], "x")),
        "altered",
    );
    refused(&mut browser.clone(), &format!("{path}&state={state}"), "twice");
    refused(&mut browser.clone(), &format!("{path}&iss=https://evil.example"), "another issuer");
    refused(&mut browser.clone(), &format!("{path}&iss={}/", world.provider.url), "a slash");
    let error = format!(
        "/oauth/callback?error=x&error_description=boo&iss=https://e.example&state={state}"
    );
    assert!(!refused(&mut browser.clone(), &error, "another's error").body.contains("boo"));
    let before = browser.clone();
    assert_eq!(
        browser.get(&world.gateway, &format!("{path}&iss={}", world.provider.url)).status,
        303
    );
    refused(&mut browser, &path, "reused");
    // This also holds for a browser that still has its cookie.
    let again = before.clone().get(&world.gateway, &path);
    assert_eq!((again.status, again.header("location")), (400, None));
    // An error of the provider is passed to the client without its description.
    let login = world.consent(&mut browser, &[]);
    let state = query(&login)["state"].clone();
    let error = format!("/oauth/callback?error=access_denied&error_description=boo&state={state}");
    let answer = browser.get(&world.gateway, &error);
    assert_eq!(word_back(&answer), "access_denied");
    assert!(!answer.header("location").unwrap().contains("boo"));
    // A provider that announces `iss` in its responses must send it.
    world.provider.describes(json!({ "authorization_response_iss_parameter_supported": true }));
    let strict = World::with("", "");
    strict.provider.describes(json!({ "authorization_response_iss_parameter_supported": true }));
    let mut browser = Browser::default();
    let login = strict.consent(&mut browser, &[]);
    strict.sign_in(&login, json!({}));
    assert_eq!(browser.get(&strict.gateway, &strict.callback(&login)).status, 400);
}

#[test]
fn an_id_token_that_is_not_for_this_login_signs_nobody_in() {
    let world = World::new();
    for (what, claims) in [
        ("another nonce", json!({ "nonce": "x" })),
        ("no nonce", json!({ "nonce": null })),
        ("another client's", json!({ "aud": "other" })),
        ("for several", json!({ "aud": ["doorward", "other"] })),
        ("for another party", json!({ "azp": "other" })),
        ("another issuer", json!({ "iss": "https://evil.example" })),
        ("expired", json!({ "exp": now() - 3600 })),
        ("never expires", json!({ "exp": null })),
        ("of nobody", json!({ "sub": null })),
        ("of somebody else than the user", json!({ "sub": "bob" })),
    ] {
        let mut browser = Browser::default();
        let login = world.consent(&mut browser, &[]);
        world.sign_in(&login, claims);
        let answer = browser.get(&world.gateway, &world.callback(&login));
        assert_eq!(word_back(&answer), "server_error", "{what}");
    }
    // The ID token is signed by another key.
    let mut browser = Browser::default();
    let login = world.consent(&mut browser, &[]);
    let claims = json!({
        "iss": world.provider.url, "aud": "doorward", "sub": "alice", "iat": now(), "exp": now() + 60,
        "nonce": query(&login)["nonce"],
    });
    let header = json!({ "alg": "RS256", "kid": "one" });
    let forged = token(&header, &claims.to_string(), &Signer::rsa());
    world
        .provider
        .grants(json!({ "access_token": "x", "token_type": "Bearer", "id_token": forged }));
    let answer = browser.get(&world.gateway, &world.callback(&login));
    assert_eq!(word_back(&answer), "server_error");
}

#[test]
fn nobody_consents_for_somebody_else() {
    let world = World::new();
    let (mut victim, mut attacker) = (Browser::default(), Browser::default());
    victim.get(&world.gateway, &world.path(&[]));
    let page = attacker.get(&world.gateway, &world.path(&[]));
    let own = sealed(&page.body);
    let fields = [("request", &*own), ("decision", "allow")];
    // A form that another site submits, with the attacker's sealed request or none.
    let refused = victim.post(&world.gateway, "/oauth/consent", &fields, &[]);
    assert_eq!((refused.status, refused.header("location")), (400, None));
    for more in [
        [("origin", "http://localhost:9999")],
        [("origin", "https://evil.example")],
        [("origin", "null")],
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site")],
    ] {
        let answer = attacker.post(&world.gateway, "/oauth/consent", &fields, &more);
        assert_eq!((answer.status, answer.header("location")), (403, None), "{more:?}");
    }
    for (request, decision) in [(&*own, ""), (&*own, "perhaps"), ("", "allow"), ("x", "allow")] {
        let fields = [("request", request), ("decision", decision)];
        let answer = attacker.post(&world.gateway, "/oauth/consent", &fields, &[]);
        assert_eq!((answer.status, answer.header("location")), (400, None), "{decision}");
    }
    // Two cookies with the same name: an attacker may have planted one of them.
    let name = "__Host-doorward-browser";
    let both = format!("{name}={}; {name}=x", attacker.0[name]);
    let answer =
        Browser::default().post(&world.gateway, "/oauth/consent", &fields, &[("cookie", &both)]);
    assert_eq!(answer.status, 400);
    assert_eq!(attacker.post(&world.gateway, "/oauth/consent", &fields, &[]).status, 303);
    // The user consents to each client separately, whatever name the client has.
    let registered = register(
        &world.gateway,
        &json!({ "client_name": "Desk",
        "redirect_uris": ["http://127.0.0.1:4711/callback"], "token_endpoint_auth_method": "none" }),
    );
    let id = registered.json()["client_id"].as_str().unwrap().to_owned();
    let page = attacker.get(&world.gateway, &world.path(&[("client_id", &id)]));
    assert_eq!((page.status, page.header("location")), (200, None));
    assert!(page.body.contains("is not verified"), "{}", page.body);
}

fn register(gateway: &Gateway, metadata: &Value) -> crate::support::client::Answer {
    let headers = [("content-type", "application/json")];
    send(&gateway.address, "POST", "/oauth/register", &headers, metadata.to_string().as_bytes())
        .unwrap()
}

#[test]
fn clients_register_themselves_within_bounds() {
    let world = World::new();
    let uris = json!(["http://127.0.0.1:4711/callback", "cursor://x/y"]);
    let made =
        register(&world.gateway, &json!({ "client_name": "<b>Mine</b>", "redirect_uris": uris }));
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.json()["token_endpoint_auth_method"], "client_secret_basic");
    let text = |member: &str| made.json()[member].as_str().unwrap().to_owned();
    let (id, secret) = (text("client_id"), text("client_secret"));
    let mut browser = Browser::default();
    let page = browser.get(&world.gateway, &world.path(&[("client_id", &id)]));
    assert!(page.body.contains("&lt;b&gt;Mine&lt;/b&gt;") && !page.body.contains("<b>"));
    // Anybody may register a client, so an invalid request never redirects to one without consent.
    let wrong = world.path(&[("client_id", &id), ("response_type", "token")]);
    let page = browser.get(&world.gateway, &wrong);
    assert_eq!((page.status, page.header("location")), (400, None), "{}", page.body);
    assert!(
        page.body.contains("Go back to 127.0.0.1")
            && page.body.contains("error=unsupported_response_type")
    );
    let code = world.code(&[("client_id", &id)]);
    assert_eq!(word(&world.redeem(&code, &[("client_id", &id)])), "invalid_client");
    let answer = world.redeem(&code, &[("client_id", &id), ("client_secret", &secret)]);
    assert!(world.is_good(&pair(&answer).0), "{}", answer.body);

    let huge = json!({ "redirect_uris": uris, "client_name": "x".repeat(20_000) });
    assert_eq!(register(&world.gateway, &huge).status, 413);
    let many: Vec<_> = (0..33).map(|n| format!("https://a.example/{n}")).collect();
    for (metadata, said) in [
        (json!({}), "invalid_redirect_uri"),
        (json!({ "redirect_uris": [] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": many }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": ["http://app.example/"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": ["javascript:alert(1)"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": ["other://x"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": [uris[0], "https://a.example/#x"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": uris, "client_name": 7 }), "invalid_client_metadata"),
        (json!({ "redirect_uris": uris, "grant_types": ["password"] }), "invalid_client_metadata"),
        (json!({ "redirect_uris": uris, "response_types": ["token"] }), "invalid_client_metadata"),
        (
            json!({ "redirect_uris": uris, "token_endpoint_auth_method": "tls" }),
            "invalid_client_metadata",
        ),
        (
            json!({ "redirect_uris": uris, "jwks_uri": format!("{}/keys", world.provider.url) }),
            "invalid_client_metadata",
        ),
        (
            json!({ "redirect_uris": uris, "token_endpoint_auth_method": "private_key_jwt" }),
            "invalid_client_metadata",
        ),
        (json!([]), "invalid_client_metadata"),
    ] {
        let answer = register(&world.gateway, &metadata);
        assert_eq!((answer.status, &*word(&answer)), (400, said), "{metadata}");
    }
    let logo = json!({ "redirect_uris": uris, "logo_uri": format!("{}/logo", world.provider.url) });
    assert_eq!(register(&world.gateway, &logo).status, 201);
    assert!(
        !world.provider.strange().iter().any(|path| path.contains("logo") || path.contains("keys"))
    );
    let answers: Vec<_> = (0..70).map(|_| register(&world.gateway, &logo)).collect();
    let last = answers.last().unwrap();
    assert_eq!((last.status, last.header("retry-after")), (429, Some("30")));

    let closed = World::with("    dynamic_registration: false\n", "");
    assert_eq!(register(&closed.gateway, &logo).status, 404);
    let (_, text) = get(&closed.gateway.address, "/.well-known/oauth-authorization-server");
    assert!(!text.contains("registration_endpoint"));
}

#[test]
fn a_document_that_describes_a_client_is_fetched_from_public_places_alone() {
    let world = World::new();
    let mut browser = Browser::default();
    for id in [
        "http://app.example/client.json",
        "https://app.example",
        "https://app.example/",
        "https://app.example/x#y",
        "https://user@app.example/x",
        "https://127.0.0.1/client.json",
        "https://localhost/client.json",
        "https://[::1]/client.json",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/client.json",
        "https://0x7f.1/client.json",
        "https://2130706433/client.json",
        "ftp://app.example/client.json",
        "file:///etc/passwd",
    ] {
        let answer = browser.get(&world.gateway, &world.path(&[("client_id", id)]));
        assert_eq!((answer.status, answer.header("location")), (400, None), "{id}");
        let answer = world.redeem("x", &[("client_id", id)]);
        assert_eq!((answer.status, &*word(&answer)), (401, "invalid_client"), "{id}");
    }
    assert_eq!(world.provider.strange(), Vec::<String>::new());
    let closed = World::with("    metadata_documents: false\n", "");
    let path = closed.path(&[("client_id", "https://app.example/client.json")]);
    assert!(browser.get(&closed.gateway, &path).body.contains("documents are not enabled"));
}

#[test]
fn a_client_shows_who_it_is_in_one_way() {
    let signer = Signer::ec();
    let world = World::new();
    let keys = json!({ "keys": [signer.jwk("mine")] });
    let made = register(
        &world.gateway,
        &json!({
            "redirect_uris": ["http://127.0.0.1:4711/callback"], "jwks": keys,
            "token_endpoint_auth_method": "private_key_jwt",
        }),
    );
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.json()["client_id"].as_str().unwrap().to_owned();
    let endpoint = world.gateway.url("/oauth/token");
    let assertion = |changes: Value, signer: &Signer| {
        let mut claims =
            json!({ "iss": id, "sub": id, "aud": endpoint, "exp": now() + 60, "jti": "one" });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            }
        }
        token(&json!({ "alg": "ES256", "kid": "mine" }), &claims.to_string(), signer)
    };
    let show = |assertion: &str| {
        world.token_endpoint(&[
            ("grant_type", "authorization_code"),
            ("code", "x"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
        ])
    };
    assert_eq!(word(&show(&assertion(json!({}), &signer))), "invalid_grant", "the client is known");
    for (what, assertion) in [
        ("replayed", assertion(json!({}), &signer)),
        ("another's key", assertion(json!({ "jti": "2" }), &Signer::ec())),
        ("another's", assertion(json!({ "jti": "3", "iss": "desk", "sub": "desk" }), &signer)),
        ("for another", assertion(json!({ "jti": "4", "aud": "https://other.example" }), &signer)),
        ("expired", assertion(json!({ "jti": "5", "exp": now() - 60 }), &signer)),
        ("too long", assertion(json!({ "jti": "6", "exp": now() + 3600 }), &signer)),
        ("without a name", assertion(json!({ "jti": null }), &signer)),
        ("not valid yet", assertion(json!({ "jti": "7", "nbf": now() + 300 }), &signer)),
        ("rubbish", "x".into()),
    ] {
        let answer = show(&assertion);
        assert_eq!((answer.status, &*word(&answer)), (401, "invalid_client"), "{what}");
    }
    let fields = [("grant_type", "authorization_code"), ("code", "x")];
    let robot = [("client_id", "robot"), ("client_secret", SECRET)];
    let known = world.token_endpoint(&[&fields[..], &robot].concat());
    assert_eq!(word(&known), "invalid_grant");
    let by_header = [("authorization", &*basic("robot", SECRET))];
    let mut browser = Browser::default();
    let mut header = |fields: &[(&str, &str)], more: &[(&str, &str)]| {
        browser.post(&world.gateway, "/oauth/token", fields, more)
    };
    assert_eq!(word(&header(&fields, &by_header)), "invalid_grant");
    let wrong = [("authorization", &*basic("robot", "x"))];
    for (what, answer, challenged) in [
        ("wrong", header(&fields, &wrong), true),
        ("two ways", header(&[&fields[..], &robot].concat(), &by_header), true),
        (
            "another name",
            header(&[&fields[..], &[("client_id", "desk")]].concat(), &by_header),
            true,
        ),
        ("bearer", header(&fields, &[("authorization", "Bearer x")]), true),
        ("nothing", header(&fields, &[]), false),
        ("no secret", header(&[&fields[..], &robot[..1]].concat(), &[]), false),
        (
            "a public client with a secret",
            header(&[&fields[..], &[("client_id", "desk"), ("client_secret", "x")]].concat(), &[]),
            false,
        ),
    ] {
        assert_eq!((answer.status, &*word(&answer)), (401, "invalid_client"), "{what}");
        assert_eq!(answer.header("www-authenticate").is_some(), challenged, "{what}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    // Requests that are not a form, or not a POST.
    let at = |method: &str, kind: &str, body: &str| {
        let headers = [("content-type", kind)];
        send(&world.gateway.address, method, "/oauth/token", &headers, body.as_bytes()).unwrap()
    };
    assert_eq!(at("GET", "text/plain", "").status, 405);
    assert_eq!(at("POST", "application/json", "{}").status, 400);
    let form = "application/x-www-form-urlencoded";
    assert_eq!(
        word(&at("POST", form, "grant_type=a&grant_type=b&client_id=desk")),
        "invalid_request"
    );
    assert_eq!(at("POST", form, &"x".repeat(20_000)).status, 413);
    // Without client credentials, introspection reveals nothing about tokens.
    let (access, _) = world.tokens();
    let fields = [("token", &*access), ("client_id", "desk")];
    let answer = Browser::default().post(&world.gateway, "/oauth/introspect", &fields, &[]);
    assert_eq!((answer.status, &*word(&answer)), (401, "invalid_client"));
}

#[test]
fn a_client_and_an_operator_end_what_was_given() {
    let world = World::new();
    let (access, refresh) = world.tokens();
    let revoke = |token: &str, client: &[(&str, &str)]| {
        let fields = [&[("token", token)], client].concat();
        Browser::default().post(&world.gateway, "/oauth/revoke", &fields, &[])
    };
    let desk = [("client_id", "desk")];
    let robot = [("client_id", "robot"), ("client_secret", SECRET)];
    assert_eq!(revoke("no-such-token", &desk).status, 200);
    assert_eq!(word(&revoke(&refresh, &robot)), "unauthorized_client");
    assert!(world.is_good(&access));
    assert_eq!(revoke(&refresh, &desk).status, 200);
    assert!(!world.is_good(&access), "it was told that it holds");
    assert_eq!(word(&world.refresh(&refresh, &[])), "invalid_grant");
    // An operator revokes the grant while a stream is open.
    let (access, _) = world.tokens();
    let mut stream = Modern::new(&world.gateway, "/mcp")
        .bearing(&access)
        .listen(json!({ "toolsListChanged": true }));
    let listed: Value =
        serde_json::from_str(&world.gateway.told(&["grants", "list", "--json"])).unwrap();
    assert_eq!((&listed[0]["subject"], &listed[0]["client"]), (&json!("alice"), &json!("desk")));
    let began = std::time::Instant::now();
    world.gateway.told(&["grants", "revoke", listed[0]["id"].as_str().unwrap()]);
    while stream.event().is_some() {}
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(!world.is_good(&access));
}

#[test]
fn tokens_outlive_a_restart_and_hold_on_every_replica() {
    let folder = crate::support::folder();
    let provider = Issuer::start();
    let more = format!(
        "public_url: 'https://gw.example'\nstore: {}\n",
        crate::support::store_in(folder.path())
    );
    let config = World::config(&provider, "", &more);
    let world = World { provider, gateway: Gateway::start(&config) };
    let resource = [("resource", "https://gw.example/mcp")];
    let mut browser = Browser::default();
    let page = browser.get(&world.gateway, &world.path(&resource));
    let fields = [("request", &*sealed(&page.body)), ("decision", "allow")];
    let answer = browser.post(
        &world.gateway,
        "/oauth/consent",
        &fields,
        &[("origin", "https://gw.example")],
    );
    let login = answer.header("location").unwrap().to_owned();
    world.sign_in(&login, json!({}));
    // The callback reaches another replica.
    let other = Gateway::start(&config);
    let answer = browser.get(&other, &world.callback(&login));
    let code = query(answer.header("location").unwrap())["code"].clone();
    let (access, refresh) = pair(&world.redeem(&code, &[]));
    let good = |gateway: &Gateway| {
        let modern = Modern::new(gateway, "/mcp").bearing(&access);
        modern.call("sample__add", json!({ "a": 1, "b": 2 })).status == 200
    };
    assert!(good(&world.gateway) && good(&other));
    let World { provider, gateway } = world;
    drop(gateway);
    let world = World { provider, gateway: Gateway::start(&config) };
    assert!(good(&world.gateway), "after a restart");
    let fields = [("token", &*refresh), ("client_id", "desk")];
    let began = std::time::Instant::now();
    assert_eq!(Browser::default().post(&world.gateway, "/oauth/revoke", &fields, &[]).status, 200);
    assert!(!good(&world.gateway));
    wait_for("the other replica knows", || !good(&other));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn a_provider_that_misleads_is_not_followed() {
    for (members, why) in [
        (json!({ "issuer": "https://other.example" }), "it is the metadata of"),
        (json!({ "authorization_endpoint": "javascript:alert(1)" }), "is not an https:// URL"),
        (json!({ "authorization_endpoint": "file:///etc/passwd" }), "is not an https:// URL"),
        (
            json!({ "authorization_endpoint": "http://evil.example/$(calc)" }),
            "is not an https:// URL",
        ),
    ] {
        let world = World::new();
        world.provider.describes(members.clone());
        let mut browser = Browser::default();
        let page = browser.get(&world.gateway, &world.path(&[]));
        let fields = [("request", &*sealed(&page.body)), ("decision", "allow")];
        let answer = browser.post(&world.gateway, "/oauth/consent", &fields, &[]);
        assert_eq!(word_back(&answer), "temporarily_unavailable", "{members}");
        wait_for("it is logged", || world.gateway.logged(why));
    }
}

/// Changes timestamps in the database, since waiting would take a month.
fn alter(gateway: &Gateway, statements: &str) {
    let script = "import sqlite3, sys\nwith sqlite3.connect(sys.argv[1], timeout=10) as db:\n    db.executescript(sys.argv[2])\n";
    let file = gateway.folder.path().join("doorward.db");
    let statements = format!("{statements}; UPDATE revision SET n = n + 1;");
    let done = std::process::Command::new(crate::support::python())
        .args(["-c", script])
        .arg(file)
        .arg(statements)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn signing_keys_are_followed_by_others_and_old_codes_are_over() {
    let world = World::new();
    let published = || {
        let (_, text) = get(&world.gateway.address, "/oauth/jwks");
        let keys: Value = serde_json::from_str(&text).unwrap();
        let keys = keys["keys"].as_array().unwrap().clone();
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (old, _) = world.tokens();
    let first = published();
    assert_eq!(first.len(), 1);
    // A month later there is a second key, and tokens signed by the first one are still valid.
    alter(&world.gateway, "UPDATE signing_keys SET created = created - 2700000");
    wait_for("there is another key", || published().len() == 2);
    assert!(published().contains(&first[0]) && world.is_good(&old));
    // The new key signs once every verifier has fetched it. The old key is removed after its last token expires.
    alter(
        &world.gateway,
        &format!("UPDATE signing_keys SET created = created - 90000 WHERE id != '{}'", first[0]),
    );
    wait_for("the old key is gone", || published().len() == 1);
    assert_ne!(published(), first);
    wait_for("what it has signed is over", || !world.is_good(&old));
    let (new, _) = world.tokens();
    assert!(world.is_good(&new));

    let code = world.code(&[]);
    alter(&world.gateway, "UPDATE oauth_tickets SET expires = expires - 120 WHERE kind = 'code'");
    let answer = world.redeem(&code, &[]);
    assert_eq!(
        (answer.status, &*word(&answer)),
        (400, "invalid_grant"),
        "a code of two minutes ago"
    );
    // The login has reached its maximum lifetime.
    let (access, refresh) = world.tokens();
    alter(&world.gateway, "UPDATE oauth_grants SET expires = 1");
    assert_eq!(word(&world.refresh(&refresh, &[])), "invalid_grant");
    assert!(world.is_good(&access), "its last token lives out its minutes");
}

#[test]
fn who_is_stopped_is_given_no_code() {
    let world = World::new();
    let gateway = &world.gateway;
    let stop = |target: &[&str]| {
        let said = gateway.told(&[&["stop"], target, &["--why", "a drill"]].concat());
        said.rsplit('(').next().unwrap().trim_end_matches(')').to_owned()
    };
    let undo = |id: &str| gateway.told(&["stop", "undo", id, "--why", "over"]);
    let asked = || Browser::default().get(gateway, &world.path(&[]));
    let mut browser = Browser::default();
    let page = browser.get(gateway, &world.path(&[]));
    let fields = [("request", &*sealed(&page.body)), ("decision", "allow")];
    for target in [&["client", "desk"][..], &["agent", "acme:desk"], &["all"]] {
        let id = stop(target);
        wait_for("the page is refused", || asked().status == 303);
        assert_eq!(word_back(&asked()), "access_denied", "{target:?}");
        // A consent page that was open before no longer works.
        let origin = gateway.url("");
        let answer = browser.post(gateway, "/oauth/consent", &fields, &[("origin", &origin)]);
        assert_eq!(word_back(&answer), "access_denied", "{target:?}");
        undo(&id);
        wait_for("the page is back", || asked().status == 200);
    }
    // The gateway knows the user only after they have signed in, so the stop takes effect at the callback.
    let (_, refresh) = world.tokens();
    let mut browser = Browser::default();
    let login = world.consent(&mut browser, &[]);
    world.sign_in(&login, json!({}));
    let id = stop(&["user", "acme:alice"]);
    wait_for("they are out", || world.refresh(&refresh, &[]).status == 403);
    assert_eq!(word_back(&browser.get(gateway, &world.callback(&login))), "access_denied");
    let grants: Value = serde_json::from_str(&gateway.told(&["grants", "list", "--json"])).unwrap();
    assert_eq!(grants.as_array().unwrap().len(), 1, "no other grant was made: {grants}");
    undo(&id);
    wait_for("they are back", || world.refresh(&refresh, &[]).status != 403);
    world.code(&[]);
}
