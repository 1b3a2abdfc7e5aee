//! Sanitizes external text for people: it cannot move the cursor, hide or reorder adjacent text, or imitate a
//! line of the gateway (attack T15). The same functions are used for all outputs: terminals, logs, metrics.

use std::borrow::Cow;

/// Escapes characters that could control a terminal, or hide or reorder text. Tabs and line breaks are retained.
pub fn harmless(text: &str) -> Cow<'_, str> {
    escaped(text, is_harmful)
}

/// The same in one line, for logs and labels: tabs and line breaks are escaped, too.
pub fn harmless_line(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_harmful(c) || matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, is_bad: impl Fn(char) -> bool + Copy) -> Cow<'_, str> {
    if !text.contains(is_bad) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' if is_bad(c) => out.push_str("\\n"),
            '\t' if is_bad(c) => out.push_str("\\t"),
            c if is_bad(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out.into()
}

/// Escapes harmful characters in a JSON text. They occur within strings only and become JSON escapes, so the
/// value is the same.
pub fn harmless_json(text: &str) -> Cow<'_, str> {
    escaped_json(text, is_harmful)
}

/// A text as a JSON string with only visible characters.
pub fn quoted(text: &str) -> String {
    escaped_json(&serde_json::Value::from(text).to_string(), is_unseen).into_owned()
}

fn escaped_json(text: &str, is_bad: impl Fn(char) -> bool + Copy) -> Cow<'_, str> {
    if !text.contains(is_bad) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_bad(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out.into()
}

/// Whether a character is harmful, or white space other than a blank.
pub fn is_unseen(c: char) -> bool {
    is_harmful(c) || (c.is_whitespace() && c != ' ')
}

/// Whether a character could control a terminal, or hide or reorder text. Tabs and line breaks are not harmful.
pub fn is_harmful(c: char) -> bool {
    matches!(c,
        '\0'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}' // controls but tab and line feed
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{fe00}'..='\u{fe0e}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displayed_text_cannot_control_the_terminal() {
        for (text, displayed) in [
            ("plain\ttext\n", "plain\ttext\n"),
            ("a\x1b[2Jb", "a\\u{1b}[2Jb"),
            ("x\u{202e}y\u{e0041}z\u{200b}", "x\\u{202e}y\\u{e0041}z\\u{200b}"),
            ("\r\u{9b}31m", "\\u{d}\\u{9b}31m"),
            ("naïve 日本 ❤️", "naïve 日本 ❤️"),
        ] {
            assert_eq!(harmless(text), displayed);
        }
        assert_eq!(harmless_line("a\nb\tc\x1b"), "a\\nb\\tc\\u{1b}");
        let json = serde_json::json!({ "a": "x\u{202e}\u{e0041}\x1b", "b": 1 });
        let displayed = harmless_json(&format!("{json:#}")).into_owned();
        assert!(!displayed.contains(is_harmful), "{displayed}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&displayed).unwrap(), json);
    }
}
