//! Names that some server may read as another.

use std::borrow::Cow;

use doorward_mcp::display::is_harmful;
use doorward_mcp::json::fold;

/// Whether some server may read one name as the other.
pub(super) fn is_alike(one: &[u8], other: &[u8]) -> bool {
    one == other || key(one).is_some_and(|one| key(other) == Some(one))
}

/// What names have in common that a server may take for the same: it ignores case, white space and invisible characters,
/// truncates at NUL, reads `name[]` as a list, compares compatibility forms, or takes `owner_name`, `owner-name` and
/// `ownerName` for the same. The first of these are those of [`doorward_mcp::json::may_be_read_as`]; a key is made once
/// for each name, because a caller may send as many names as it likes. `None` if nothing is left of the name.
pub(super) fn key(name: &[u8]) -> Option<Vec<u8>> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let bare = match name.iter().all(is_plain) {
        true => Cow::Borrowed(name),
        false => Cow::Owned(bare(&String::from_utf8_lossy(name)).into_bytes()),
    };
    let mut key = fold(bare).into_owned();
    key.retain(|byte| !matches!(byte, b'_' | b'-' | b'.'));
    (!key.is_empty()).then_some(key)
}

fn bare(name: &str) -> String {
    let text = name.split('\0').find(|part| !part.is_empty()).unwrap_or_default();
    let seen = text.chars().filter(|c| !is_harmful(*c)).map(|c| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        c => c,
    });
    let seen: String = seen.collect();
    let seen = seen.split_once('[').map_or(&*seen, |(before, _)| before);
    seen.chars().filter(|c| !c.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_mcp::json::may_be_read_as;
    use proptest::prelude::*;

    #[test]
    fn names_are_alike_by_case_and_by_what_separates_words() {
        for one in [
            "owner_name",
            "ownerName",
            "OwnerName",
            "owner-name",
            "OWNER_NAME",
            "owner_name[]",
            " owner_name",
            "owner.name",
            "ownername\u{200b}",
        ] {
            assert!(is_alike(one.as_bytes(), b"owner_name"), "{one}");
        }
        for one in ["owner", "name", "owner_names", "", "_", "proprietor"] {
            assert!(!is_alike(one.as_bytes(), b"owner_name"), "{one}");
        }
        assert!(!is_alike(b"a", b"_"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

        #[test]
        fn whatever_may_be_read_as_a_name_is_alike(
            known in "[a-zA-Zıſé_]{1,5}", before in "[ \u{200b}\u{0}]{0,2}", after in "(\\[.{0,3}|\u{0}.|[. \u{200b}]){0,2}", upper in any::<bool>(),
        ) {
            let name = format!("{before}{}{after}", if upper { known.to_uppercase() } else { known.clone() });
            if may_be_read_as(name.as_bytes(), known.as_bytes()) && key(known.as_bytes()).is_some() {
                prop_assert!(is_alike(name.as_bytes(), known.as_bytes()), "{:?} {:?}", name, known);
            }
        }
    }
}
