//! Whose labels and counts a call belongs to: its conversation.

use std::sync::Arc;

use aws_lc_rs::digest;
use doorward_config::Separation;
use doorward_store::hex;
use serde::{Deserialize, Serialize};

/// Bytes of a digest that name a session or conversation for people.
const NAME_BYTES: usize = 8;

/// A conversation, as it is stored: a digest, so that what clients choose has a fixed length and is not readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

impl Key {
    pub(crate) fn of<const PARTS: usize>(parts: &[&str; PARTS]) -> Self {
        Self::of_bytes(&parts.map(str::as_bytes))
    }

    pub(crate) fn of_bytes(parts: &[&[u8]]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut key = [0; 32];
        key.copy_from_slice(context.finish().as_ref());
        Self(key)
    }

    /// As shared stores name it.
    pub fn name(&self) -> String {
        hex(&self.0)
    }
}

/// What separates a conversation from others of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A session of the handshake era at this gateway.
    Session,
    /// An ID that the client has chosen.
    Conversation,
    /// Nothing: all calls of a caller without a session.
    Caller,
}

/// Who makes a call, and in which conversation.
#[derive(Debug, Clone)]
pub struct Caller<'a> {
    /// The principal with the agent that acts for it, as everywhere.
    pub principal: &'a Arc<str>,
    pub tenant: Option<&'a str>,
    /// The client's session, if it is one that later calls can continue: that of a single request separates nothing.
    pub session: Option<&'a Arc<str>>,
    /// The ID of a client without sessions.
    pub conversation: Option<&'a str>,
}

/// A conversation, and whose it is.
#[derive(Debug, Clone)]
pub struct Carrier {
    pub kind: Kind,
    pub key: Key,
    /// The conversation of the caller without any separation.
    pub whole: Key,
    pub principal: Arc<str>,
    pub tenant: Option<Box<str>>,
    /// The session, or the conversation ID.
    separate: Option<Arc<str>>,
}

impl Carrier {
    pub fn of(caller: &Caller<'_>, by: Separation) -> Self {
        let whole = Key::of(&["caller", caller.principal]);
        let (kind, separate) = match (by, caller.session, caller.conversation) {
            (Separation::Sessions | Separation::Trusted, Some(session), _) => {
                (Kind::Session, Some(session.clone()))
            }
            (Separation::Trusted, None, Some(conversation)) => {
                (Kind::Conversation, Some(conversation.into()))
            }
            _ => (Kind::Caller, None),
        };
        let key = match (kind, &separate) {
            (Kind::Session, Some(session)) => Key::of(&["session", session]),
            (_, Some(conversation)) => Key::of(&["conversation", caller.principal, conversation]),
            (_, None) => whole,
        };
        let (principal, tenant) = (caller.principal.clone(), caller.tenant.map(Into::into));
        Self { kind, key, whole, principal, tenant, separate }
    }

    /// The conversation of a caller without any separation.
    pub fn whole_of(principal: &Arc<str>, tenant: Option<&str>) -> Self {
        let caller = Caller { principal, tenant, session: None, conversation: None };
        Self::of(&caller, Separation::Principal)
    }

    pub fn session(&self) -> Option<&Arc<str>> {
        self.separate.as_ref().filter(|_| self.kind == Kind::Session)
    }

    /// What it is, for people.
    pub(crate) fn about(&self) -> About {
        let name = self.separate.as_ref().map(|text| {
            let hash = digest::digest(&digest::SHA256, text.as_bytes());
            hex(&hash.as_ref()[..NAME_BYTES])
        });
        let (principal, tenant) = (self.principal.to_string(), self.tenant.as_deref());
        About { kind: self.kind, principal, tenant: tenant.map(Into::into), name }
    }
}

/// What a conversation is, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    pub kind: Kind,
    pub principal: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// A digest of the session or conversation ID; of a session, the one that audit records have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carrier(
        by: Separation,
        principal: &str,
        session: Option<&str>,
        conversation: Option<&str>,
    ) -> Carrier {
        let (principal, session) = (Arc::from(principal), session.map(Arc::from));
        let caller =
            Caller { principal: &principal, tenant: None, session: session.as_ref(), conversation };
        Carrier::of(&caller, by)
    }

    #[test]
    fn a_conversation_id_separates_only_where_it_is_trusted() {
        use Separation::{Principal, Sessions, Trusted};
        let of = |by, session, conversation| carrier(by, "user \"a\"", session, conversation);
        for by in [Sessions, Principal] {
            let (one, two) = (of(by, None, Some("1")), of(by, None, Some("2")));
            assert_eq!((one.key, one.kind), (two.key, Kind::Caller));
        }
        assert_ne!(of(Trusted, None, Some("1")).key, of(Trusted, None, Some("2")).key);
        assert_ne!(of(Sessions, Some("1"), None).key, of(Sessions, Some("2"), None).key);
        assert_eq!(of(Principal, Some("1"), None).key, of(Principal, Some("2"), None).key);
        assert_eq!(of(Trusted, None, Some("1")).whole, of(Sessions, None, None).key);
        let other = carrier(Trusted, "user \"b\"", None, Some("1"));
        assert_ne!(other.key, of(Trusted, None, Some("1")).key);
    }
}
