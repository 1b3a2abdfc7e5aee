//! Names that some server may read as another.

use doorward_mcp::json::may_be_read_as;

/// Whether some server may read one name as the other: by case, white space and invisible characters
/// ([`may_be_read_as`]), or because it takes `owner_name`, `owner-name` and `ownerName` for the same.
pub(super) fn is_alike(one: &[u8], known: &str) -> bool {
    if one == known.as_bytes() || may_be_read_as(one, known.as_bytes()) {
        return true;
    }
    let (one, known) = (joined(one), joined(known.as_bytes()));
    !known.is_empty() && may_be_read_as(&one, &known)
}

/// Without what separates words.
fn joined(name: &[u8]) -> Vec<u8> {
    name.iter().copied().filter(|byte| !matches!(byte, b'_' | b'-' | b'.')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert!(is_alike(one.as_bytes(), "owner_name"), "{one}");
        }
        for one in ["owner", "name", "owner_names", "", "_", "proprietor"] {
            assert!(!is_alike(one.as_bytes(), "owner_name"), "{one}");
        }
        assert!(!is_alike(b"a", "_"));
    }
}
