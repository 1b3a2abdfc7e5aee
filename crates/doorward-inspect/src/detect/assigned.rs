//! Secrets by the name that they are assigned to: `password = "…"`, `{"api_key": "…"}`, `Authorization: Bearer …`.
//!
//! Few such values have a form of their own, so what is assigned has to look random (or, for passwords, not like a word of
//! code), and placeholders are left out.

use std::ops::Range;
use std::sync::LazyLock;

use super::found::{ASSIGNED, Context, Match, entropy, is_word_byte};
use super::literals::Literals;

/// Words of which a name of a secret contains one.
pub(super) const KEYWORDS: [&str; 36] = [
    "_key",
    "-key",
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "api_key",
    "apikey",
    "api-key",
    "api key",
    "access_key",
    "access-key",
    "accesskey",
    "auth_key",
    "private_key",
    "private-key",
    "privatekey",
    "encryption_key",
    "signing_key",
    "master_key",
    "account_key",
    "accountkey",
    "shared_key",
    "sharedaccesskey",
    "token",
    "bearer",
    "credential",
    "authorization",
    "client_key",
    "service_key",
    "license_key",
    "webhook_key",
    "storage_key",
    "sas_key",
];

/// Whether a text has a keyword.
pub(crate) fn has_keyword(text: &str) -> bool {
    static ALL: LazyLock<Literals<()>> =
        LazyLock::new(|| Literals::new(KEYWORDS.map(|word| (word.to_owned(), false, ()))));
    ALL.is_in(text.as_bytes())
}

/// Names of which a value may be short and need not be random.
const PASSWORDS: [&str; 5] = ["password", "passwd", "passphrase", "passcode", "pwd"];

/// Names that contain a keyword, but do not name a secret.
const NAMES_OF_OTHERS: [&str; 37] = [
    "primary_key",
    "foreign_key",
    "public_key",
    "public-key",
    "partition_key",
    "sort_key",
    "cache_key",
    "cache-key",
    "idempotency",
    "object_key",
    "s3_key",
    "max_tokens",
    "maxtokens",
    "token_count",
    "tokencount",
    "tokens",
    "tokenizer",
    "token_type",
    "tokentype",
    "next_token",
    "nexttoken",
    "page_token",
    "pagetoken",
    "continuation",
    "cursor",
    "secret_name",
    "secretname",
    "secret_id",
    "secretarn",
    "secret_arn",
    "password_policy",
    "passwordpolicy",
    "token_url",
    "tokenurl",
    "token_endpoint",
    "sync_token",
    "progresstoken",
];

/// Longest secret, in bytes.
pub(super) const LONGEST: usize = 512;

/// A secret behind a keyword at a place.
pub(super) fn after(text: &str, keyword: Range<usize>, found: &mut Vec<Match>) {
    let bytes = text.as_bytes();
    // The name goes on: `secret_access_key`, `passwordHash`.
    let name_end = keyword.end
        + bytes[keyword.end..]
            .iter()
            .take(32)
            .take_while(|byte| is_word_byte(**byte) || **byte == b'-')
            .count();
    let name_start = keyword.start
        - bytes[..keyword.start]
            .iter()
            .rev()
            .take(32)
            .take_while(|byte| is_word_byte(**byte) || **byte == b'-')
            .count();
    let name = &bytes[name_start..name_end];
    // Names of a key end so, and are not that alone.
    let is_key = matches!(bytes[keyword.start], b'_' | b'-');
    if is_key && (name_end != keyword.end || keyword.start == name_start) {
        return;
    }
    let is_bearer = bytes[keyword.clone()].eq_ignore_ascii_case(b"bearer");
    let Some((from, is_quoted)) = value_start(bytes, name_end, is_bearer) else { return };
    let Some(range) = value(bytes, from, is_quoted) else { return };
    // The name last: it costs most, and few words of a text have a value.
    if is_secret(&bytes[range.clone()], name, is_quoted)
        && !is_other(name)
        && text.is_char_boundary(range.start)
        && text.is_char_boundary(range.end)
    {
        found.push(Match { detector: ASSIGNED, range });
    }
}

/// The value of a member whose name names a secret.
pub(super) fn member(text: &str, context: Context<'_>, found: &mut Vec<Match>) {
    let Some(member) = context.member else { return };
    let name = member.as_bytes();
    // No secret is shorter than six bytes.
    if !(6..=LONGEST).contains(&text.len()) || !names_secret(name) || is_other(name) {
        return;
    }
    let value = text.trim();
    if !value.contains(char::is_whitespace) && is_secret(value.as_bytes(), name, true) {
        let from = text.len() - text.trim_start().len();
        found.push(Match { detector: ASSIGNED, range: from..from + value.len() });
    }
}

fn contains(name: &[u8], word: &str) -> bool {
    name.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

/// What every keyword contains one of.
const STEMS: [&str; 10] = [
    "key",
    "passw",
    "passp",
    "passc",
    "pwd",
    "secret",
    "token",
    "bearer",
    "credential",
    "authorization",
];

/// Whether a name has a stem: most have none, and cost no more than this.
fn has_stem(name: &[u8]) -> bool {
    (0..name.len()).any(|at| {
        matches!(name[at] | 0x20, b'k' | b'p' | b's' | b't' | b'b' | b'c' | b'a')
            && STEMS.iter().any(|stem| {
                let part = name.get(at..at + stem.len());
                part.is_some_and(|part| part.eq_ignore_ascii_case(stem.as_bytes()))
            })
    })
}

fn names_secret(name: &[u8]) -> bool {
    name.len() <= 64
        && has_stem(name)
        && KEYWORDS.iter().any(|word| match word.starts_with(['_', '-']) {
            true => name.len() > word.len() && name.to_ascii_lowercase().ends_with(word.as_bytes()),
            false => contains(name, word),
        })
}

fn is_other(name: &[u8]) -> bool {
    NAMES_OF_OTHERS.iter().any(|word| contains(name, word))
}

/// Where the value behind a name begins, and whether it is in quotes.
fn value_start(bytes: &[u8], name_end: usize, is_bearer: bool) -> Option<(usize, bool)> {
    let mut at = name_end;
    let skip = |at: &mut usize, set: &[u8], most: usize| {
        let count = bytes[*at..].iter().take(most).take_while(|byte| set.contains(byte)).count();
        *at += count;
        count
    };
    // The end of a quoted name: `"password": "…"`, `['password'] = `, `\"password\"`.
    skip(&mut at, b"\\\"'`]", 4);
    let blanks = skip(&mut at, b" \t", 8);
    let rest = &bytes[at..bytes.len().min(at + 3)];
    const SIGNS: [&[u8]; 7] = [b":=", b"=>", b"==", b"=", b":", b"->", b"||"];
    let assigns = SIGNS.iter().find(|sign| rest.starts_with(sign));
    match assigns {
        Some(sign) => at += sign.len(),
        None if rest.starts_with(b"is ") => at += 3,
        None if rest.starts_with(b"</") || rest.first() == Some(&b'>') => at += 1,
        None if is_bearer && blanks > 0 => {}
        None => return None,
    }
    skip(&mut at, b" \t", 8);
    // The scheme of an authorization.
    for scheme in [&b"bearer "[..], b"basic ", b"token ", b"apikey "] {
        if bytes[at..bytes.len().min(at + scheme.len())].eq_ignore_ascii_case(scheme) {
            at += scheme.len();
        }
    }
    let quotes = skip(&mut at, b"\\\"'`", 4);
    Some((at, quotes > 0))
}

/// The range of the value that begins at an offset.
fn value(bytes: &[u8], from: usize, is_quoted: bool) -> Option<Range<usize>> {
    let ends = |byte: &u8| match byte {
        b'"' | b'\'' | b'`' | b'\n' | b'\r' | b'\\' | b'<' => true,
        b' ' | b'\t' | b',' | b';' | b')' | b'}' | b']' | b'&' | b'>' | b'|' => {
            !is_quoted || matches!(byte, b' ' | b'\t' | b'|')
        }
        _ => false,
    };
    let length = bytes[from..].iter().take(LONGEST).take_while(|byte| !ends(byte)).count();
    let mut end = from + length;
    while end > from && !is_quoted && matches!(bytes[end - 1], b'.' | b':' | b'!' | b'?') {
        end -= 1;
    }
    (end > from).then_some(from..end)
}

/// Whether a value that is assigned to a name is a secret.
fn is_secret(value: &[u8], name: &[u8], is_quoted: bool) -> bool {
    if is_placeholder(value) {
        return false;
    }
    let (mut digits, mut lower, mut upper, mut signs) = (0, 0, 0, 0);
    for byte in value {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'a'..=b'z' => lower += 1,
            b'A'..=b'Z' => upper += 1,
            _ => signs += 1,
        }
    }
    let kinds = [digits, lower, upper, signs].iter().filter(|count| **count > 0).count();
    if PASSWORDS.iter().any(|word| contains(name, word)) && !contains(name, "hash") {
        // `password: String`, `password = getPassword()`; a password in quotes may be a word.
        return value.len() >= 6
            && (kinds >= 2 && (digits > 0 || signs > 0 && is_quoted) || kinds >= 3);
    }
    let length = value.len();
    // Names of other things: constants, paths, identifiers with few digits.
    let is_dense = digits * 24 >= length && digits + lower + upper + 6 >= length;
    let is_hex = value.iter().all(u8::is_ascii_hexdigit);
    length >= 12 && is_dense && kinds >= 2 && entropy(value) >= if is_hex { 2.6 } else { 3.1 }
}

/// Whether what has the form of a secret is that of a documentation: `AKIA…EXAMPLE`, `user:password@`.
pub(super) fn is_sample(value: &[u8]) -> bool {
    let is_url = value.last() == Some(&b'@');
    let end = value.len().saturating_sub(1);
    let password = value[..end]
        .iter()
        .rposition(|byte| *byte == b':')
        .map_or(&[][..], |at| &value[at + 1..end]);
    let is_word = [&b"password"[..], b"pass", b"passwd", b"pwd", b"secret", b"token"]
        .iter()
        .any(|word| password.eq_ignore_ascii_case(word));
    value.ends_with(b"EXAMPLE")
        || value.ends_with(b"EXAMPLEKEY")
        || is_url && (is_word || is_placeholder(password))
}

/// Whether a value stands for one: `your-api-key`, `${TOKEN}`, `os.environ["KEY"]`, `****`, what was masked before.
fn is_placeholder(value: &[u8]) -> bool {
    const WORDS: [&str; 24] = [
        "example",
        "your",
        "xxxx",
        "placeholder",
        "changeme",
        "change_me",
        "redacted",
        "dummy",
        "insert",
        "replace",
        "<",
        "${",
        "{{",
        "$(",
        "%(",
        "****",
        "....",
        "process.env",
        "os.environ",
        "getenv",
        "secrets.",
        "vault",
        "env.",
        "todo",
    ];
    let first = value.first().copied().unwrap_or(b'$');
    matches!(first, b'$' | b'<' | b'{' | b'%' | b'*' | b'(' | b'[' | b'@')
        || WORDS.iter().any(|word| contains(value, word))
        || value.iter().all(|byte| *byte == first)
        || value.contains(&b'(')
        || value.starts_with(b"http://")
        || value.starts_with(b"https://")
        || value.starts_with(b"/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_has_a_stem() {
        for word in KEYWORDS {
            assert!(has_stem(word.as_bytes()), "{word}");
            assert!(has_stem(format!("My{}2", word.to_ascii_uppercase()).as_bytes()), "{word}");
        }
        assert!(!has_stem(b"description") && !has_stem(b"id"));
    }
}
