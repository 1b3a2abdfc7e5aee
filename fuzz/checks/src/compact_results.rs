//! Whatever a tool returns: the pieces follow one another to the end, fit, and are JSON where the result is.
//!
//! The first three bytes choose the rules.

use doorward_compact::results::{Form, Offset, ResultRules, Unit, cut, parse_table};

const MOST: usize = 4096;

pub fn check(data: &[u8]) {
    let [bytes, items, choice, text @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    if text.len() > MOST {
        return;
    }
    let fields = ["[].id", "items[].id", "a.b", "[].a.b"];
    let rules = ResultRules {
        bytes: (*bytes > 0).then_some(usize::from(*bytes)),
        items: (*items > 0).then_some(usize::from(*items)),
        fields: fields
            .iter()
            .enumerate()
            .filter(|(at, _)| choice & (8 << at) != 0 || choice & 3 == 3)
            .filter_map(|(_, path)| path.parse().ok())
            .collect(),
        tables: choice & 4 != 0,
    };
    let (mut from, mut before, mut texts) = (Offset::default(), 0, String::new());
    for _ in 0..=MOST * 2 {
        let piece = cut(text, &rules, from);
        assert!(piece.shown.len() <= rules.bytes.map_or(usize::MAX, |bytes| bytes.max(64)));
        assert_eq!((piece.range.start, piece.mark().is_some()), (before, piece.rest.is_some()));
        match piece.form {
            Form::Text => texts.push_str(&piece.shown),
            Form::Json => drop(json(&piece.shown)),
            Form::Piece => assert!(json(&piece.shown).is_string() && piece.unit == Unit::Bytes),
            Form::Table => {
                let read = parse_table(&piece.shown).map(|text| json(&text));
                assert!(read.is_some_and(|read| read.is_array()));
            }
        }
        before = piece.range.end;
        let Some(rest) = piece.rest else {
            assert_eq!(before, piece.all);
            assert!(piece.form != Form::Text || texts == text);
            return;
        };
        assert_ne!(rest.from, from);
        if before == piece.all {
            before = 0;
        }
        from = rest.from;
    }
    panic!("there is no end of pieces");
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}"))
}
