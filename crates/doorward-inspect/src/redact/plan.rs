//! What is done with what is found.

use std::collections::HashMap;

use aws_lc_rs::hmac;
use serde::Deserialize;

use crate::field::FieldPattern;

/// What is done with a value that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The value is left as it is, and not reported.
    Ignore,
    /// The value is left as it is.
    #[default]
    Report,
    /// Replaced by its class: `[EMAIL]`.
    Mask,
    /// Replaced by its class and a keyed hash, so that equal values stay equal: `[EMAIL:0123456789abcdef]`.
    Hash,
    /// Replaced by a token that the caller can turn back: `[EMAIL:…]`.
    Tokenize,
    /// The caller should refuse the message.
    Refuse,
}

impl Action {
    /// Whether the value is replaced.
    pub fn replaces(self) -> bool {
        matches!(self, Self::Mask | Self::Hash | Self::Tokenize)
    }
}

/// What is done by field, detector, class, and otherwise.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// By the place of the value, before everything else. The first that matches applies.
    pub fields: Vec<(FieldPattern, Action)>,
    pub default: Action,
    /// By class, such as `email`.
    pub classes: HashMap<String, Action>,
    /// By detector, before classes.
    pub detectors: HashMap<String, Action>,
}

impl Plan {
    /// The same for everything.
    pub fn all(action: Action) -> Self {
        Self { default: action, ..Self::default() }
    }

    /// What is done with what a detector has found.
    pub fn action(&self, detector: &str, class: &str) -> Action {
        self.detectors
            .get(detector)
            .or_else(|| self.classes.get(class))
            .copied()
            .unwrap_or(self.default)
    }
}

/// Makes and recognizes replacements that depend on the value. Implemented by the caller, who has the keys.
pub trait Pseudonyms {
    /// A keyed hash of a value of a class.
    fn hash(&self, class: &str, value: &str) -> [u8; 8];

    /// A token for a value of a class: letters, digits, `_`, `-` and `.`. `None` if none can be made: the value is masked.
    fn token(&self, class: &str, value: &str) -> Option<String>;

    /// Whether a token of a class was made by [`Self::token`]. It is then left as it is.
    fn is_token(&self, class: &str, token: &str) -> bool;
}

impl Pseudonyms for hmac::Key {
    fn hash(&self, class: &str, value: &str) -> [u8; 8] {
        let mut context = hmac::Context::with_key(self);
        context.update(class.as_bytes());
        context.update(&[0]);
        context.update(value.as_bytes());
        let tag = context.sign();
        let mut hash = [0; 8];
        hash.copy_from_slice(&tag.as_ref()[..8]);
        hash
    }

    fn token(&self, _class: &str, _value: &str) -> Option<String> {
        None
    }

    fn is_token(&self, _class: &str, _token: &str) -> bool {
        false
    }
}

/// A replacement in a text: `[EMAIL]`, `[EMAIL:token]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replacement;

impl Replacement {
    /// The mask of a class.
    pub fn mask(class: &str) -> String {
        format!("[{}]", class.to_ascii_uppercase())
    }

    /// A replacement with a hash.
    pub fn hash(class: &str, hash: [u8; 8]) -> String {
        let mut text = format!("{:016x}", u64::from_be_bytes(hash));
        // One that is a number could be mistaken for one, such as that of a card.
        if !Self::is_hash(&text) {
            text.replace_range(..1, "a");
        }
        format!("[{}:{text}]", class.to_ascii_uppercase())
    }

    /// Whether a text has the form of a hash: 16 hexadecimal digits, not all of them decimal.
    pub fn is_hash(text: &str) -> bool {
        text.len() == 16
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            && text.bytes().any(|byte| byte.is_ascii_lowercase())
    }

    /// A replacement with a token.
    pub fn token(class: &str, token: &str) -> String {
        format!("[{}:{token}]", class.to_ascii_uppercase())
    }

    /// The replacements in a text: their ranges, classes and what is behind the colon.
    pub fn find(text: &str) -> impl Iterator<Item = (std::ops::Range<usize>, String, &str)> {
        memchr::memchr_iter(b'[', text.as_bytes()).filter_map(move |at| {
            let rest = &text[at + 1..];
            let is_class =
                |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
            let class = rest.bytes().take(33).take_while(is_class).count();
            let behind = rest[class..].strip_prefix(':');
            let is_token =
                |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
            let token =
                behind.map_or(0, |behind| behind.bytes().take(4096).take_while(is_token).count());
            let length = class + behind.map_or(0, |_| 1 + token);
            if class == 0 || rest.as_bytes().get(length) != Some(&b']') {
                return None;
            }
            let token = &rest[length - token..length];
            Some((at..at + length + 2, rest[..class].to_ascii_lowercase(), token))
        })
    }
}
