//! Whether it makes a difference to a server what its clients can do.
//!
//! A session of the handshake era declares once what its client can do: elicitation, sampling, roots. A server may list
//! other tools for it, or ask the client for something; so clients that declare different things get sessions of their own,
//! and where the server is a program, a process each. Most servers do neither. One that answered `initialize` the same for
//! different declarations, that lists the same for them, and that has made no request of its own, is told from then on what
//! all these clients can do together, so that one session serves them. It is told separately again as soon as it makes a
//! request: then it does make a difference.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use doorward_mcp::server_info::About;
use doorward_mcp::{Object, Value, capabilities, method};
use parking_lot::Mutex;

/// What a server has made of what its clients can do.
#[derive(Debug, Default)]
pub struct CapabilityUse {
    /// It has made a request that a client must be able to answer.
    asked: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    declared: Vec<(Bytes, Object)>,
    /// What it says of itself, as it said it first.
    about: Option<Box<[Option<Bytes>; 3]>>,
    /// It has said something else since.
    differs: bool,
}

impl CapabilityUse {
    /// A session was opened that declared something, and this is what the server said of itself. Standard capabilities
    /// count, of which there are few sets: what else a client makes up is declared in its own sessions alone.
    pub fn opened(&self, declared: &Object, about: &About) {
        let said = [
            Some(about.capabilities.to_bytes()),
            about.info.as_ref().map(Value::to_bytes),
            about.instructions.as_ref().map(Value::to_bytes),
        ];
        let declared = capabilities::standard(declared);
        let key = capabilities::canonical(&declared);
        let mut seen = self.seen.lock();
        match &seen.about {
            Some(first) => seen.differs |= **first != said,
            None => seen.about = Some(Box::new(said)),
        }
        if seen.declared.iter().all(|(known, _)| *known != key) {
            seen.declared.push((key, declared));
        }
    }

    /// The server has made a request of its own.
    pub fn asked(&self, method: &str) {
        if method != method::PING {
            self.asked.store(true, Ordering::Release);
        }
    }

    /// Whether it may be told what all its clients can do.
    pub fn may_share(&self) -> bool {
        !self.asked.load(Ordering::Acquire)
    }

    /// What its clients can do together, if that has made no difference so far: to what it says of itself, and to what it
    /// asks.
    pub fn union(&self) -> Option<Object> {
        if !self.may_share() {
            return None;
        }
        let seen = self.seen.lock();
        let has_compared = !seen.differs && seen.declared.len() > 1;
        has_compared.then(|| capabilities::merge(seen.declared.iter().map(|(_, one)| one.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_mcp::capabilities::covers;

    fn object(text: &'static str) -> Object {
        Object::parse(&Bytes::from_static(text.as_bytes())).unwrap()
    }

    #[test]
    fn a_server_to_which_it_made_no_difference_is_told_what_all_can_do() {
        let it = CapabilityUse::default();
        let about = About::default();
        it.opened(&object(r#"{"roots":{}}"#), &about);
        it.opened(&object(r#"{"roots":{}}"#), &about);
        assert!(it.union().is_none(), "nothing to compare with");
        it.opened(&object(r#"{"elicitation":{"url":{}}}"#), &about);
        let union = it.union().unwrap();
        assert!(covers(&union, &object(r#"{"roots":{},"elicitation":{"url":{}}}"#)));
        assert!(!covers(&union, &object(r#"{"sampling":{}}"#)));
        it.asked("ping");
        assert!(it.union().is_some());
        it.asked("roots/list");
        assert!(it.union().is_none());
    }

    #[test]
    fn a_server_that_says_something_else_of_itself_is_told_separately() {
        let it = CapabilityUse::default();
        it.opened(&object(r#"{"roots":{}}"#), &About::default());
        let about = About { capabilities: object(r#"{"tools":{}}"#), ..About::default() };
        it.opened(&object("{}"), &about);
        assert!(it.union().is_none());
    }

    #[test]
    fn what_a_client_makes_up_is_declared_for_nobody_else() {
        let it = CapabilityUse::default();
        let about = About::default();
        for number in 0..100 {
            let made_up = serde_json::json!({ "experimental": { number.to_string(): {} }, "x": 1 });
            it.opened(&Object::from_serde(&made_up).unwrap(), &about);
        }
        assert!(it.union().is_none(), "all declare nothing that counts");
        it.opened(
            &object(r#"{"roots":{"listChanged":true},"sampling":{"tools":{},"y":{}}}"#),
            &about,
        );
        assert_eq!(it.union().unwrap().to_bytes(), r#"{"roots":{},"sampling":{"tools":{}}}"#);
    }
}
