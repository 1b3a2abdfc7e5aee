//! The five revisions of the protocol, and its two eras.

use std::fmt;
use std::str::FromStr;

/// A revision of the specification, from the oldest to the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revision {
    V2024_11_05,
    V2025_03_26,
    V2025_06_18,
    V2025_11_25,
    V2026_07_28,
}

/// How a connection starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// 2025-11-25 and earlier: `initialize` opens a session.
    Handshake,
    /// 2026-07-28 and later: every request carries its own version and capabilities.
    Modern,
}

impl Revision {
    pub const ALL: [Self; 5] = [
        Self::V2024_11_05,
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
        Self::V2026_07_28,
    ];
    /// Returned for an `initialize` with an unknown revision.
    pub const NEWEST_HANDSHAKE: Self = Self::V2025_11_25;
    pub const NEWEST: Self = Self::V2026_07_28;
    /// The revision of a request after the handshake whose header is missing (spec 2025-06-18 basic/transports).
    pub const UNNAMED: Self = Self::V2025_03_26;

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    pub const fn era(self) -> Era {
        match self {
            Self::V2026_07_28 => Era::Modern,
            _ => Era::Handshake,
        }
    }

    pub fn is_modern(self) -> bool {
        self.era() == Era::Modern
    }

    /// JSON-RPC batches exist in this revision only (spec 2025-03-26 basic/index).
    pub fn has_batches(self) -> bool {
        self == Self::V2025_03_26
    }

    /// Streams start with an event that contains only an id, so that they can be resumed from the beginning (spec
    /// 2025-11-25 basic/transports).
    pub fn primes_streams(self) -> bool {
        self == Self::V2025_11_25
    }

    /// The revision of a session, from the one requested by `initialize`: the requested one if it is of the handshake
    /// era, otherwise the newest of that era.
    pub fn negotiate(asked: &str) -> Self {
        asked
            .parse()
            .ok()
            .filter(|revision: &Self| !revision.is_modern())
            .unwrap_or(Self::NEWEST_HANDSHAKE)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not a known revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a known protocol revision")]
pub struct UnknownRevision;

impl FromStr for Revision {
    type Err = UnknownRevision;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|revision| revision.as_str() == text).ok_or(UnknownRevision)
    }
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake => "handshake",
            Self::Modern => "modern",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_never_ends_in_the_modern_era() {
        for (asked, spoken) in [
            ("2024-11-05", Revision::V2024_11_05),
            ("2025-06-18", Revision::V2025_06_18),
            ("2026-07-28", Revision::V2025_11_25),
            ("1999-01-01", Revision::V2025_11_25),
        ] {
            assert_eq!(Revision::negotiate(asked), spoken, "{asked}");
        }
    }
}
