//! Tokens with a prefix that says what they are, and a random rest: `acme_live_…`, `tok_…`.

use super::assigned::LONGEST;
use super::found::entropy;

/// Shortest random part behind the prefix of a secret, in bytes.
const LEAST_RANDOM: usize = 24;

/// Words of prefixes of secrets, and of ids and hashes.
const SECRET: [&[u8]; 18] = [
    b"key", b"tok", b"token", b"pat", b"secret", b"api", b"sk", b"live", b"prod", b"auth", b"cred",
    b"pw", b"apikey", b"rk", b"access", b"refresh", b"bot", b"priv",
];
const OTHERS: [&[u8]; 44] = [
    b"msg", b"call", b"req", b"resp", b"run", b"thread", b"asst", b"file", b"toolu", b"evt",
    b"cus", b"sub", b"price", b"acct", b"txn", b"seti", b"batch", b"step", b"id", b"uuid", b"user",
    b"usr", b"org", b"proj", b"job", b"task", b"img", b"sess", b"conv", b"gen", b"trace", b"span",
    b"etag", b"hash", b"commit", b"build", b"dpl", b"cursor", b"page", b"chunk", b"sha", b"pub",
    b"pk", b"test",
];

/// A token with a prefix that says what it is, and a random rest: `acme_live_…`, `tok_…`. Returns its end. Prefixes of ids
/// and hashes are no findings.
pub(super) fn end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut parts = [&[][..]; 4];
    let (mut from, mut count) = (at, 0);
    while count < parts.len() {
        let part = &bytes[from..];
        let length = part
            .iter()
            .take(33)
            .take_while(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            .count();
        let name = &part[..length];
        let ends = matches!(part.get(length), Some(b'_' | b'-'));
        if !ends || !(2..=12).contains(&length) || !name[0].is_ascii_alphabetic() {
            break;
        }
        parts[count] = &name[..name.iter().take_while(|byte| byte.is_ascii_alphabetic()).count()];
        count += 1;
        from += length + 1;
    }
    // Most words with hyphens or underscores end here: what is behind them is too short.
    let rest = bytes.get(from..from + LEAST_RANDOM)?;
    if count == 0 || !rest.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let parts = &parts[..count];
    if parts.iter().any(|letters| OTHERS.contains(letters)) {
        return None;
    }
    let is_secret = parts.iter().any(|letters| {
        let ends = |word: &&[u8]| *letters == *word || letters.len() > 3 && letters.ends_with(word);
        SECRET.iter().any(ends)
    });
    let body =
        bytes[from..].iter().take(LONGEST).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let rest = &bytes[from..from + body];
    let goes_on = bytes.get(from + body).is_some_and(|byte| {
        matches!(byte, b'_' | b'-' | b'=' | b'.' | b'/')
            && bytes.get(from + body + 1).is_some_and(u8::is_ascii_alphanumeric)
    });
    let (least, bits) = if is_secret { (LEAST_RANDOM, 3.4) } else { (30, 4.0) };
    let digits = rest.iter().filter(|byte| byte.is_ascii_digit()).count();
    let is_random = body >= least && digits > 1 && digits < body && entropy(rest) >= bits;
    (is_random && !goes_on).then_some(from + body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As [`end`], which looks at the random part first.
    fn end_by_names(bytes: &[u8], at: usize) -> Option<usize> {
        let mut from = at;
        let (mut is_secret, mut is_other) = (false, false);
        for _ in 0..4 {
            let part = &bytes[from..];
            let length = part
                .iter()
                .take(33)
                .take_while(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                .count();
            let name = &part[..length];
            let ends = matches!(part.get(length), Some(b'_' | b'-'));
            if !ends || !(2..=12).contains(&length) || !name[0].is_ascii_alphabetic() {
                break;
            }
            let letters =
                &name[..name.iter().take_while(|byte| byte.is_ascii_alphabetic()).count()];
            is_secret |= SECRET
                .iter()
                .any(|word| letters == *word || letters.len() > 3 && letters.ends_with(word));
            is_other |= OTHERS.contains(&letters);
            from += length + 1;
        }
        if from == at || is_other {
            return None;
        }
        let body = bytes[from..]
            .iter()
            .take(LONGEST)
            .take_while(|byte| byte.is_ascii_alphanumeric())
            .count();
        let rest = &bytes[from..from + body];
        let goes_on = bytes.get(from + body).is_some_and(|byte| {
            matches!(byte, b'_' | b'-' | b'=' | b'.' | b'/')
                && bytes.get(from + body + 1).is_some_and(u8::is_ascii_alphanumeric)
        });
        let (least, bits) = if is_secret { (24, 3.4) } else { (30, 4.0) };
        let digits = rest.iter().filter(|byte| byte.is_ascii_digit()).count();
        let is_random = body >= least && digits > 1 && digits < body && entropy(rest) >= bits;
        (is_random && !goes_on).then_some(from + body)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn prefixes_are_those_that_their_names_say(
            names in proptest::collection::vec("(key|tok|msg|ab|x|mykey2|usr|[a-z0-9]{1,13})[_-]", 0..6),
            rest in "[a-zA-Z0-9]{0,20}[a-zA-Z0-9]{0,20}([_=./-][a-z ]?)?",
        ) {
            let text = names.concat() + &rest;
            prop_assert_eq!(end(text.as_bytes(), 0), end_by_names(text.as_bytes(), 0), "{}", text);
        }
    }
}
