//! Parameter names as servers compare them: `limit`, `LIMIT `, `limit[]` and `limit.x` are the same to some
//! servers, and `api-key`, `api_key` and `api.key` to others.

use doorward_mcp::json::may_be_read_as;

/// A parameter that some frameworks use as the method of the request instead of its actual one.
const METHOD: &str = "_method";

/// Whether some server may treat a parameter of this name as the known one.
pub fn is_same_slot(name: &str, known: &str) -> bool {
    let known = joined(known);
    let whole = name.split('\0').find(|part| !part.is_empty()).unwrap_or_default();
    let before = whole.split(['[', '.']).next().unwrap_or_default();
    [whole, before].iter().any(|form| may_be_read_as(joined(form).as_bytes(), known.as_bytes()))
}

/// Whether it may override the method of the request.
pub(crate) fn is_method(name: &str) -> bool {
    is_same_slot(name, METHOD)
}

/// Normalizes separators: PHP replaces blanks, dots and brackets by `_`, CGI replaces `-`.
fn joined(name: &str) -> String {
    name.trim().replace(['-', '.', ' ', '['], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_server_may_confuse_are_the_same() {
        for name in [
            "api_key",
            "API_KEY",
            "api-key",
            "api.key",
            "api key",
            "api[key",
            "api_key[]",
            "api_key[0]",
            "api_key ",
            " api_key",
            "api_key\0x",
            "api_\u{212a}ey",
            "api_key.x",
            "\tapi_key",
            "X",
        ] {
            assert_eq!(is_same_slot(name, "api_key"), name != "X", "{name:?}");
        }
        assert!(is_same_slot("X_API_Key", "x-api-key"));
        assert!(!is_same_slot("apikey", "api_key") && !is_same_slot("key", "api_key"));
        assert!(is_method("_method") && is_method("_METHOD[]"));
    }
}
