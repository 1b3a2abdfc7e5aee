//! JSON Web Tokens: parsed strictly, and verified with the keys of their issuer (RFC 7515, RFC 8725).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_mcp::json::scan_object;
use serde_json::{Map, Value};

use super::issuer::KeySet;
use doorward_config::Algorithm;

const MOST_ID: usize = 256;

/// A parsed token whose signature is not verified yet.
pub struct Jwt<'a> {
    pub header: Map<String, Value>,
    pub claims: Map<String, Value>,
    pub algorithm: Algorithm,
    message: &'a str,
    signature: &'a str,
}

impl<'a> Jwt<'a> {
    pub fn read(token: &'a str) -> Result<Self, &'static str> {
        const MALFORMED: &str = "it cannot be read";
        let (message, signature) = token.rsplit_once('.').ok_or(MALFORMED)?;
        let (header, claims) = message.split_once('.').ok_or(MALFORMED)?;
        let header = object(header).ok_or(MALFORMED)?;
        let claims = object(claims).ok_or(MALFORMED)?;
        if signature.is_empty() {
            return Err("it is not signed");
        }
        // No extension is supported, so none can be required (RFC 7515 section 4.1.11).
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err("its header requires extensions");
        }
        // Keys in the token itself (`jwk`, `jku`, `x5u`, `x5c`) are ignored.
        let algorithm = header.get("alg").and_then(Value::as_str).unwrap_or_default();
        let algorithm = serde_json::from_value(Value::String(algorithm.to_owned()))
            .map_err(|_| "its algorithm is never accepted")?;
        match header.get("kid") {
            None => {}
            Some(Value::String(id)) if id.len() <= MOST_ID => {}
            Some(_) => return Err("its key ID is invalid"),
        }
        Ok(Self { header, claims, algorithm, message, signature })
    }

    /// The id of the key that it was signed with.
    pub fn key_id(&self) -> Option<&str> {
        self.header.get("kid").and_then(Value::as_str)
    }

    /// Whether it is signed by one of the candidate keys.
    pub fn is_signed_by(&self, keys: &KeySet) -> bool {
        keys.meant(self.key_id(), self.algorithm).into_iter().any(|key| {
            let (message, algorithm) = (self.message.as_bytes(), name(self.algorithm));
            jsonwebtoken::crypto::verify(self.signature, message, key.key(), algorithm)
                .unwrap_or(false)
        })
    }

    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim).and_then(Value::as_str)
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    // The strict scan rejects duplicate members, which parsers treat differently.
    scan_object(&bytes.clone().into(), doorward_mcp::json::Limits::default()).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn name(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    use jsonwebtoken::Algorithm as Name;
    match algorithm {
        Algorithm::RS256 => Name::RS256,
        Algorithm::RS384 => Name::RS384,
        Algorithm::RS512 => Name::RS512,
        Algorithm::PS256 => Name::PS256,
        Algorithm::PS384 => Name::PS384,
        Algorithm::PS512 => Name::PS512,
        Algorithm::ES256 => Name::ES256,
        Algorithm::ES384 => Name::ES384,
        Algorithm::EdDSA => Name::EdDSA,
    }
}

/// The audiences of a token.
pub fn audiences(claims: &Map<String, Value>) -> Vec<&str> {
    match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// A time in seconds since 1970. A fraction is dropped.
pub fn seconds(value: Option<&Value>) -> Option<i64> {
    let number = value?.as_number()?;
    number.as_i64().or_else(|| {
        let time = number.as_f64()?;
        // Within the range of a clock.
        (0.0..1e12).contains(&time).then_some(time as i64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers() {
        for (value, time) in [
            (serde_json::json!(5), Some(5)),
            (serde_json::json!(5.9), Some(5)),
            (serde_json::json!("5"), None),
            (serde_json::json!(1e300), None),
            (serde_json::json!(null), None),
        ] {
            assert_eq!(seconds(Some(&value)), time, "{value}");
        }
    }
}
