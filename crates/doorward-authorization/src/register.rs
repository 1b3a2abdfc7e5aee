//! Dynamic client registration (RFC 7591). Anyone can register, so clients are limited in number, rate and size,
//! and deleted if no user consents to them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use doorward_store::now;
use http::{HeaderMap, Response, StatusCode};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::answer::{OAuthError, json_answer};
use super::clients::Client;
use super::{RequestContext, clients};
use bytes::Bytes;
use doorward_core::address::network;
use doorward_identity::identity::Peer;
use doorward_identity::identity::issuer::read_keys;
use doorward_identity::seal;

/// Maximum number of registered clients in total, and per address in a period.
const MOST: i64 = 10_000;
const MOST_EACH: usize = 60;
const WHILE: Duration = Duration::from_secs(60);
/// Maximum number of addresses that are counted separately. Beyond, all new ones share one counter.
const MOST_ADDRESSES: usize = 10_000;

/// Recent registrations by address.
#[derive(Debug, Default)]
pub struct Registrations(Mutex<HashMap<IpAddr, (Instant, usize)>>);

impl Registrations {
    fn admit(&self, address: IpAddr) -> bool {
        let mut known = self.0.lock();
        let mut address = network(address);
        if known.len() >= MOST_ADDRESSES && !known.contains_key(&address) {
            address = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        }
        let (since, count) = known.entry(address).or_insert((Instant::now(), 0));
        if since.elapsed() >= WHILE {
            (*since, *count) = (Instant::now(), 0);
        }
        *count += 1;
        *count <= MOST_EACH
    }

    pub fn sweep(&self) {
        self.0.lock().retain(|_, (since, _)| since.elapsed() < WHILE);
    }
}

impl RequestContext<'_> {
    pub async fn register(
        &self,
        peer: &Peer,
        headers: &HeaderMap,
        text: &[u8],
    ) -> Result<Response<Bytes>, OAuthError> {
        let invalid = |why: &str| OAuthError::new("invalid_client_metadata", why);
        if !self.server.settings.dynamic_registration {
            let why = "Dynamic client registration is not enabled";
            let status = StatusCode::NOT_FOUND;
            return Err(OAuthError::with_status(status, "invalid_request", why));
        }
        let kind = headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/json")) {
            return Err(invalid("'Content-Type' must be application/json"));
        }
        let wanted: Map<String, Value> =
            serde_json::from_slice(text).map_err(|_| invalid("The body must be a JSON object"))?;
        if !self.server.registrations.admit(peer.address) {
            return Err(too_many());
        }
        let id = seal::random_id().map_err(|_| OAuthError::unavailable())?;
        let client = Client::read(&id, &wanted, &self.server.settings, true);
        let client = client.map_err(|(word, why)| OAuthError::new(word, why))?;
        let way = checked(&wanted)?;
        let secret = match way {
            "none" | "private_key_jwt" => None,
            _ => Some(seal::random_secret().map_err(|_| OAuthError::unavailable())?),
        };
        // The response contains what is in effect (section 3.2.1), without unsupported metadata from the request.
        let mut registration = json!({
            "client_name": client.name,
            "redirect_uris": wanted["redirect_uris"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": way,
        });
        if let Some(keys) = wanted.get("jwks").filter(|_| way == "private_key_jwt") {
            registration["jwks"] = keys.clone();
        }
        for member in ["application_type", "client_uri", "software_id", "software_version"] {
            let text = wanted.get(member).and_then(Value::as_str);
            if let Some(text) = text.filter(|text| text.len() <= clients::MOST_ID) {
                registration[member] = text.into();
            }
        }
        let (network, text) = (network(peer.address).to_string(), registration.to_string());
        let put = self.store.put_client(&id, &network, &text, secret.as_deref(), MOST).await;
        let put = put.map_err(|error| {
            tracing::error!(%error, "the store failed");
            OAuthError::unavailable()
        })?;
        if !put {
            return Err(too_many());
        }
        tracing::info!(client = id, name = client.name, address = %peer.address, "a client has registered");
        registration["client_id"] = id.into();
        registration["client_id_issued_at"] = now().into();
        if let Some(secret) = secret {
            registration["client_secret"] = secret.into();
            registration["client_secret_expires_at"] = 0.into();
        }
        Ok(json_answer(StatusCode::CREATED, &registration))
    }
}

fn too_many() -> OAuthError {
    let status = StatusCode::TOO_MANY_REQUESTS;
    let why = "Too many clients have registered; try again later";
    OAuthError::with_status(status, "temporarily_unavailable", why)
}

/// The requested authentication method. Fails if any of the metadata is not supported.
fn checked(wanted: &Map<String, Value>) -> Result<&'static str, OAuthError> {
    let invalid = |why: &str| OAuthError::new("invalid_client_metadata", why);
    for (member, known) in [
        ("grant_types", &["authorization_code", "refresh_token"][..]),
        ("response_types", &["code"][..]),
    ] {
        let Some(all) = wanted.get(member) else { continue };
        let all = all.as_array().ok_or_else(|| invalid(&format!("'{member}' must be a list")))?;
        // A supported value must be in the list; further ones are ignored.
        if !all.iter().any(|one| one.as_str() == Some(known[0])) {
            return Err(invalid(&format!("'{member}' must contain '{}'", known[0])));
        }
    }
    if wanted.contains_key("jwks_uri") {
        return Err(invalid("'jwks_uri' is not supported for registration: send 'jwks'"));
    }
    let way = match wanted.get("token_endpoint_auth_method") {
        // The default of section 2.
        None => return Ok("client_secret_basic"),
        Some(way) => way.as_str().unwrap_or_default(),
    };
    match way {
        "none" => Ok("none"),
        "client_secret_basic" => Ok("client_secret_basic"),
        "client_secret_post" => Ok("client_secret_post"),
        "private_key_jwt" => {
            let keys = wanted.get("jwks").and_then(Value::as_object);
            let keys = keys.ok_or_else(|| invalid("'private_key_jwt' needs 'jwks'"))?;
            read_keys(keys).map_err(|why| invalid(&format!("'jwks': {why}")))?;
            Ok("private_key_jwt")
        }
        _ => Err(invalid(
            "'token_endpoint_auth_method' must be none, client_secret_basic, client_secret_post or \
             private_key_jwt",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registrations_of_one_address_are_limited() {
        let registrations = Registrations::default();
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        for _ in 0..MOST_EACH {
            assert!(registrations.admit(one));
        }
        assert!(!registrations.admit("2001:db8::2".parse().unwrap()), "the same network");
        assert!(registrations.admit("2001:db8:0:1::1".parse().unwrap()));
        assert!(registrations.admit("::ffff:192.0.2.1".parse().unwrap()));
    }
}
