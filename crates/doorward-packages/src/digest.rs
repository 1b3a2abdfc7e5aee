//! Digests as registries write them: npm's `sha512-…` in base64, and `sha256:…` in hexadecimal.

use std::fmt;

use aws_lc_rs::digest::{self, SHA256, SHA512};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A digest of bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Digest {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

impl Digest {
    pub fn sha256_of(bytes: &[u8]) -> Self {
        let mut value = [0; 32];
        value.copy_from_slice(digest::digest(&SHA256, bytes).as_ref());
        Self::Sha256(value)
    }

    pub fn sha512_of(bytes: &[u8]) -> Self {
        let mut value = [0; 64];
        value.copy_from_slice(digest::digest(&SHA512, bytes).as_ref());
        Self::Sha512(value)
    }

    /// The SHA-512 of npm's `integrity`, which may list several digests (Subresource Integrity).
    ///
    /// # Errors
    /// If there is none: SHA-1 is not accepted.
    pub fn of_integrity(text: &str) -> Result<Self> {
        let found = text.split_ascii_whitespace().find_map(|one| {
            one.split('?').next().and_then(|one| one.strip_prefix("sha512-")).map(str::to_owned)
        });
        let found = found.ok_or_else(|| {
            Error::refused("the registry has no SHA-512 digest for it ('integrity')")
        })?;
        format!("sha512-{found}").parse()
    }

    /// A SHA-256 in hexadecimal, without prefix.
    ///
    /// # Errors
    /// If it is none.
    pub fn of_hex(text: &str) -> Result<Self> {
        format!("sha256:{text}").parse()
    }

    /// # Errors
    /// If the bytes have another digest.
    pub fn check(&self, bytes: &[u8]) -> Result<()> {
        let found = match self {
            Self::Sha256(_) => Self::sha256_of(bytes),
            Self::Sha512(_) => Self::sha512_of(bytes),
        };
        if found == *self {
            return Ok(());
        }
        Err(Error::refused(format!("its content has changed: expected {self}, received {found}")))
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(value) => value,
            Self::Sha512(value) => value,
        }
    }

    /// In hexadecimal, without prefix.
    pub fn hex(&self) -> String {
        self.bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(_) => write!(f, "sha256:{}", self.hex()),
            Self::Sha512(value) => write!(f, "sha512-{}", STANDARD.encode(value)),
        }
    }
}

impl std::str::FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::refused(format!("'{text}' is not a digest"));
        if let Some(text) = text.strip_prefix("sha512-") {
            let value = STANDARD.decode(text).map_err(|_| wrong())?;
            return Ok(Self::Sha512(value.try_into().map_err(|_| wrong())?));
        }
        let text = text.strip_prefix("sha256:").ok_or_else(wrong)?;
        let digits: Option<Vec<u8>> = text
            .chars()
            .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or_else(wrong)?;
        let mut value = [0; 32];
        for (byte, pair) in value.iter_mut().zip(digits.chunks(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self::Sha256(value))
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_as_they_are_written() {
        for digest in [Digest::sha256_of(b"a"), Digest::sha512_of(b"a")] {
            assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
            assert!(digest.check(b"a").is_ok());
            let refused = digest.check(b"b").unwrap_err().to_string();
            assert!(refused.contains("has changed"), "{refused}");
        }
        let both = format!("sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk= {}?x", Digest::sha512_of(b"a"));
        assert_eq!(Digest::of_integrity(&both).unwrap(), Digest::sha512_of(b"a"));
        for wrong in ["sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "", "sha512-", "sha512-AAAA"] {
            assert!(Digest::of_integrity(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "00", &"g".repeat(64), &"0".repeat(63)] {
            assert!(Digest::of_hex(wrong).is_err(), "{wrong}");
        }
    }
}
