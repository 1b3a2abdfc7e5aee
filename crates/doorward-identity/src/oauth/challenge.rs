//! Authentication challenges in a server's response (RFC 6750 section 3, RFC 9728 section 5.1).

use std::collections::BTreeMap;

/// The parameters of a `Bearer` challenge (RFC 9110 section 11.6.1).
pub fn parse_challenge(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Some(at) = text.to_ascii_lowercase().find("bearer") else { return found };
    let mut rest = text.get(at + "bearer".len()..).unwrap_or_default();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_start_matches([' ', ',', '\t']).trim().to_ascii_lowercase();
        // Another scheme begins.
        if name.contains(' ') {
            break;
        }
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            None => {
                let end = after.find([',', ' ']).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
            Some(quoted) => {
                let (mut value, mut escaped, mut end) = (String::new(), false, quoted.len());
                for (place, letter) in quoted.char_indices() {
                    match letter {
                        _ if escaped => {
                            value.push(letter);
                            escaped = false;
                        }
                        '\\' => escaped = true,
                        '"' => {
                            end = place + 1;
                            break;
                        }
                        _ => value.push(letter),
                    }
                }
                (value, quoted.get(end..).unwrap_or_default())
            }
        };
        found.entry(name).or_insert(value);
        rest = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_parsed() {
        let read = parse_challenge(
            r#"Bearer error="insufficient_scope", scope="a b", resource_metadata="https://x/y", x=1"#,
        );
        assert_eq!(read["scope"], "a b");
        assert_eq!(read["resource_metadata"], "https://x/y");
        assert_eq!((&*read["error"], &*read["x"]), ("insufficient_scope", "1"));
        assert_eq!(parse_challenge(r#"Basic realm="x", Bearer scope="q\"r""#)["scope"], "q\"r");
        assert!(parse_challenge("Basic realm=\"x\"").is_empty());
        for rubbish in ["Bearer", "Bearer =", "Bearer scope=\"", "bearer,,,=\"\\", "Bearer ä=ö"] {
            parse_challenge(rubbish);
        }
    }
}
