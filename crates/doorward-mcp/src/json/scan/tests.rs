use super::tokens::plain_run;
use super::*;
use proptest::prelude::*;

fn read(text: &str) -> Result<Object, Fault> {
    scan_object(&Bytes::copy_from_slice(text.as_bytes()), Limits::default())
}

#[test]
fn text_that_parsers_could_read_differently_is_refused() {
    for (text, why) in [
        (r#"{"a":1,"a":2}"#, "repeated"),
        (r#"{"a":1,"\u0061":2}"#, "repeated"),
        (r#"{"params":{"name":"a","Name":"b"}}"#, "repeated"),
        (r#"{"Method":"x"}"#, "differs from a known one"),
        (r#"{"params":{"arguments":{"id":1,"ID":2}}}"#, "repeated"),
        ("{\"params\":{\"ta\u{17f}kId\":1}}", "differs from a known one"),
        ("{\"params\":{\"tas\u{212a}Id\":1}}", "differs from a known one"),
        (r#"{"a":"\ud800"}"#, "lone surrogate"),
        (r#"{"a":"\udc00"}"#, "lone surrogate"),
        (r#"{"a":NaN}"#, "expected a value"),
        (r#"{"a":01}"#, "expected ','"),
        (r#"{"a":1.}"#, "invalid number"),
        ("\u{feff}{}", "expected an object"),
        (r#"{} {}"#, "trailing"),
        ("{\"a\":\"\u{1}\"}", "control character"),
        (r#"{"a":"\x"}"#, "invalid escape"),
        (r#"{"a":tru}"#, "expected a value"),
        (r#"{"a""#, "expected ':'"),
        (r#"{"a":"#, "unexpected end"),
        (r#"{"a":"b"#, "unterminated"),
    ] {
        let fault = read(text).expect_err(text);
        assert!(fault.why.contains(why), "{text}: {fault}");
    }
    let fault = scan_object(&Bytes::from_static(b"{\"a\":\"\xff\"}"), Limits::default());
    assert_eq!(fault.unwrap_err().why, "invalid UTF-8");
}

#[test]
fn depth_beyond_the_limit_is_refused_without_further_recursion() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(read(&deep).unwrap_err().why, "nested too deep");
    let fits = format!("{{\"a\":{}{}}}", "[".repeat(127), "]".repeat(127));
    assert!(read(&fits).is_ok());
}

#[test]
fn a_servers_data_may_contain_names_that_differ_in_case() {
    let text = Bytes::from_static(br#"{"result":{"headers":{"etag":1,"ETag":2}}}"#);
    let limits = Limits { names: Names::StrictEnvelope, ..Limits::default() };
    assert!(scan_object(&text, limits).is_ok());
    assert!(scan_object(&text, Limits::default()).is_err());
}

#[test]
fn many_members_are_checked_too() {
    let members: Vec<_> = (0..1000).map(|n| format!("\"k{n}\":{n}")).collect();
    assert!(read(&format!("{{{}}}", members.join(","))).is_ok());
    assert!(read(&format!("{{{},\"k500\":0}}", members.join(","))).is_err());
    assert!(read(&format!("{{{},\"K500\":0}}", members.join(","))).is_err());
}

proptest! {
    #[test]
    fn text_is_accepted_only_if_serde_json_accepts_it(text in ".{0,60}|\\{[ -~]{0,40}\\}") {
        let ours = read(&text).is_ok();
        let theirs = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text);
        // serde_json accepts duplicate names; everything else must agree.
        if ours {
            prop_assert!(theirs.is_ok());
        } else if theirs.is_ok() {
            prop_assert!(read(&text).unwrap_err().well_formed);
        }
    }

    #[test]
    fn a_plain_run_ends_where_it_should(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let expected = bytes.iter().take_while(|b| !matches!(b, b'"' | b'\\' | ..0x20)).count();
        prop_assert_eq!(plain_run(&bytes), expected);
    }
}

/// Found by fuzzing: a number that another parser rejects as out of range is refused.
#[test]
fn a_number_beyond_a_double_is_refused() {
    let digits = "9".repeat(400);
    for (number, good) in [
        ("1e308", true),
        ("2.5e388", false),
        ("-1E999", false),
        ("1e-999", true),
        (&digits, false),
        (&digits[..300], true),
    ] {
        let text = format!("{{\"a\":{number}}}");
        let scanned = scan_object(&Bytes::from(text), Limits::default());
        assert_eq!(scanned.is_ok(), good, "{number}");
    }
}

/// A known name in another spelling: upper case, and letters that fold to ASCII.
fn other_spelling() -> impl Strategy<Value = String> {
    let letters = prop::collection::vec(0..6_u8, 0..20);
    (prop::sample::select(KNOWN), letters, "[a-zİ]{0,2}").prop_map(|(name, how, end)| {
        let letters = name.chars().zip(how.into_iter().chain(std::iter::repeat(0)));
        let name: String = letters
            .map(|(letter, how)| match (how, letter) {
                (1, _) => letter.to_ascii_uppercase(),
                (2, _) => letter.to_ascii_lowercase(),
                (3, 's') => '\u{17f}',
                (3, 'k') => '\u{212a}',
                (3, 'i') => '\u{131}',
                (4, 'i') => '\u{130}',
                _ => letter,
            })
            .collect();
        name + &end
    })
}

#[test]
fn no_known_name_is_a_look_alike_of_another() {
    for one in KNOWN {
        let alike = KNOWN.iter().filter(|other| is_same_name(one.as_bytes(), other.as_bytes()));
        assert_eq!(alike.count(), 1, "{one}");
    }
}

proptest! {
    /// The fast comparison of names gives the same result as folding.
    #[test]
    fn names_are_compared_as_they_fold(name in prop_oneof![other_spelling(), any::<String>()]) {
        let folded = |name: &str| fold(Cow::Borrowed(name.as_bytes())).into_owned();
        let alike = KNOWN.iter().any(|known| *known != name && folded(known) == folded(&name));
        let judged = known(name.as_bytes()).is_none() && is_look_alike(name.as_bytes());
        prop_assert_eq!(judged, alike);
    }

    /// In small and in large objects, two names are duplicates if they fold to the same name.
    #[test]
    fn repeated_names_are_found_as_they_fold(
        one in other_spelling(),
        other in other_spelling(),
        others in 0..40_usize,
    ) {
        let strict = fold(Cow::Borrowed(one.as_bytes())) == fold(Cow::Borrowed(other.as_bytes()));
        let others: String = (0..others).map(|at| format!("\"{at}\":0,")).collect();
        let text = format!("{{\"data\":{{\"{one}\":0,{others}\"{other}\":0}}}}");
        let text = Bytes::from(text);
        prop_assert_eq!(scan_object(&text, Limits::default()).is_err(), strict);
        let limits = Limits { names: Names::StrictEnvelope, ..Limits::default() };
        prop_assert_eq!(scan_object(&text, limits).is_err(), one == other);
    }
}
