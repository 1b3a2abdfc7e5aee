//! Output on the terminal: colours if they are wanted, and text of servers escaped so that it cannot control the
//! terminal.

use std::borrow::Cow;
use std::io::{IsTerminal, Write, stderr, stdout};

use doorward_inspect::written::{self, Keep};
pub use doorward_mcp::display::{harmless, harmless_json};
use doorward_mcp::display::{is_unseen, quoted};
use serde::Serialize;

use crate::config::Color;

/// Whether colours are wanted at all (https://no-color.org).
pub fn wants_color() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether standard output supports colours.
pub fn color() -> Color {
    if stdout().is_terminal() && wants_color() { Color::Yes } else { Color::No }
}

pub fn error_color() -> Color {
    if stderr().is_terminal() && wants_color() { Color::Yes } else { Color::No }
}

/// Paints a text by an ANSI code such as `1` (bold) or `32` (green).
pub fn paint<'a>(text: &'a str, code: &str, color: Color) -> Cow<'a, str> {
    match color {
        Color::Yes => format!("\x1b[{code}m{text}\x1b[0m").into(),
        Color::No => text.into(),
    }
}

/// Prints an error on standard error, without secrets.
pub fn complain(message: &str) {
    let message = written::text(message, Keep::Personal);
    eprintln!("{}: {}", paint("error", "1;31", error_color()), harmless(&message));
}

/// Like [`harmless`], in one line.
pub fn one_line(text: &str) -> String {
    harmless(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A name in a form that [`read_name`] accepts: unchanged, or as a JSON string if it has invisible
/// or misleading characters.
pub fn name(name: &str) -> Cow<'_, str> {
    let is_odd = name.is_empty()
        || name.starts_with(['"', '-', ' '])
        || name.ends_with(' ')
        || name.contains("  ")
        || name.contains(is_unseen);
    if is_odd { quoted(name).into() } else { name.into() }
}

/// A name as entered, or as printed.
pub fn read_name(text: &str) -> String {
    let printed = serde_json::from_str(text).ok().filter(|read: &String| name(read) == text);
    printed.unwrap_or_else(|| text.to_owned())
}

/// Writes a value as JSON, for programs.
pub fn json(out: &mut impl Write, value: &impl Serialize) -> std::io::Result<()> {
    // Converted to a value first, which sorts its members.
    let text = format!("{:#}", serde_json::to_value(value).unwrap_or_default());
    writeln!(out, "{}", harmless_json(&text))
}

/// Writes rows in columns, the first as a heading.
pub fn table<const N: usize>(out: &mut impl Write, rows: &[[String; N]]) -> std::io::Result<()> {
    for at in 0..rows.len() {
        writeln!(out, "{}", row(rows, at))?;
    }
    Ok(())
}

/// One row of a table; states are coloured.
pub fn row<const N: usize>(rows: &[[String; N]], at: usize) -> String {
    let mut line = String::new();
    for (column, cell) in rows[at].iter().enumerate() {
        let width = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let padded = format!("{cell:width$}");
        let code = match cell.as_str() {
            _ if at == 0 && rows.len() > 1 => "1",
            "up" | "good" => "32",
            "down" | "revoked" | "expired" => "31",
            _ => "0",
        };
        line.push_str(&paint(&padded, code, color()));
        line.push_str("  ");
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_printed() {
        for (whole, printed) in [
            ("alice", "alice"),
            ("a b", "a b"),
            ("q'\"uo\\te", "q'\"uo\\te"),
            ("ünï 日本", "ünï 日本"),
            ("a  b", r#""a  b""#),
            (" a", r#"" a""#),
            ("", r#""""#),
            ("-rm", r#""-rm""#),
            ("n\nl", r#""n\nl""#),
            ("x\u{202e}y\u{e0041}\u{a0}", r#""x\u202ey\udb40\udc41\u00a0""#),
            ("\"a  b\"", r#""\"a  b\"""#),
        ] {
            assert_eq!(name(whole), printed);
            assert_eq!(read_name(printed), whole);
        }
        // Strings that are never printed for a name are taken literally.
        for typed in [r#""alice""#, r#""a b"#, "-rm", "x\\u202ey", "\"\\u0061  b\""] {
            assert_eq!(read_name(typed), typed);
        }
    }
}
