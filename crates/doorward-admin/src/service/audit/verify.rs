//! Whether the audit log is intact, and the keys that vouch for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_mcp::display::harmless_line;
use doorward_policy::Action;
use doorward_store::{AuditKey, PublicKeys, Report, Verifier, files, key_id};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::credentials::master_key;
use crate::desk::Desk;
use crate::operation::{On, Operation, Verb};
use crate::problem::{Code, Problem};

pub const VERIFY: Operation<Verify, Verified> = Operation::new(
    "audit.verify",
    (Verb::Post, "/admin/v1/audit/verification"),
    "Verify that no record was changed, removed or truncated",
    (Action::ReadAudit, On::Gateway),
    |desk, input| Box::pin(async move { verify(&desk, &input).await }),
);

pub const KEYS: Operation<KeysOf, SigningKeys> = Operation::new(
    "audit.keys",
    (Verb::Get, "/admin/v1/audit/keys"),
    "List the public keys that sign checkpoints",
    (Action::ReadAudit, On::Gateway),
    |desk, input| Box::pin(async move { keys(&desk, &input).await }),
);

/// What is trusted beside the records themselves.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Verify {
    /// Keys whose signatures are trusted, as `GET /admin/v1/audit/keys` lists them. Default: the gateway's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Also trust keys that only the database knows, and unsigned records: changes by anyone who can write to the database
    /// are then not detected.
    pub trust_database: bool,
    /// Names and texts of anchor files with checkpoints, beside the one of the configuration.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub anchors: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Verified {
    pub intact: bool,
    /// Keys of the database that are not trusted: whoever can write records can also write keys.
    pub untrusted_keys: usize,
    /// The keys that were trusted, by their ids.
    pub keys: BTreeMap<String, String>,
    /// Files of the gateway that prove nothing, because others may read or write them.
    pub warnings: Vec<String>,
    pub report: Report,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KeysOf {
    /// Include keys that only the database knows.
    pub trust_database: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SigningKeys {
    pub keys: Vec<PublicKey>,
    /// Files of the gateway that prove nothing, because others may read or write them.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PublicKey {
    pub id: String,
    /// `ed25519:` and the key, in base64url.
    pub key: String,
}

/// What stands before a key: without it one in 64 would begin with a hyphen.
const KEY_PREFIX: &str = "ed25519:";

/// A public key as it is written.
pub fn public_key(public: &[u8]) -> String {
    format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(public))
}

/// A public key as it was written: with or without its id, or as it was before it had a prefix, after its id.
pub fn read_key(text: &str) -> Result<(String, Vec<u8>), String> {
    let marked = text.split_whitespace().find_map(|part| part.strip_prefix(KEY_PREFIX));
    let text = marked.or_else(|| text.split_whitespace().last()).unwrap_or_default();
    let key = URL_SAFE_NO_PAD.decode(text).ok().filter(|key| key.len() == 32);
    let key = key.ok_or_else(|| format!("'{text}' is not an Ed25519 key in base64url"))?;
    Ok((key_id(&key), key))
}

/// What others can write proves nothing, and with a key that others can read anybody signs.
fn warn_of_others(path: &Path, mode: u32, what: &str) -> Option<String> {
    let is = files::open_to_others(path, mode)?;
    let path = path.display().to_string();
    let path = harmless_line(&path);
    Some(format!("others may {what} {path} (mode {is:04o}), so it proves nothing"))
}

/// The keys of this gateway: of its file, and what it has sealed; and what is wrong with the files.
pub(super) async fn own_keys(desk: &Desk) -> Result<(PublicKeys, Vec<String>), Problem> {
    let (store, settings) = (desk.store()?, desk.settings());
    let named = settings.as_ref().and_then(|settings| settings.audit.key_file.clone());
    let paths: Vec<PathBuf> = named.into_iter().chain(store.location().audit_key_file()).collect();
    let (mut keys, mut warnings) = (PublicKeys::new(), Vec::new());
    for path in paths.iter().filter(|path| path.exists()) {
        warnings.extend(warn_of_others(path, 0o077, "open"));
        let key = AuditKey::open(path)?;
        keys.insert(key.id.clone(), key.public_bytes());
    }
    if let Ok(master) = master_key(desk) {
        for key in store.open_audit_keys(&master).await? {
            keys.insert(key.id.clone(), key.public_bytes());
        }
    }
    Ok((keys, warnings))
}

async fn keys(desk: &Desk, input: &KeysOf) -> Result<SigningKeys, Problem> {
    let (mut keys, warnings) = own_keys(desk).await?;
    if input.trust_database {
        keys.extend(desk.store()?.audit_public_keys().await?);
    }
    let keys = keys.into_iter().map(|(id, public)| PublicKey { id, key: public_key(&public) });
    Ok(SigningKeys { keys: keys.collect(), warnings })
}

pub(super) async fn verify(desk: &Desk, input: &Verify) -> Result<Verified, Problem> {
    let store = desk.store()?;
    let (mut keys, mut warnings) = match input.keys.is_empty() {
        true => own_keys(desk).await?,
        false => {
            let read = input.keys.iter().map(|text| read_key(text).map_err(Problem::invalid));
            (read.collect::<Result<_, _>>()?, Vec::new())
        }
    };
    let said = store.audit_public_keys().await?;
    let mut untrusted_keys = said.keys().filter(|id| !keys.contains_key(*id)).count();
    if input.trust_database {
        untrusted_keys = 0;
        keys.extend(said);
    }
    let mut verifier = Verifier::new(keys.clone(), true).trusting_database(input.trust_database);
    for (name, text) in &input.anchors {
        anchor(&mut verifier, name, text);
    }
    let settings = desk.settings();
    let own = settings.as_ref().and_then(|settings| settings.audit.anchor.as_deref());
    if let Some(path) = own {
        warnings.extend(warn_of_others(path, 0o022, "write"));
        let name = path.display().to_string();
        match tokio::fs::read_to_string(path).await {
            Ok(text) => anchor(&mut verifier, &name, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                verifier.no_anchor(&name);
            }
            Err(error) => return Err(Problem::new(Code::Internal, format!("{name}: {error}"))),
        }
    }
    let report = store.verify_audit(verifier).await?;
    let keys = keys.iter().map(|(id, public)| (id.clone(), public_key(public))).collect();
    Ok(Verified { intact: report.is_good(), untrusted_keys, keys, warnings, report })
}

/// Takes the checkpoints of an anchor file.
fn anchor(verifier: &mut Verifier, name: &str, text: &str) {
    let (mut number, mut has_checkpoint) = (0, false);
    for line in text.lines().filter(|line| !line.is_empty()) {
        number += 1;
        has_checkpoint |= verifier.anchor(name, number, line);
    }
    if !has_checkpoint {
        verifier.no_anchor(name);
    }
}
