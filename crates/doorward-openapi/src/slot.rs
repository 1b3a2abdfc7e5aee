//! Names of places in a request, as servers compare them: `limit`, `LIMIT `, `limit[]` and `limit.x` are the same to
//! some servers, and `api-key`, `api_key` and `api.key` to others.

use doorward_mcp::json::may_be_read_as;

/// What servers take for the method that is meant, whatever the request's own is.
const METHOD: &str = "_method";

/// Whether some server may put what stands under one name into the place of another.
pub fn is_same_slot(name: &str, known: &str) -> bool {
    let known = joined(known);
    let whole = name.split('\0').find(|part| !part.is_empty()).unwrap_or_default();
    let before = whole.split(['[', '.']).next().unwrap_or_default();
    [whole, before].iter().any(|form| may_be_read_as(joined(form).as_bytes(), known.as_bytes()))
}

/// Whether it means another method than the request has.
pub(crate) fn is_method(name: &str) -> bool {
    is_same_slot(name, METHOD)
}

/// With one sign for those that join the words of a name: PHP takes blanks, dots and brackets for `_`, CGI takes `-` for it.
fn joined(name: &str) -> String {
    name.trim().replace(['-', '.', ' ', '['], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_may_take_for_another_is_found() {
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
