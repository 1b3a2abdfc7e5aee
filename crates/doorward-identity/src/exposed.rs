//! Names that the APIs of models accept, derived from the names of the servers, and resolved back to them.
//!
//! The name of a tool depends only on its server's name and its own, so that it is the same after a restart and
//! whatever else the catalogue contains. A rewritten name ends with the digest of both, by which it is resolved; an
//! original that happens to look like one is rewritten as well, so that no tool can take another's name.

use std::borrow::Cow;

use doorward_mcp::names::qualified_name;
use doorward_store::hex;

use crate::seal;
use doorward_config::{NameSettings, ServerNames, is_legal_name};

/// Digits of a digest at the end of a name.
const DIGITS: usize = 8;

/// The digest at the end of a rewritten name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(u32);

impl Digest {
    /// That of a server's tool or prompt.
    pub fn of(server: &str, own: &str) -> Self {
        let hash = seal::sha256(format!("{server}/{own}").as_bytes());
        Self(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]))
    }

    /// That of a name that may have been rewritten.
    pub fn read(name: &str) -> Option<Self> {
        let at = name.len().checked_sub(DIGITS + 1)?;
        let digits = name.get(at..)?.strip_prefix('_')?;
        let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        digits.bytes().all(plain).then(|| u32::from_str_radix(digits, 16).ok().map(Self))?
    }
}

/// The name of a tool or prompt where several servers are shown together.
pub fn merged_name(server: &str, own: &str, settings: &NameSettings) -> String {
    exposed(server, own, qualified_name(server, own).into(), settings.longest()).into_owned()
}

/// Its name where its server is shown alone.
pub fn single_name<'a>(server: &str, own: &'a str, settings: &NameSettings) -> Cow<'a, str> {
    match settings.servers {
        ServerNames::Own => own.into(),
        ServerNames::Legal => exposed(server, own, own.into(), settings.longest()),
    }
}

fn exposed<'a>(server: &str, own: &str, plain: Cow<'a, str>, longest: usize) -> Cow<'a, str> {
    if is_legal_name(&plain, longest) && Digest::read(&plain).is_none() {
        return plain;
    }
    let mut legal: String = plain
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' })
        .collect();
    if !is_legal_name(legal.get(..1).unwrap_or_default(), 1) {
        legal.insert(0, '_');
    }
    let room = longest.saturating_sub(DIGITS + 1);
    if legal.len() > room {
        // Its beginning names the server, and its end is what tells it from others.
        let head = room - room / 2;
        legal.replace_range(head..legal.len() - room / 2, "");
    }
    let Digest(digest) = Digest::of(server, own);
    format!("{legal}_{}", hex(&digest.to_be_bytes())).into()
}

/// Whether a rewritten name may be one of a server's: what is left of its beginning fits.
pub fn may_be_of(name: &str, server: &str) -> bool {
    let legal = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let begins = |(one, other): (char, char)| one == legal(other);
    // At least a third of a name is its beginning, however long its server's is.
    let kept = name.len().saturating_sub(DIGITS + 1) / 2;
    name.chars().take(kept).zip(server.chars().chain("__".chars())).all(begins)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settings() -> NameSettings {
        NameSettings::default()
    }

    #[test]
    fn what_models_take_stays_and_what_they_refuse_is_rewritten() {
        let long = "x".repeat(90);
        for (server, own, shown) in [
            ("tickets", "search", "tickets__search"),
            ("a-b", "get_one-more", "a-b__get_one-more"),
            ("tickets", "search issues", "tickets__search_issues_0b0b8c92"),
            ("tickets", "search.issues", "tickets__search_issues_4b3a2b9c"),
            ("io.example", "search", "io_example__search_b1a0c7c0"),
            ("tickets", "größe", "tickets__gr__e_00000000"),
            ("tickets", "x_deadbeef", "tickets__x_deadbeef_00000000"),
            ("tickets", "x_DEADBEEF", "tickets__x_DEADBEEF"),
            ("tickets", &long, "tickets__xxxxxxxxxxxxxxxxxxxxxxxxxxxx_00000000"),
        ] {
            let name = merged_name(server, own, &settings());
            assert!(is_legal_name(&name, 46), "{name}");
            // The last digits come from SHA-256; the rest is compared literally.
            match Digest::read(shown) {
                None => assert_eq!(name, shown),
                Some(_) => assert_eq!(name[..name.len() - 8], shown[..shown.len() - 8], "{own}"),
            }
        }
        // These names must never change, since clients store them.
        assert_eq!(merged_name("a", "b c", &settings()), "a__b_c_0af99a60");
        assert_eq!(single_name("a", "b c", &settings()), "b c");
        let legal = NameSettings { servers: ServerNames::Legal, ..settings() };
        assert_eq!(single_name("a", "b c", &legal), "b_c_0af99a60");
        assert_eq!(single_name("a", "7z", &legal).as_bytes()[0], b'_');
        assert_eq!(single_name("a", "b-c", &legal), "b-c");
    }

    proptest! {
        #[test]
        fn every_name_is_legal_and_leads_back(
            server in "[a-zA-Z][a-zA-Z0-9.-]{0,63}",
            own in "\\PC{1,128}|[a-z_]{1,128}|[a-z]{1,20}_[0-9a-f]{8}",
            allowance in 0usize..=40,
        ) {
            let settings = NameSettings { allowance, servers: ServerNames::Legal };
            let name = merged_name(&server, &own, &settings);
            prop_assert!(is_legal_name(&name, 64 - allowance), "{name}");
            match Digest::read(&name) {
                Some(digest) => {
                    prop_assert_eq!(digest, Digest::of(&server, &own));
                    prop_assert!(may_be_of(&name, &server), "{} {}", name, server);
                }
                None => prop_assert_eq!(&name, &qualified_name(&server, &own)),
            }
            let single = single_name(&server, &own, &settings);
            prop_assert!(is_legal_name(&single, 64 - allowance), "{single}");
        }

        #[test]
        fn no_two_tools_have_the_same_name(names in prop::collection::btree_set("[a-c. _]{1,6}|[a-c]_[0-9a-f]{8}", 2..40)) {
            let shown: std::collections::BTreeSet<_> =
                names.iter().map(|own| merged_name("s", own, &settings())).collect();
            prop_assert_eq!(shown.len(), names.len());
        }
    }
}
