#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn what_is_written_holds_no_secrets_and_no_personal_data() {
    for (given, expected) in [
        ("answered method=tools/call server=sample ms=12", None),
        ("cannot connect to 10.1.2.3:8080: connection refused", None),
        ("call 0197a3f2c4d1 by ann took 12345 µs", None),
        ("cursor 6f1ed002ab5595859014ebf0951522d9", None),
        (
            "https://x.example/v1?api_key=Kd82jdkfiwo3lskdfjweoiru",
            Some("https://x.example/v1?api_key=[SECRET]"),
        ),
        ("write to ann.lee@acme.example now", Some("write to [EMAIL] now")),
        ("card 4111 1111 1111 1111", Some("card [CARD]")),
        // A token that was cut off.
        ("mine is ghp_0123456789abcd", Some("mine is [SECRET]")),
        ("?t=sk-a1b2c3d4e5f6", Some("?t=[SECRET]")),
        ("the sk-learn-contribution", None),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQ", Some("[SECRET]")),
        ("password=hunter2x", Some("[SECRET]")),
        ("dwk_aaaaaaaaaaa1_bbbbbbbbbbbbbbbbbbbbbbbbbbbbb", Some("[SECRET]")),
    ] {
        let clean = text(given, Keep::Addresses);
        assert_eq!(clean, expected.unwrap_or(given));
        assert_eq!(text(&clean, Keep::Addresses), clean, "again");
    }
    assert_eq!(text("from 10.1.2.3", Keep::Nothing), "from [IP]");
}

#[test]
fn json_is_cleaned_in_names_numbers_and_values() {
    let given = r#"{"a":"mail ann.lee@acme.example","b":{"card":4111111111111111},"c":["ghp_0123456789abcd"],"n":12}"#;
    let expected = r#"{"a":"mail [EMAIL]","b":{"card":null},"c":["[SECRET]"],"n":12}"#;
    assert_eq!(json(given).unwrap().unwrap(), expected);
    assert!(json("no").is_err());
}

#[test]
fn members_are_cleaned_by_their_names() {
    let line = r#"{"user":"ann.lee@acme.example","message":"ann.lee@acme.example at 10.1.2.3","n":4111111111111111}"#;
    let keep = |name: &str| (name != "user").then_some(Keep::Addresses);
    let expected =
        r#"{"user":"ann.lee@acme.example","message":"[EMAIL] at 10.1.2.3","n":4111111111111111}"#;
    assert_eq!(members(line, keep).unwrap(), expected);
    assert!(matches!(members(r#"{"message":"plain"}"#, keep).unwrap(), Cow::Borrowed(_)));
}

#[test]
fn what_the_detectors_find_is_never_passed_over() {
    // Each in a text of its own and assigned to something; addresses of machines are found by their digits.
    for value in [
        "DE89370400440532013000",
        "+49 30 1234567",
        "(212) 555-0142",
        "536-22-1234",
        "hf_abcdefghijklmnopqrstuvwxyzabcdefgh",
        "born 1/1/1990",
        "x@y.example",
        "password: \"ab!cde1\"",
        "pwd=x1y2z3",
        "hvs.CAESIJ",
        "https://u:pw1x@h.example",
    ] {
        for dressed in [value.to_owned(), format!("a {value}"), format!("k={value}")] {
            let found =
                BUILT_IN.detectors.find(&dressed, Context::default(), &mut Budget::default());
            assert!(found.is_empty() || may_contain(&dressed), "{dressed}");
        }
    }
}
