//! A token issuer, and policies as a platform team would have them, to measure a call with everything on.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// An issuer that serves as long as the process lives.
pub struct Issuer {
    pub url: String,
    key: EcdsaKeyPair,
}

impl Issuer {
    pub fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| std::io::Error::other("no key could be made"))?;
        let point = key.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let keys =
            json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "bench", "x": x, "y": y }] });
        let metadata = json!({ "issuer": url, "jwks_uri": format!("{url}/jwks") });
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut line = String::new();
                let _ = BufReader::new(&stream).read_line(&mut line);
                let body = if line.contains("/jwks") { &keys } else { &metadata }.to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\
                     content-length: {}\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes());
            }
        });
        Ok(Self { url, key })
    }

    /// A token for a gateway, valid for an hour.
    pub fn token(&self, audience: &str) -> Result<String, String> {
        let now =
            SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
        let header = json!({ "alg": "ES256", "kid": "bench", "typ": "at+jwt" });
        let claims = json!({
            "iss": self.url, "aud": audience, "sub": "alice", "client_id": "agent",
            "groups": ["support", "eu"], "roles": ["reader"],
            "iat": now.as_secs(), "exp": now.as_secs() + 3600,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes());
        let signature = signature.map_err(|_| "no signature could be made")?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }
}

/// A hundred policies: five on all tools of the called server, five on the called tool, and the others on other
/// tools.
pub fn policies() -> String {
    let one = |number: usize| match number % 20 {
        0 => format!(
            "permit (principal, action in Action::\"use\", resource in Server::\"modern\") \
             when {{ principal in Team::\"support\" || context.time.hour >= {} }};\n",
            number / 20
        ),
        1 => "@arguments(\"text?: String\") forbid (principal, action == Action::\"call\", \
              resource == Tool::\"modern/echo\") when { context.arguments has text && \
              context.arguments.text like \"*secret*\" };\n"
            .to_owned(),
        _ => format!(
            "permit (principal == User::\"bench:user-{number}\", action == Action::\"call\", \
             resource == Tool::\"other/tool-{number}\") when {{ resource.write }};\n"
        ),
    };
    (0..100).map(one).collect()
}
