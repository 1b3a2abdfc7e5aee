//! Sessions of people who signed in to the console or the portal with a browser, and the short-lived tokens that they are
//! given for calls.
//!
//! A browser has a random secret. The store has its hash, and what was verified at the login, encrypted by a key that is
//! derived from the secret: whoever reads the store can neither use a session nor learn the claims in it. Each request
//! verifies the session again, as it would a credential ([`verify`]).

mod kept;
mod verify;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use doorward_config::Secret;
use doorward_store::{BrowserSession, KeyId, now, sha256_hex};

pub use self::kept::BrowserSessions;
pub use self::verify::SignedIn;
pub(super) use self::verify::issuer_of;

use super::Principal;
use super::directory::kind_of;
use crate::seal::{self, Sealer};

/// Prefix of the tokens that sessions are given.
pub const TOKEN_PREFIX: &str = "dwp_";
/// Lifetime of such a token, in seconds.
pub const TOKEN_LIFETIME: i64 = 5 * 60;
/// Sessions of one principal at the console, and at the portal; and tokens. A new one ends the oldest.
pub const MOST_OF_PRINCIPAL: usize = 20;
/// Longest secret that is looked at.
const LONGEST: usize = 128;

/// Where a session is valid, and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    Console,
    Portal,
    /// Calls of a session's token at the endpoints of clients.
    Token,
}

impl Face {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Portal => "portal",
            Self::Token => "token",
        }
    }
}

/// What was verified at the login.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// An API key. The session is valid as long as the key is.
    Key(KeyId),
    /// A login at an OpenID provider.
    OpenId {
        provider: String,
        /// Claims in the form of the gateway's own tokens: `sub`, `groups`, `roles`, `tenant`.
        claims: Map<String, Value>,
        /// For the logout at the provider.
        id_token: Option<String>,
    },
}

/// A session that is to be opened.
#[derive(Debug)]
pub struct NewSession<'a> {
    pub face: Face,
    pub principal: &'a Principal,
    pub proof: Proof,
    /// As the provider names the user, and its own session.
    pub subject: Option<String>,
    pub sid: Option<String>,
    pub address: Option<String>,
    /// Seconds: in total, and without use.
    pub lifetime: i64,
    pub idle: i64,
}

/// The ID of a session, by the secret that a browser has.
fn id_of(face: Face, secret: &str) -> String {
    sha256_hex(format!("doorward browser session\n{}\n{secret}", face.as_str()).as_bytes())
}

fn sealer(secret: &str) -> Result<Sealer, getrandom::Error> {
    Sealer::new(Some(&Secret(secret.to_owned())))
}

impl NewSession<'_> {
    /// The session as it is stored, and the secret for the browser.
    fn made(&self, parent: Option<&str>) -> Result<(BrowserSession, String), getrandom::Error> {
        let prefix = if self.face == Face::Token { TOKEN_PREFIX } else { "" };
        let secret = format!("{prefix}{}", seal::random_secret()?);
        let id = id_of(self.face, &secret);
        let (key, provider) = match &self.proof {
            Proof::Key(id) => (Some(id.0.clone()), None),
            Proof::OpenId { provider, .. } => (None, Some(provider.clone())),
        };
        let (now, who) = (now(), &self.principal.who);
        let session = BrowserSession {
            sealed: sealer(&secret)?.seal(&self.proof, &id, self.face.as_str(), None),
            id,
            face: self.face.as_str().into(),
            parent: parent.map(str::to_owned),
            principal: self.principal.id.to_string(),
            kind: kind_of(who.kind).as_str().into(),
            name: who.id.clone(),
            tenant: who.tenant.clone(),
            method: if key.is_some() { "key" } else { "openid" }.into(),
            key,
            provider,
            subject: self.subject.clone(),
            sid: self.sid.clone(),
            address: self.address.clone(),
            created: now,
            used: now,
            idle: self.idle,
            expires: now.saturating_add(self.lifetime),
        };
        Ok((session, secret))
    }
}

fn opened(session: &BrowserSession, secret: &str) -> Option<Proof> {
    sealer(secret).ok()?.open(&session.sealed, &session.id, &session.face).ok()
}
