#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn rules(bytes: Option<usize>, items: Option<usize>, fields: &[&str]) -> ResultRules {
    let fields = fields.iter().map(|path| path.parse().unwrap()).collect();
    ResultRules { bytes, items, fields, tables: false }
}

/// All pieces, from the start to the end.
fn pieces<'a>(text: &'a str, rules: &ResultRules) -> Vec<(Offset, Cut<'a>)> {
    let mut all = Vec::new();
    let mut from = Offset::default();
    loop {
        let piece = cut(text, rules, from);
        let next = piece.rest.map(|rest| rest.from);
        all.push((from, piece));
        match next {
            Some(next) => {
                assert_ne!(next, from, "{text}");
                from = next.to_string().parse().unwrap();
            }
            None => return all,
        }
    }
}

fn shown(text: &str, rules: &ResultRules) -> Vec<String> {
    pieces(text, rules).into_iter().map(|(_, piece)| piece.shown.into_owned()).collect()
}

/// One piece after the other.
fn joined(one: Json, other: Json) -> Json {
    match (one, other) {
        (Json::Object(mut one), Json::Object(other)) => {
            for (name, value) in other {
                let before = one.remove(&name);
                one.insert(name, before.map_or(value.clone(), |before| joined(before, value)));
            }
            Json::Object(one)
        }
        (Json::Array(one), Json::Array(other)) => one.into_iter().chain(other).collect(),
        (Json::String(one), Json::String(other)) => Json::String(one + &other),
        (one, other) => panic!("{one} and {other}"),
    }
}

/// The fields that were left out, back in their objects.
fn united(kept: Json, rest: Json) -> Json {
    match (kept, rest) {
        (Json::Object(mut kept), Json::Object(rest)) => {
            for (name, value) in rest {
                let before = kept.remove(&name);
                kept.insert(name, before.map_or(value.clone(), |before| united(before, value)));
            }
            Json::Object(kept)
        }
        (Json::Array(kept), Json::Array(rest)) => {
            kept.into_iter().zip(rest).map(|(one, other)| united(one, other)).collect()
        }
        (kept, Json::Null) => kept,
        (kept, rest) => panic!("{kept} and {rest}"),
    }
}

/// What all pieces are together.
fn whole_of(pieces: &[(Offset, Cut<'_>)]) -> Json {
    let part = |is_left_out: bool| {
        let own = pieces.iter().filter(|(from, _)| from.is_left_out == is_left_out);
        let mut is_text = false;
        let read = own.map(|(_, piece)| {
            is_text |= piece.form == Form::Piece;
            let json = match piece.form {
                Form::Table => parse_table(&piece.shown).unwrap(),
                _ => piece.shown.to_string(),
            };
            serde_json::from_str(&json).unwrap()
        });
        let whole = read.reduce(joined)?;
        Some(match whole {
            Json::String(text) if is_text => serde_json::from_str(&text).unwrap(),
            whole => whole,
        })
    };
    let kept = part(false).unwrap();
    match part(true) {
        Some(rest) => united(kept, rest),
        None => kept,
    }
}

#[test]
fn what_is_short_or_has_no_rule_is_unchanged() {
    let text = " { \"a\" : [ 1.0 , 2 ] } ";
    for rules in
        [rules(None, None, &[]), rules(Some(64), Some(2), &["a"]), rules(Some(5000), None, &["b"])]
    {
        let made = cut(text, &rules, Offset::default());
        if rules.fields.iter().any(|path| path.to_string() == "b") {
            assert_eq!(made.shown, "{}");
            assert_eq!(made.mark().unwrap(), "[Cut: 1 field is left out; 13 bytes follow.]");
            continue;
        }
        assert!(matches!(made.shown, Cow::Borrowed(_)));
        assert_eq!((made.shown.as_ref(), made.rest, made.mark()), (text, None, None));
    }
}

#[test]
fn arrays_are_cut_between_items_and_only_the_first_piece_has_what_is_around() {
    let text = r#"{"total":5,"page":{"items":[{"id":1},{"id":2},{"id":3},{"id":4},{"id":5}],"more":false}}"#;
    assert_eq!(
        shown(text, &rules(None, Some(2), &[])),
        [
            r#"{"total":5,"page":{"items":[{"id":1},{"id":2}],"more":false}}"#,
            r#"{"page":{"items":[{"id":3},{"id":4}]}}"#,
            r#"{"page":{"items":[{"id":5}]}}"#,
        ]
    );
    let first = cut(text, &rules(None, Some(2), &[]), Offset::default());
    assert_eq!(first.mark().unwrap(), "[Cut: items 1 to 2 of 5 are shown; 24 bytes follow.]");
    assert_eq!(first.rest.unwrap().items, 3);
    assert_eq!(
        shown(text, &rules(Some(72), None, &[])),
        [
            r#"{"total":5,"page":{"items":[{"id":1},{"id":2},{"id":3}],"more":false}}"#,
            r#"{"page":{"items":[{"id":4},{"id":5}]}}"#,
        ]
    );
}

#[test]
fn long_texts_within_json_are_cut_within_and_what_has_no_long_part_as_a_text() {
    let text = format!(r#"{{"body":"{}","url":"u"}}"#, "word ".repeat(40));
    let all = shown(&text, &rules(Some(100), None, &[]));
    assert!(
        all[0].starts_with(r#"{"body":"word word "#) && all[0].ends_with(r#","url":"u"}"#),
        "{all:?}"
    );
    assert!(all[1].starts_with(r#"{"body":"word"#) && all.len() == 3, "{all:?}");
    assert!(all[1..].iter().all(|piece| !piece.contains("url")), "{all:?}");
    let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(whole_of(&pieces(&text, &rules(Some(100), None, &[]))), whole);
    let text = json!({ "a": "x".repeat(50), "b": "y".repeat(50) }).to_string();
    let made = pieces(&text, &rules(Some(64), None, &[]));
    assert_eq!(made[0].1.form, Form::Piece);
    assert!(made[0].1.mark().unwrap().contains("longer JSON text"));
    let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(whole_of(&made), whole);
}

#[test]
fn plain_texts_are_cut_at_lines_and_words() {
    let text = format!("{}\n{}", "word ".repeat(11), "Zeile ".repeat(20));
    let all = shown(&text, &rules(Some(64), None, &[]));
    assert_eq!(all[0], format!("{}\n", "word ".repeat(11)));
    assert!(all[1].ends_with("Zeile "), "{all:?}");
    assert_eq!(all.concat(), text);
}

#[test]
fn chosen_fields_come_first_and_the_others_after_the_end() {
    let text =
        r#"{"items":[{"id":1,"user":{"name":"a","url":"u"},"body":"x"},7,{"id":2}],"total":2}"#;
    let rules = rules(None, Some(2), &["items[].id", "items[].user.name", "total"]);
    let all = pieces(text, &rules);
    let shown: Vec<&str> = all.iter().map(|(_, piece)| &*piece.shown).collect();
    assert_eq!(
        shown,
        [
            r#"{"items":[{"id":1,"user":{"name":"a"}},7],"total":2}"#,
            r#"{"items":[{"id":2}]}"#,
            r#"{"items":[{"user":{"url":"u"},"body":"x"},null]}"#,
            r#"{"items":[null]}"#,
        ]
    );
    assert_eq!(all[0].1.rest.unwrap().fields, 2);
    assert_eq!(all[1].0.to_string(), "2");
    assert_eq!(all[2].0.to_string(), "fields:0");
    assert_eq!(whole_of(&all), serde_json::from_str::<Json>(text).unwrap());
}

#[test]
fn tables_are_cut_between_rows() {
    let text =
        json!([{ "id": 1, "name": "a" }, { "id": 2, "name": "b" }, { "id": 3, "name": "c" }])
            .to_string();
    let rules = ResultRules { tables: true, items: Some(2), ..ResultRules::default() };
    let all = pieces(&text, &rules);
    assert_eq!((&*all[0].1.shown, all[0].1.form), ("id|name\n1|a\n2|b", Form::Table));
    assert_eq!(whole_of(&all).to_string(), text);
}

#[test]
fn any_offset_is_accepted() {
    for text in ["", "é", "[1,2,3]", r#"{"a":"éé"}"#, "[[[", "7"] {
        for at in ["0", "1", "2", "99", "fields:0", "fields:7", "18446744073709551615"] {
            let rules = rules(Some(64), Some(1), &[]);
            let made = cut(text, &rules, at.parse().unwrap());
            assert!(made.range.end <= made.all, "{text} {at}");
        }
    }
    for odd in ["", "-1", "fields", "fields:", "x:1", "1.5", "18446744073709551616"] {
        assert!(odd.parse::<Offset>().is_err(), "{odd}");
    }
}

fn document() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(Json::from),
        Just(Json::Null),
        "[a-z \n\"é👩\u{200d}\u{301}]{0,90}".prop_map(Json::from),
        any::<String>().prop_map(Json::from),
        "[a-z \n\"é]{120,400}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 40, 8, |inner| {
        prop_oneof![
            2 => prop::collection::vec(inner.clone(), 0..8).prop_map(Json::Array),
            3 => prop::collection::btree_map("[abc|]", inner, 0..5).prop_map(|all| Json::Object(all.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn all_pieces_of_a_document_together_are_the_document(
        document in document(), bytes in prop::option::of(0usize..300), items in prop::option::of(0usize..4),
        fields in prop::collection::vec(prop::sample::select(vec!["a", "a.b", "[].a", "b[].c", "[][].a", "c"]), 0..3),
        tables in any::<bool>(),
    ) {
        let text = document.to_string();
        let mut rules = rules(bytes, items, &fields);
        rules.tables = tables;
        let all = pieces(&text, &rules);
        for (_, piece) in &all {
            prop_assert!(piece.shown.len() <= bytes.map_or(usize::MAX, |bytes| bytes.max(64)), "{:?}", piece);
            prop_assert_eq!(piece.mark().is_some(), piece.rest.is_some());
            prop_assert!(piece.form != Form::Text || all.len() == 1, "{:?}", piece);
        }
        if all.iter().all(|(_, piece)| piece.form != Form::Text) {
            prop_assert_eq!(whole_of(&all), document);
        } else {
            prop_assert_eq!(&*all[0].1.shown, &text);
        }
    }

    #[test]
    fn all_pieces_of_a_text_together_are_the_text(text in "(\\PC|\n|[a-z]{1,9} |e\u{301}|👩\u{200d}){0,200}", bytes in 0usize..200) {
        let rules = rules(Some(bytes), Some(1), &["a"]);
        let all = pieces(&text, &rules);
        if all.iter().all(|(_, piece)| piece.form == Form::Text) {
            let whole: String = all.iter().map(|(_, piece)| &*piece.shown).collect();
            prop_assert_eq!(&whole, &text);
            prop_assert!(all.iter().all(|(_, piece)| piece.shown.len() <= bytes.max(64)));
            let left = all[0].1.rest.map_or(0, |rest| rest.bytes);
            prop_assert_eq!(all[0].1.shown.len() + left, text.len());
        }
    }
}
