//! Secrets in a Vault or a compatible server (KV version 2): `${vault:MOUNT/PATH#FIELD}`. Address and credential come
//! from the usual variables: `VAULT_ADDR`, `VAULT_TOKEN` or `VAULT_TOKEN_FILE`, `VAULT_NAMESPACE`.

use std::cell::RefCell;
use std::collections::HashMap;

use doorward_net::outbound::{self, Author};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value};
use url::Url;

/// The fields of a secret, or why there are none.
type Secret = Result<Map<String, Value>, String>;

/// Secrets that were read for one configuration: each once, however many of its fields are used.
#[derive(Default)]
pub struct Vault {
    read: RefCell<HashMap<String, Secret>>,
}

impl Vault {
    /// The field that a reference names. The error says what is wrong, and nothing of any secret.
    pub fn read(&self, reference: &str) -> Result<String, String> {
        let wrong =
            || format!("'{reference}': expected MOUNT/PATH#FIELD, such as secret/doorward#key");
        let (place, field) = reference.split_once('#').ok_or_else(wrong)?;
        let (mount, path) = place.trim_matches('/').split_once('/').ok_or_else(wrong)?;
        let mut read = self.read.borrow_mut();
        let secret = read.entry(place.to_owned()).or_insert_with(|| fetch(mount, path));
        let secret = secret.as_ref().map_err(Clone::clone)?;
        match secret.get(field) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            Some(_) => Err(format!("the field '{field}' of {place} is not a string")),
            None => Err(format!("the vault's {place} has no field '{field}'")),
        }
    }
}

fn fetch(mount: &str, path: &str) -> Secret {
    let address = std::env::var("VAULT_ADDR").map_err(|_| "VAULT_ADDR is not set")?;
    let mut url = Url::parse(&address).map_err(|_| "VAULT_ADDR is not a URL")?;
    url.path_segments_mut()
        .map_err(|()| "VAULT_ADDR is not a URL")?
        .pop_if_empty()
        .extend(["v1", mount, "data"])
        .extend(path.split('/'));
    let token = match (std::env::var("VAULT_TOKEN"), std::env::var("VAULT_TOKEN_FILE")) {
        (Ok(token), _) => token,
        // What an agent beside the gateway renews.
        (Err(_), Ok(file)) => std::fs::read_to_string(&file)
            .map_err(|error| format!("VAULT_TOKEN_FILE {file}: {error}"))?,
        (Err(_), Err(_)) => return Err("VAULT_TOKEN is not set, nor VAULT_TOKEN_FILE".into()),
    };
    let mut headers = HeaderMap::new();
    let namespace = std::env::var("VAULT_NAMESPACE").ok();
    for (name, value) in [("x-vault-token", Some(token)), ("x-vault-namespace", namespace)] {
        let Some(value) = value else { continue };
        let value = HeaderValue::try_from(value.trim());
        let mut value =
            value.map_err(|_| format!("the value of {name} is not a valid header value"))?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static(name), value);
    }
    // Whoever reads a configuration may be in the midst of other things, which must not wait in this way: a thread
    // of its own waits.
    let asking = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let answer = runtime.block_on(outbound::get_with(&url, Author::Operator, headers));
        let answer = answer.map_err(|error| format!("{url}: {error}"))?;
        match answer.status {
            StatusCode::NOT_FOUND => return Err(format!("{url}: there is no such secret")),
            StatusCode::FORBIDDEN => return Err(format!("{url}: the vault refuses the token")),
            _ => {}
        }
        let mut answer = answer.object().map_err(|error| format!("{url}: {error}"))?;
        match answer.remove("data").and_then(|mut data| data.get_mut("data").map(Value::take)) {
            Some(Value::Object(secret)) => Ok(secret),
            _ => Err(format!("{url}: the response is not a secret of a KV engine of version 2")),
        }
    });
    asking.join().unwrap_or_else(|_| Err("the request to the vault failed".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_a_mount_a_path_and_a_field() {
        for wrong in ["", "secret", "secret/x", "secret#y", "#y"] {
            let problem = Vault::default().read(wrong).unwrap_err();
            assert!(problem.contains("MOUNT/PATH#FIELD"), "{wrong}: {problem}");
        }
    }
}
