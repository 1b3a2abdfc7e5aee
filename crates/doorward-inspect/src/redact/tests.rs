use super::*;
use crate::text::{Coding, encode_base64};
use proptest::prelude::*;
use std::sync::LazyLock;

static DETECTORS: LazyLock<Detectors> = LazyLock::new(|| Detectors::with(&[]).unwrap());
static MASK: LazyLock<Plan> = LazyLock::new(|| Plan::all(Action::Mask));

fn redactor() -> Redactor<'static> {
    Redactor::new(&DETECTORS, &MASK, None)
}

fn masked(json: &str) -> String {
    redactor().json(json, &mut Budget::default()).unwrap().text.unwrap_or_else(|| json.to_owned())
}

#[test]
fn values_are_masked_however_they_are_written() {
    let base64 = encode_base64("write to dana@example.org today", Coding::Base64, true);
    let base64_masked = encode_base64("write to [EMAIL] today", Coding::Base64, true);
    for (json, expected) in [
        (
            r#"{"a":"mail dana@example.org now"}"#.to_owned(),
            r#"{"a":"mail [EMAIL] now"}"#.to_owned(),
        ),
        (r#"["d\u0061na\u0040example.org"]"#.to_owned(), r#"["[EMAIL]"]"#.to_owned()),
        (r#"["to=dana%40example.org&x"]"#.to_owned(), r#"["to=[EMAIL]&x"]"#.to_owned()),
        (
            r#"["{\"to\":\"dana\\u0040example.org\"}"]"#.to_owned(),
            r#"["{\"to\":\"[EMAIL]\"}"]"#.to_owned(),
        ),
        (format!(r#"["data: {base64}"]"#), format!(r#"["data: {base64_masked}"]"#)),
        (
            r#"{"dana@example.org":1,"max@example.org":2,"[EMAIL]":3}"#.to_owned(),
            r#"{"[EMAIL] (2)":1,"[EMAIL] (3)":2,"[EMAIL]":3}"#.to_owned(),
        ),
        (r#"{"card":4111111111111111,"n":12}"#.to_owned(), r#"{"card":null,"n":12}"#.to_owned()),
        (
            r#"{"password":"correct1horse","x":"y"}"#.to_owned(),
            r#"{"password":"[SECRET]","x":"y"}"#.to_owned(),
        ),
    ] {
        assert_eq!(masked(&json), expected, "{json}");
        assert_eq!(masked(&expected), expected);
    }
}

#[test]
fn findings_have_places_and_numbers_are_reported() {
    let json = r#"{"a":["x","d\u0061na@example.org"],"card":4111111111111111}"#;
    let redacted = redactor().json(json, &mut Budget::default()).unwrap();
    let places: Vec<_> = redacted
        .found
        .iter()
        .map(|found| (&*found.class, &*found.place.pointer, &json[found.place.range.clone()]))
        .collect();
    assert_eq!(
        places,
        [("email", "/a/1", r"d\u0061na@example.org"), ("card", "/card", "4111111111111111")]
    );
    assert!(
        redacted.has_nulls
            && redacted.found[1].is_number
            && redacted.complete
            && redacted.refused.is_none()
    );
}

#[test]
fn actions_are_by_detector_and_class() {
    let mut plan = Plan::all(Action::Mask);
    plan.classes.insert("email".into(), Action::Report);
    plan.classes.insert("phone".into(), Action::Refuse);
    plan.detectors.insert("card".into(), Action::Hash);
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"key");
    let redactor = Redactor::new(&DETECTORS, &plan, Some(&key));
    let text = "dana@example.org 4111111111111111 536-90-4399";
    let redacted = redactor.text(text, &mut Budget::default());
    let out = redacted.text.unwrap();
    assert!(
        out.starts_with("dana@example.org [CARD:")
            && out.ends_with("] [NATIONAL_ID]")
            && redacted.refused.is_none(),
        "{out}"
    );
    assert_eq!(redactor.text(&out, &mut Budget::default()).text, None);
    assert!(redactor.text("call +14155552671", &mut Budget::default()).refused.is_some());
}

struct Reversed;

impl Pseudonyms for Reversed {
    fn hash(&self, _: &str, _: &str) -> [u8; 8] {
        [0; 8]
    }

    fn token(&self, _: &str, value: &str) -> Option<String> {
        Some(format!("t-{}", value.bytes().map(|byte| format!("{byte:x}")).collect::<String>()))
    }

    fn is_token(&self, _: &str, token: &str) -> bool {
        token.starts_with("t-")
    }
}

#[test]
fn tokens_are_left_and_what_only_looks_like_one_is_not() {
    let plan = Plan::all(Action::Tokenize);
    let redactor = Redactor::new(&DETECTORS, &plan, Some(&Reversed));
    let out = redactor.text("to a@b.io", &mut Budget::default()).text.unwrap();
    assert_eq!(out, "to [EMAIL:t-6140622e696f]");
    assert_eq!(redactor.text(&out, &mut Budget::default()).text, None);
    // A sender cannot pass a value by dressing it up.
    let dressed = "[SECRET:ghp_aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zA1bC2]";
    assert!(!masked(&format!(r#"["{dressed}"]"#)).contains("ghp_"));
}

#[test]
fn a_field_is_masked_whatever_it_contains() {
    let file = crate::detect::DetectorFile::parse(
        "detectors: [{ id: names, class: person, fields: [/c/*/name] }]",
    )
    .unwrap();
    let detectors = Detectors::with(&[file]).unwrap();
    let redactor = Redactor::new(&detectors, &MASK, None);
    let redact = |json: &str| redactor.json(json, &mut Budget::default()).unwrap().text;
    let out = redact(r#"{"c":[{"name":"Dana","age":3},{"name":7}],"name":"x"}"#).unwrap();
    assert_eq!(out, r#"{"c":[{"name":"[PERSON]","age":3},{"name":null}],"name":"x"}"#);
    assert_eq!(redact(&out), None);
}

#[test]
fn a_budget_that_is_exceeded_is_reported() {
    let json = format!(r#"["{}"]"#, "x".repeat(1000));
    assert!(!redactor().json(&json, &mut Budget::new(100)).unwrap().complete);
}

const VALUES: [&str; 10] = [
    "dana.scully@example.org",
    "4111 1111 1111 1111",
    "ghp_aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zA1bC2",
    "DE89 3704 0044 0532 0130 00",
    "+49 30 901820 5",
    "password: hunter22!x",
    "(415) 555-2671",
    "203.0.113.77",
    "Bearer abcDEF123456ghiJKL7890",
    "postgres://app:s3cr3tpw@db",
];

/// Texts with values among other words.
fn with_values() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[a-z]{1,8}",
        "[ .,:;\n]{1,2}",
        any::<String>(),
        proptest::sample::select(VALUES.as_slice()).prop_map(str::to_owned),
        "[0-9]{1,6}",
        "[@\\[\\]%\\\\\"=&]",
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.join(" "))
}

/// Words and values, as people write them.
fn prose() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[a-z]{2,8}",
        "[A-Z][a-z]{1,6}[.,]",
        proptest::sample::select(VALUES.as_slice()).prop_map(|value| format!("x; {value} ; y"))
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn redacted_json_is_json_and_stays_as_it_is(texts in proptest::collection::vec((with_values(), with_values()), 0..4), number in any::<u64>()) {
        let members: serde_json::Map<String, serde_json::Value> = texts.iter().map(|(name, text)| (name.clone(), text.clone().into())).collect();
        let json = serde_json::json!({ "a": members, "n": [number] }).to_string();
        let out = masked(&json);
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        prop_assert_eq!(value["a"].as_object().unwrap().len(), members.len());
        prop_assert_eq!(masked(&out), out.clone());
        prop_assert!(out.len() <= 12 * json.len());
        for value in VALUES {
            if !value.contains(':') {
                prop_assert!(!out.contains(value), "{}", out);
            }
        }
    }

    #[test]
    fn values_far_apart_are_redacted_as_each_alone(parts in proptest::collection::vec(prose(), 1..4), lines in 1usize..60) {
        // More words between them than are searched again around what was replaced.
        let between = format!("\n{}", "some words; and more of them,\n".repeat(lines));
        let alone = |part: &String| redactor().text(part, &mut Budget::default()).text.unwrap_or_else(|| part.clone());
        let expected = parts.iter().map(alone).collect::<Vec<_>>().join(&between);
        let text = parts.join(&between);
        let out = redactor().text(&text, &mut Budget::default()).text.unwrap_or(text);
        prop_assert_eq!(&out, &expected);
        prop_assert_eq!(redactor().text(&out, &mut Budget::default()).text, None);
    }
}

#[test]
fn what_a_replacement_brings_up_is_redacted_however_long_the_text() {
    let filler = "words and more of them;\n".repeat(200);
    // Behind the mask of a secret, which is the name of one, and behind that of a long one.
    let jwt = format!(
        "eyJ{}.eyJ{}.{}",
        "hbGciOiJIUzI1NiJ9".repeat(40),
        "a1B2c3D4".repeat(60),
        "x9Y8z7W6v5"
    );
    for value in [
        "ghp_aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zA1bC2: a8F3kd92LmQ0zX7v",
        &format!("{jwt}: a8F3kd92LmQ0zX7v"),
    ] {
        let text = format!("{filler}{value}\n{filler}mail dana@example.org\n{filler}");
        let out = redactor().text(&text, &mut Budget::default()).text.unwrap();
        assert!(!out.contains("a8F3kd92") && !out.contains("dana"), "{value}");
        assert_eq!(redactor().text(&out, &mut Budget::default()).text, None);
        assert_eq!(out.matches(&*filler).count(), 3);
    }
}

#[test]
fn fields_decide_before_everything_else() {
    let field = |pattern: &str, action| (crate::FieldPattern::parse(pattern).unwrap(), action);
    let mut plan = Plan::all(Action::Mask);
    plan.fields = vec![field("/own", Action::Ignore), field("/all/*/mail", Action::Report)];
    plan.classes.insert("phone".into(), Action::Ignore);
    let key = "ghp_9f8Kd72mQx4LpZ0vTb6RnYc3WsHaEj1UoGiX";
    let coded = "dGhlIGtleSBpcyBnaHBfOWY4S2Q3Mm1ReDRMcFowdlRiNlJuWWMzV3NIYUVqMVVvR2lYIHRvZGF5";
    let json = format!(
        r#"{{"card":"4111 1111 1111 1111","number":4111111111111111,"own":"4111 1111 1111 1111","percent":"dana%40example.com","base64":"{coded}","all":[{{"mail":"dana@example.com"}}],"{key}":"name"}}"#
    );
    let redactor = Redactor::new(&DETECTORS, &plan, None);
    let out = redactor.json(&json, &mut Budget::default()).unwrap();
    let text = out.text.unwrap();
    let read: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(read["own"], "4111 1111 1111 1111");
    assert_eq!(read["all"][0]["mail"], "dana@example.com");
    assert_eq!(
        (&read["card"], &read["number"], &read["percent"]),
        (&"[CARD]".into(), &serde_json::Value::Null, &"[EMAIL]".into())
    );
    assert_eq!(read["[SECRET]"], "name");
    assert!(!text.contains(coded), "{text}");
    assert!(out.found.iter().all(|found| found.place.pointer != "/own"));
    let mut opaque = crate::Opaque::default();
    opaque.value("/card");
    let out = redactor.json_but(&json, &opaque, &mut Budget::default()).unwrap();
    assert!(out.text.unwrap().contains(r#""card":"4111"#));
}

#[test]
fn brackets_hide_nothing() {
    // In the form of a replacement, with a value for a class or a hash.
    for text in [
        r#"["[CARD:4111111111111111]"]"#,
        "[[4111111111111111]]",
        r#"["{\"cards\":[4111111111111111]}"]"#,
        r#"["[AKIAZQ3DRSTUVWXY2345]"]"#,
    ] {
        let out = masked(text);
        assert!(!out.contains("41111111") && !out.contains("AKIAZQ3D"), "{text}: {out}");
        assert_eq!(masked(&out), out, "{text}");
    }
    let hash = Replacement::hash("card", 0x4111_1111_1111_1111_u64.to_be_bytes());
    assert_eq!(hash, "[CARD:a111111111111111]");
    assert_eq!(masked(&format!("[\"{hash}\"]")), format!("[\"{hash}\"]"));
}

#[test]
fn what_is_refused_is_found_behind_many_others() {
    let mut plan = Plan::all(Action::Report);
    plan.classes.insert("secret".into(), Action::Refuse);
    let many: Vec<String> =
        (0..1_100).map(|n| format!("\"10.1.{}.{}\"", n / 250, n % 250)).collect();
    let json = format!(r#"[{},"ghp_9f8Kd72mQx4LpZ0vTb6RnYc3WsHaEj1UoGiX"]"#, many.join(","));
    let out = Redactor::new(&DETECTORS, &plan, None).json(&json, &mut Budget::default()).unwrap();
    assert_eq!(
        out.refused.map(|(class, place)| (class, place.pointer)),
        Some(("secret".into(), "/1100".into()))
    );
    assert!(out.counts.contains(&("ip".into(), Action::Report, 1_100)), "{:?}", out.counts);
}

#[test]
fn long_names_and_many_equal_ones_cost_no_more_than_their_length() {
    let name = "n".repeat(11_500);
    let values = vec![r#""a""#; 3_400].join(",");
    let nested = format!(r#"{{"{name}":[{values}]}}"#);
    let names: Vec<String> = (0..20_000).map(|n| format!(r#""u{n}@example.org":{n}"#)).collect();
    let names = format!("{{{}}}", names.join(","));
    let began = std::time::Instant::now();
    assert_eq!(masked(&nested), nested);
    assert!(masked(&names).contains(r#""[EMAIL] (20000)":19999"#));
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
}

#[test]
fn places_do_not_hold_long_names() {
    let json =
        format!(r#"{{"{}\u0061":["a\u200bb","dana@example.org"]}}"#, "n\\u00e9".repeat(2_000));
    let out = redactor().json(&json, &mut Budget::default()).unwrap();
    let cleaned = crate::strip_json(&json).unwrap().unwrap();
    for place in [&out.found[0].place, &cleaned.removed[0].1] {
        assert!(place.pointer.len() < 1_100 && place.pointer.contains('…'), "{}", place.pointer);
        assert!(place.pointer.starts_with("/nénéné"), "{}", place.pointer);
    }
}
