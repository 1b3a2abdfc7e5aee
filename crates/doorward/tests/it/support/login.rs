//! A client of the gateway's authorization server, and its user's browser, both written by hand.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use url::Url;

use super::Gateway;
use super::client::{Answer, send};
use super::issuer::{Issuer, now};

pub const VERIFIER: &str = "a-verifier-of-exactly-forty-three-characters";
pub const SECRET: &str = "a secret of forty characters, or so it is";

pub fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()))
}

/// The query parameters of a URL.
pub fn query(url: &str) -> BTreeMap<String, String> {
    let url = Url::parse(url).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

pub fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// A browser that stores cookies.
#[derive(Default, Clone)]
pub struct Browser(pub BTreeMap<String, String>);

impl Browser {
    fn take(&mut self, answer: &Answer) {
        for (_, value) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, rest) = value.split_once('=').unwrap();
            for part in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
                assert!(name.starts_with("__Host-") && rest.contains(part), "{value}");
            }
            let value = rest.split(';').next().unwrap();
            self.0.insert(name.to_owned(), value.to_owned());
            if rest.contains("Max-Age=0") {
                self.0.remove(name);
            }
        }
    }

    fn headers(&self) -> Vec<(String, String)> {
        let all: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if all.is_empty() { Vec::new() } else { vec![("cookie".into(), all.join("; "))] }
    }

    pub fn get(&mut self, gateway: &Gateway, path: &str) -> Answer {
        let headers = self.headers();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let answer = send(&gateway.address, "GET", path, &headers, b"").unwrap();
        self.take(&answer);
        answer
    }

    pub fn post(
        &mut self,
        gateway: &Gateway,
        path: &str,
        fields: &[(&str, &str)],
        more: &[(&str, &str)],
    ) -> Answer {
        let mut headers = self.headers();
        headers.push(("content-type".into(), "application/x-www-form-urlencoded".into()));
        headers.extend(more.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let headers: Vec<_> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let answer =
            send(&gateway.address, "POST", path, &headers, form(fields).as_bytes()).unwrap();
        self.take(&answer);
        answer
    }
}

/// The sealed request of a consent page.
pub fn sealed(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"request\" value=\"").expect(page);
    rest.split('"').next().unwrap().to_owned()
}

/// An authorization server in front of a provider that can be made to misbehave.
pub struct World {
    pub provider: Issuer,
    pub gateway: Gateway,
}

impl World {
    pub fn new() -> Self {
        Self::with("", "")
    }

    /// With more settings of the authorization server and of the configuration.
    pub fn with(own: &str, more: &str) -> Self {
        let provider = Issuer::start();
        let gateway = Gateway::start(&Self::config(&provider, own, more));
        Self { provider, gateway }
    }

    pub fn config(provider: &Issuer, own: &str, more: &str) -> String {
        format!(
            "identity:\n  scopes: [read, write]\n  authorization_server:\n    name: acme\n    provider: \
             {{issuer: '{}', client_id: doorward, client_secret: 'hunter2 hunter2 hunter2'}}\n    \
             redirect_schemes: [cursor]\n    clients:\n      desk: {{name: Desk, redirect_uris: \
             ['http://127.0.0.1/callback', 'https://app.example/callback']}}\n      robot: {{name: Robot, \
             redirect_uris: ['https://robot.example/'], secret: '{SECRET}'}}\n{own}\
             store_key: 'a master key of thirty-two characters'\n\
             policy: {{files: [open.cedar]}}\nservers: {{sample: {{sample: true}}}}\n{more}",
            provider.url
        )
    }

    /// The parameters of a valid authorization request.
    pub fn wanted(&self) -> BTreeMap<&'static str, String> {
        [
            ("response_type", "code".to_owned()),
            ("client_id", "desk".into()),
            ("redirect_uri", "http://127.0.0.1:4711/callback".into()),
            ("state", "of the client".into()),
            ("scope", "read unknown".into()),
            ("resource", self.gateway.url("/mcp")),
            ("code_challenge", challenge()),
            ("code_challenge_method", "S256".into()),
        ]
        .into()
    }

    /// The path of the request with changed parameters; an empty one is omitted.
    pub fn path(&self, changes: &[(&'static str, &str)]) -> String {
        let mut wanted = self.wanted();
        for (name, value) in changes {
            wanted.insert(name, (*value).to_owned());
        }
        wanted.retain(|_, value| !value.is_empty());
        let fields: Vec<_> = wanted.iter().map(|(name, value)| (*name, &**value)).collect();
        format!("/oauth/authorize?{}", form(&fields))
    }

    /// Gives consent. Returns the provider's URL that the browser is redirected to.
    pub fn consent(&self, browser: &mut Browser, changes: &[(&'static str, &str)]) -> String {
        let page = browser.get(&self.gateway, &self.path(changes));
        assert_eq!(page.status, 200, "{}", page.body);
        let fields = [("request", &*sealed(&page.body)), ("decision", "allow")];
        let origin = self.gateway.url("");
        let answer = browser.post(&self.gateway, "/oauth/consent", &fields, &[("origin", &origin)]);
        assert_eq!(answer.status, 303, "{}", answer.body);
        answer.header("location").unwrap().to_owned()
    }

    /// Makes the provider sign in a user for a login that was redirected there.
    pub fn sign_in(&self, login: &str, claims: Value) {
        let mut said = json!({
            "iss": self.provider.url, "aud": "doorward", "sub": "alice", "iat": now(), "exp": now() + 60,
            "nonce": query(login)["nonce"], "groups": ["staff"],
        });
        for (name, value) in claims.as_object().unwrap() {
            said[name] = value.clone();
            if value.is_null() {
                said.as_object_mut().unwrap().remove(name);
            }
        }
        let header = json!({ "alg": "RS256", "kid": "one", "typ": "JWT" });
        let id_token = super::issuer::token(&header, &said.to_string(), &self.provider.signer);
        self.provider.grants(json!({
            "access_token": "an-access-token-of-the-providers", "token_type": "Bearer", "expires_in": 60,
            "refresh_token": "a-refresh-token-of-the-providers", "id_token": id_token,
        }));
    }

    /// The callback of a successful login.
    pub fn callback(&self, login: &str) -> String {
        let fields = [("code", "a-code-of-the-providers"), ("state", &*query(login)["state"])];
        format!("/oauth/callback?{}", form(&fields))
    }

    /// Performs the whole login and returns the client's code.
    pub fn code(&self, changes: &[(&'static str, &str)]) -> String {
        let mut browser = Browser::default();
        let login = self.consent(&mut browser, changes);
        self.sign_in(&login, json!({}));
        let answer = browser.get(&self.gateway, &self.callback(&login));
        assert_eq!(answer.status, 303, "{}", answer.body);
        query(answer.header("location").unwrap())["code"].clone()
    }

    pub fn token_endpoint(&self, fields: &[(&str, &str)]) -> Answer {
        Browser::default().post(&self.gateway, "/oauth/token", fields, &[])
    }

    /// Redeems a code as the client that requested it.
    pub fn redeem(&self, code: &str, changes: &[(&'static str, &str)]) -> Answer {
        let mut fields: BTreeMap<&str, &str> = [
            ("grant_type", "authorization_code"),
            ("client_id", "desk"),
            ("code", code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", "http://127.0.0.1:4711/callback"),
        ]
        .into();
        fields.extend(changes.iter().copied());
        fields.retain(|_, value| !value.is_empty());
        let fields: Vec<_> = fields.into_iter().collect();
        self.token_endpoint(&fields)
    }

    /// The access token and refresh token of a new login.
    pub fn tokens(&self) -> (String, String) {
        let answer = self.redeem(&self.code(&[]), &[]);
        assert_eq!(answer.status, 200, "{}", answer.body);
        pair(&answer)
    }

    pub fn refresh(&self, token: &str, more: &[(&str, &str)]) -> Answer {
        let fields =
            [("grant_type", "refresh_token"), ("client_id", "desk"), ("refresh_token", token)];
        self.token_endpoint(&[&fields[..], more].concat())
    }

    pub fn is_good(&self, token: &str) -> bool {
        let modern = super::client::Modern::new(&self.gateway, "/mcp").bearing(token);
        modern.call("sample__add", json!({ "a": 1, "b": 2 })).status == 200
    }
}

pub fn pair(answer: &Answer) -> (String, String) {
    let text = |member: &str| answer.json()[member].as_str().unwrap().to_owned();
    (text("access_token"), text("refresh_token"))
}

pub fn basic(user: &str, password: &str) -> String {
    let encode = |text: &str| form(&[("x", text)]).split_off(2);
    let both = format!("{}:{}", encode(user), encode(password));
    format!("Basic {}", STANDARD.encode(both))
}
