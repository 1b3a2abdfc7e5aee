//! CSV (RFC 4180) that a spreadsheet does not execute.

use doorward_mcp::display::harmless_line;

/// A table with its heading.
pub fn table<const N: usize>(head: &[&str; N], rows: &[[String; N]]) -> String {
    let mut text = format!("{}\n", head.join(","));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| quoted(cell)).collect();
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    text
}

/// A cell of CSV (RFC 4180), in one harmless line. What a spreadsheet would take for a formula is no formula.
pub fn quoted(cell: &str) -> String {
    let is_number = cell.parse::<f64>().is_ok();
    let begins = cell.trim_start().chars().next();
    let cell = harmless_line(cell);
    let cell = match begins {
        // Those of full width are taken for the others.
        Some('=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠') if !is_number => {
            format!("'{cell}")
        }
        _ => cell.into_owned(),
    };
    if cell.contains([',', '"']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_a_cell_whatever_is_in_it() {
        for (cell, written) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "'=1+1"),
            ("-5", "-5"),
            ("@cmd", "'@cmd"),
            (" =cmd", "' =cmd"),
            ("\n=cmd", "'\\n=cmd"),
            ("\u{a0}+cmd", "'\u{a0}+cmd"),
            ("＝cmd", "'＝cmd"),
            ("＠x,y", "\"'＠x,y\""),
            ("a\r\nb", "a\\u{d}\\nb"),
            ("x\u{202e}\u{9b}\u{7f}\u{e0041}", "x\\u{202e}\\u{9b}\\u{7f}\\u{e0041}"),
        ] {
            assert_eq!(quoted(cell), written);
        }
    }
}
