//! Messages of deserializers in words for people who write configuration files.

/// Values in messages are cut at this length, in characters.
const LONGEST: usize = 80;

/// What a message of serde means, with a guess at a misspelt key or value. Messages that are ours stay as they are.
pub fn explain(message: &str) -> String {
    // Where it is said apart from it.
    let message = match message.rsplit_once(" at line ") {
        Some((message, place)) if place.starts_with(|c: char| c.is_ascii_digit()) => message,
        _ => message,
    };
    if let Some(rest) = message.strip_prefix("unknown field `") {
        return unknown(rest, "there is no such key");
    }
    if let Some(rest) = message.strip_prefix("unknown variant `") {
        let found = rest.split('`').next().unwrap_or_default();
        return unknown(rest, &format!("'{}' is not possible here", shortened(found)));
    }
    if let Some(key) = quoted(message, "missing field `") {
        return format!("the key '{key}' is missing");
    }
    if let Some(key) = quoted(message, "duplicate field `") {
        return format!("the key '{key}' is there twice");
    }
    if message.starts_with("data did not match any variant of untagged enum") {
        return "has none of the forms that are possible here".into();
    }
    for prefix in ["invalid type: ", "invalid value: "] {
        if let Some((found, expected)) =
            message.strip_prefix(prefix).and_then(|rest| rest.rsplit_once(", expected "))
        {
            return mismatch(found, expected);
        }
    }
    if let Some((found, wanted)) =
        message.strip_prefix("invalid length ").and_then(|rest| rest.split_once(", expected "))
    {
        return format!("expected {}, found {found}", expected(wanted));
    }
    // As the type of URLs writes it: the reason, and the value in quotes.
    if let Some((reason, value)) = message.split_once(": \"")
        && (URL.contains(&reason) || reason == "relative URL without a base")
    {
        return mismatch(&format!("string \"{value}"), reason);
    }
    match message {
        "invalid socket address syntax" => format!("expected {ADDRESS}"),
        "number out of range" => "the number is out of range".into(),
        _ => message.to_owned(),
    }
}

const ADDRESS: &str = "an address and a port, such as 127.0.0.1:7300";

/// The name between the quotes behind a prefix.
fn quoted<'a>(message: &'a str, prefix: &str) -> Option<&'a str> {
    message.strip_prefix(prefix)?.strip_suffix('`')
}

/// A name that is not known, and those that are.
fn unknown(rest: &str, what: &str) -> String {
    let Some((name, expected)) = rest.split_once("`, expected ") else {
        return format!("{what}; no key is expected");
    };
    let known: Vec<&str> = match expected.contains('`') {
        true => expected.split('`').skip(1).step_by(2).collect(),
        // The parser of YAML writes them without quotes.
        false => expected
            .trim_start_matches("one of")
            .trim_start_matches(':')
            .split(", ")
            .flat_map(|names| names.split(" or "))
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect(),
    };
    let closest = known.iter().min_by_key(|known| distance(name, known));
    match closest.filter(|known| distance(name, known) <= 2 && distance(name, known) < known.len())
    {
        Some(known) => format!("{what}; did you mean '{known}'?"),
        None if known.len() == 1 => format!("{what}; expected {}", known[0]),
        None => format!("{what}; expected one of {}", known.join(", ")),
    }
}

/// A value of the wrong type, or one that is not valid.
fn mismatch(value: &str, wanted: &str) -> String {
    let value = found(value);
    let is_plain = value.starts_with("the number") || value.starts_with("the value");
    match wanted {
        "a string" | "a borrowed string" if is_plain => {
            format!("expected a text, found {value}; write it in quotes")
        }
        "relative URL without a base" => {
            format!("expected a whole URL, such as https://example.com/mcp, found {value}")
        }
        _ if URL.contains(&wanted) => format!("{value} is not a URL: {wanted}"),
        _ => format!("expected {}, found {value}", expected(wanted)),
    }
}

/// What the parser of URLs says (`url::ParseError`).
const URL: [&str; 9] = [
    "empty host",
    "international domain name is invalid",
    "invalid domain character",
    "invalid international domain name",
    "invalid port number",
    "invalid IPv4 address",
    "invalid IPv6 address",
    "relative URL with a cannot-be-a-base base",
    "URLs more than 4 GB are not supported",
];

/// What was found, as `serde::de::Unexpected` writes it.
fn found(value: &str) -> String {
    for (kind, name) in [
        ("integer `", "the number"),
        ("floating point `", "the number"),
        ("boolean `", "the value"),
    ] {
        if let Some(value) = quoted(value, kind) {
            return format!("{name} {value}");
        }
    }
    if let Some(text) = value.strip_prefix("string \"").and_then(|text| text.strip_suffix('"')) {
        return match text {
            "" => "an empty text".into(),
            text => format!("'{}'", shortened(text)),
        };
    }
    match value {
        "sequence" => "a list".into(),
        "map" | "struct" => "keys with values".into(),
        "null" | "unit value" | "Option value" => "no value".into(),
        other => shortened(other),
    }
}

/// What was expected, as visitors of serde write it.
fn expected(wanted: &str) -> String {
    let up_to = |most: u64| format!("a whole number from 0 to {most}");
    let items = |count: &str| format!("a list of {count}");
    match wanted {
        "u8" => up_to(u8::MAX.into()),
        "u16" => up_to(u16::MAX.into()),
        "u32" => up_to(u32::MAX.into()),
        "u64" | "u128" | "usize" => "a whole number that is not negative".into(),
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a boolean" | "bool" => "true or false".into(),
        "a string" | "a borrowed string" | "string" | "str" => "a text".into(),
        "path string" => "a path".into(),
        "a string representing an URL" => "a URL".into(),
        "socket address" => ADDRESS.into(),
        "IP address" | "IPv4 address" | "IPv6 address" => "an IP address".into(),
        "a sequence" | "sequence" => "a list".into(),
        "a map" | "map" => "keys with values".into(),
        "unit" | "null" => "no value".into(),
        "option" => "a value".into(),
        // An enum that is written as anything but a text.
        "map with a single key" => "one of the values of this key".into(),
        "string or map" => "a text, or keys with values".into(),
        "variant identifier" | "field identifier" => "a name".into(),
        other => {
            if let Some(rest) = other.strip_prefix("a nonzero ") {
                return format!("{} and not 0", expected(rest));
            }
            for prefix in ["an array of length ", "a tuple of size "] {
                if let Some(count) = other.strip_prefix(prefix) {
                    return items(count);
                }
            }
            if let Some(rest) = other.strip_prefix("struct ") {
                return match rest.split_once(" with ") {
                    Some((_, count)) => items(count.trim_end_matches(" elements")),
                    None => "keys with values".into(),
                };
            }
            match other.split(' ').next() {
                Some("tuple") => "a list".into(),
                Some("enum" | "internally" | "externally" | "adjacently") => {
                    "one of the values of this key".into()
                }
                _ => other.to_owned(),
            }
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// How many letters must be changed, added or left out to make one word of another.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use serde_json::json;

    #[test]
    fn a_misspelt_key_is_guessed() {
        let message = "unknown field `comand`, expected one of `url`, `command`, `args`";
        assert_eq!(explain(message), "there is no such key; did you mean 'command'?");
        let message = "unknown field `zzzzzz`, expected one of `url`, `args`";
        assert_eq!(explain(message), "there is no such key; expected one of url, args");
    }

    /// Uses the real deserializers of the settings, so that a change of their messages fails this test.
    #[test]
    fn settings_of_the_wrong_type_are_explained_without_words_of_the_language() {
        let server = |it| json!({ "servers": { "a": it } });
        for (settings, said) in [
            (json!(5), "expected keys with values, found the number 5"),
            (json!({ "servers": [] }), "expected keys with values, found a list"),
            (json!({ "servers": { "a": "x" } }), "expected keys with values, found 'x'"),
            (
                server(json!({ "url": "tickets" })),
                "expected a whole URL, such as https://example.com/mcp, found 'tickets'",
            ),
            (server(json!({ "url": 5 })), "expected a URL, found the number 5"),
            (
                server(json!({ "url": "http://a:x/" })),
                "'http://a:x/' is not a URL: invalid port number",
            ),
            (server(json!({ "args": "x" })), "expected a list, found 'x'"),
            (
                server(json!({ "args": [5] })),
                "expected a text, found the number 5; write it in quotes",
            ),
            (
                server(json!({ "env": { "A": true } })),
                "expected a text, found the value true; write it in quotes",
            ),
            (server(json!({ "disabled": "no" })), "expected true or false, found 'no'"),
            (server(json!({ "ulr": "x" })), "there is no such key; did you mean 'url'?"),
            (json!({ "listen": "7300" }), "expected an address and a port, such as 127.0.0.1:7300"),
            (
                json!({ "listen": 7300 }),
                "expected an address and a port, such as 127.0.0.1:7300, found the number 7300",
            ),
            (
                json!({ "email": { "server": "a", "from": "b", "port": 70000 } }),
                "expected a whole number from 0 to 65535, found the number 70000",
            ),
            (json!({ "email": { "server": "a" } }), "the key 'from' is missing"),
            (
                json!({ "conversations": { "calls": -1 } }),
                "expected a whole number from 0 to 4294967295, found the number -1",
            ),
            (
                json!({ "conversations": { "calls": 1.5 } }),
                "expected a whole number from 0 to 4294967295, found the number 1.5",
            ),
            (
                json!({ "inspection": { "results": { "suspicious": "reprot" } } }),
                "'reprot' is not possible here; did you mean 'report'?",
            ),
            (
                json!({ "inspection": { "results": { "suspicious": "x" } } }),
                "'x' is not possible here; expected one of ignore, report, hold, refuse",
            ),
            (json!({ "inspection": { "rules": [5] } }), "expected a path, found the number 5"),
            (
                json!({ "inspection": { "results": null } }),
                "expected keys with values, found no value",
            ),
            (
                json!({ "flow": { "sinks": {} } }),
                "expected one of the values of this key, found keys with values",
            ),
            (json!({ "flow": { "labels": "x" } }), "expected a list, found 'x'"),
        ] {
            let error = serde_json::from_value::<Settings>(settings.clone()).unwrap_err();
            let explained = explain(&error.to_string());
            assert_eq!(explained, said, "{settings}: {error}");
        }
    }

    #[test]
    fn other_messages_are_explained_too_or_stay_as_they_are() {
        for (message, said) in [
            ("duplicate field `url`", "the key 'url' is there twice"),
            (
                "data did not match any variant of untagged enum X",
                "has none of the forms that are possible here",
            ),
            ("invalid length 3, expected a tuple of size 2", "expected a list of 2, found 3"),
            (
                "invalid type: map, expected struct Pair with 2 elements",
                "expected a list of 2, found keys with values",
            ),
            (
                "invalid value: integer `0`, expected a nonzero u8",
                "expected a whole number from 0 to 255 and not 0, found the number 0",
            ),
            (
                "invalid type: string \"a, expected b\", expected u8 at line 3 column 5",
                "expected a whole number from 0 to 255, found 'a, expected b'",
            ),
            ("must be at least 1KiB", "must be at least 1KiB"),
        ] {
            assert_eq!(explain(message), said, "{message}");
        }
        let long = explain(&format!("invalid type: string \"{}\", expected u8", "x".repeat(1_000)));
        assert!(long.chars().count() < 200 && long.ends_with("…'"), "{long}");
    }
}
