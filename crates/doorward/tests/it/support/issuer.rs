//! A token issuer that can be made to misbehave, since no real provider signs the tokens that these tests need.
//! `tests/oidc` tests with a real provider.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as Rsa, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256,
};
use aws_lc_rs::{encoding::PublicKeyX509Der, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// How the issuer behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Responds with HTTP 500 to everything.
    Down,
    Html,
    Huge,
    Hangs,
    /// Redirects to another address.
    Redirects,
}

/// A key, by its signature algorithm.
pub enum Signer {
    Rs256(Box<Rsa>),
    Es256(Box<EcdsaKeyPair>),
    EdDsa(Box<Ed25519KeyPair>),
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    pub fn rsa() -> Self {
        Self::Rs256(Box::new(Rsa::generate(KeySize::Rsa2048).unwrap()))
    }

    pub fn ec() -> Self {
        let made = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::Es256(Box::new(made))
    }

    pub fn ed() -> Self {
        Self::EdDsa(Box::new(Ed25519KeyPair::generate().unwrap()))
    }

    pub fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Rs256(key) => {
                let public = key.public_key();
                let modulus = public.modulus().big_endian_without_leading_zero();
                let exponent = public.exponent().big_endian_without_leading_zero();
                json!({ "kty": "RSA", "kid": id, "use": "sig", "n": encode(modulus), "e": encode(exponent) })
            }
            Self::Es256(key) => {
                let point = key.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": encode(&point[1..33]), "y": encode(&point[33..]) })
            }
            Self::EdDsa(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": encode(key.public_key().as_ref()) })
            }
        }
    }

    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Rs256(_) => "RS256",
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    pub fn sign(&self, algorithm: &str, message: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rs256(key) => {
                let padding =
                    if algorithm == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding =
                    if algorithm == "PS256" { padding } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
            Self::Es256(key) => key.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Self::EdDsa(key) => key.sign(message.as_bytes()).as_ref().to_vec(),
        }
    }

    /// The PEM text that a confused verifier would use as a shared secret.
    pub fn public_pem(&self) -> String {
        let Self::Rs256(key) = self else { panic!("only RSA keys are confused") };
        let der: PublicKeyX509Der<'_> =
            aws_lc_rs::encoding::AsDer::as_der(key.public_key()).unwrap();
        let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }
}

/// Assembles and signs a token.
pub fn token(header: &Value, claims: &str, signer: &Signer) -> String {
    let message = format!("{}.{}", encode(header.to_string()), encode(claims));
    let algorithm = header["alg"].as_str().unwrap_or_default();
    let signature = signer.sign(algorithm, &message);
    format!("{message}.{}", encode(signature))
}

/// Signs with a secret.
pub fn token_by_secret(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", encode(tag.as_ref()))
}

/// A token without a signature.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}.", encode(header.to_string()), encode(claims.to_string()))
}

pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed()
}

struct State {
    keys: Mutex<Value>,
    mood: Mutex<Mood>,
    /// The introspection response.
    opaque: Mutex<Value>,
    fetches: AtomicUsize,
    introspections: AtomicUsize,
    /// The requests to the token endpoint (`Authorization` and form), and its response.
    asked: Mutex<Vec<(String, String)>>,
    granted: Mutex<Value>,
    /// The userinfo response, and additional members of the metadata.
    person: Mutex<Value>,
    metadata: Mutex<Value>,
    /// Requests outside the known paths.
    strange: Mutex<Vec<String>>,
}

pub struct Issuer {
    pub url: String,
    pub signer: Signer,
    state: Arc<State>,
}

impl Issuer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let signer = Signer::rsa();
        let state = Arc::new(State {
            keys: Mutex::new(json!([signer.jwk("one")])),
            mood: Mutex::new(Mood::Well),
            opaque: Mutex::new(json!({ "active": false })),
            fetches: AtomicUsize::new(0),
            introspections: AtomicUsize::new(0),
            asked: Mutex::default(),
            granted: Mutex::new(json!({ "error": "invalid_client" })),
            person: Mutex::new(json!({ "sub": "alice" })),
            metadata: Mutex::new(json!({})),
            strange: Mutex::default(),
        });
        let (served, own) = (state.clone(), url.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (state, url) = (served.clone(), own.clone());
                std::thread::spawn(move || answer(stream, &state, &url));
            }
        });
        Self { url, signer, state }
    }

    pub fn publish(&self, keys: Value) {
        *self.state.keys.lock().unwrap() = keys;
    }

    pub fn behave(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = mood;
    }

    pub fn says(&self, answer: Value) {
        *self.state.opaque.lock().unwrap() = answer;
    }

    /// Sets the userinfo response.
    pub fn knows(&self, person: Value) {
        *self.state.person.lock().unwrap() = person;
    }

    /// Adds members to the metadata.
    pub fn describes(&self, members: Value) {
        *self.state.metadata.lock().unwrap() = members;
    }

    /// Sets the response of the token endpoint.
    pub fn grants(&self, answer: Value) {
        *self.state.granted.lock().unwrap() = answer;
    }

    /// Makes the token endpoint refuse with this error code.
    pub fn refuses(&self, word: &str) {
        self.grants(json!({ "error": word }));
    }

    /// The requests to the token endpoint: `Authorization` and form.
    pub fn asked(&self) -> Vec<(String, String)> {
        self.state.asked.lock().unwrap().clone()
    }

    pub fn fetches(&self) -> usize {
        self.state.fetches.load(Ordering::SeqCst)
    }

    pub fn introspections(&self) -> usize {
        self.state.introspections.load(Ordering::SeqCst)
    }

    pub fn strange(&self) -> Vec<String> {
        self.state.strange.lock().unwrap().clone()
    }

    pub fn header(&self) -> Value {
        json!({ "alg": "RS256", "kid": "one", "typ": "at+jwt" })
    }

    /// The claims of a token that is valid for a resource.
    pub fn claims(&self, audience: &str) -> Value {
        json!({
            "iss": self.url, "aud": audience, "sub": "alice", "client_id": "agent-1",
            "iat": now(), "exp": now() + 300, "scope": "read",
        })
    }

    pub fn token(&self, audience: &str) -> String {
        self.token_with(audience, json!({}))
    }

    /// The same with other claims; null removes one.
    pub fn token_with(&self, audience: &str, changes: Value) -> String {
        let mut claims = self.claims(audience);
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        token(&self.header(), &claims.to_string(), &self.signer)
    }
}

fn answer(mut stream: TcpStream, state: &State, url: &str) {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).is_err() {
        return;
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut length, mut authorization) = (0, String::new());
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).is_err() || header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("authorization")
        {
            authorization = value.trim().to_owned();
        }
        let header = header.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    let known = match path.as_str() {
        "/.well-known/openid-configuration" => {
            let mut metadata = json!({
                "issuer": url, "jwks_uri": format!("{url}/jwks"),
                "introspection_endpoint": format!("{url}/introspect"),
                "authorization_endpoint": format!("{url}/authorize"),
                "token_endpoint": format!("{url}/token"),
                "userinfo_endpoint": format!("{url}/me"),
            });
            for (name, value) in state.metadata.lock().unwrap().as_object().unwrap() {
                metadata[name] = value.clone();
            }
            Some(metadata)
        }
        "/me" => Some(state.person.lock().unwrap().clone()),
        "/jwks" => {
            state.fetches.fetch_add(1, Ordering::SeqCst);
            Some(json!({ "keys": *state.keys.lock().unwrap() }))
        }
        "/introspect" => {
            state.introspections.fetch_add(1, Ordering::SeqCst);
            Some(state.opaque.lock().unwrap().clone())
        }
        "/token" => {
            let form = String::from_utf8_lossy(&body).into_owned();
            state.asked.lock().unwrap().push((authorization, form));
            let granted = state.granted.lock().unwrap().clone();
            if granted.get("error").is_some() {
                let text = granted.to_string();
                let head = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/json";
                let _ = write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{text}", text.len());
                return;
            }
            Some(granted)
        }
        "/.well-known/oauth-authorization-server" => None,
        other => {
            state.strange.lock().unwrap().push(other.to_owned());
            None
        }
    };
    let mood = *state.mood.lock().unwrap();
    let (head, body) = match (mood, known) {
        (Mood::Well, Some(known)) => {
            ("200 OK\r\ncontent-type: application/json".to_owned(), known.to_string())
        }
        (Mood::Html, _) => ("200 OK\r\ncontent-type: text/html".to_owned(), "<html>".to_owned()),
        (Mood::Huge, _) => (
            "200 OK\r\ncontent-type: application/json".to_owned(),
            format!("{{\"keys\": \"{}\"}}", "x".repeat(50 << 20)),
        ),
        (Mood::Redirects, _) => (format!("302 Found\r\nlocation: {url}/elsewhere"), String::new()),
        (Mood::Hangs, _) => {
            std::thread::sleep(Duration::from_secs(60));
            return;
        }
        (Mood::Down, _) => ("500 Internal Server Error".to_owned(), String::new()),
        (Mood::Well, None) => ("404 Not Found".to_owned(), String::new()),
    };
    let head =
        format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body.as_bytes());
}
