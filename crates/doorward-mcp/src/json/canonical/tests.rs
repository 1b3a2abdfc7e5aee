use super::*;
use proptest::prelude::*;

fn form(text: &str) -> String {
    String::from_utf8(canonical(text.as_bytes()).unwrap()).unwrap()
}

fn exact_form(text: &str) -> String {
    String::from_utf8(canonical_exact(text.as_bytes()).unwrap()).unwrap()
}

#[test]
fn the_examples_of_the_rfc() {
    // RFC 8785 sections 3.2.2 and 3.2.3.
    assert_eq!(
        form(
            r#"{
            "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
            }"#
        ),
        "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
         \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
    );
    assert_eq!(
        form(
            r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#
        ),
        "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"ö\":\"Latin Small Letter O With \
         Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With \
         Dagesh\"}"
    );
}

#[test]
fn different_numbers_have_different_exact_forms() {
    for (one, other) in [
        ("9007199254740993", "9007199254740992"),
        ("1234567890123456789", "1234567890123456788"),
        ("12345678901234567890", "12345678901234567000"),
        ("295147905179352825856", "295147905179352830000"),
        ("0.1000000000000000055511151231257827", "0.1"),
        ("1e-400", "0"),
        ("1e-99999999999999999999", "1e-400"),
        ("-1e-400", "1e-400"),
    ] {
        assert_ne!(exact_form(one), exact_form(other));
    }
    assert_eq!(
        exact_form("[-0, -1, 0.5e1, 1.0, 12345678901234567000, 1E21, 0.00e7]"),
        "[0,-1,5,1,12345678901234567000,1e+21,0]"
    );
}

#[test]
fn numbers_are_written_as_ecmascript_writes_them() {
    // RFC 8785 appendix B, by bits.
    for (bits, expected) in [
        (0x0000_0000_0000_0000_u64, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0xc340_0000_0000_0000, "-9007199254740992"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0x41b3_de43_5555_5557, "333333333.33333343"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    ] {
        let mut out = Vec::new();
        write_number(&mut out, f64::from_bits(bits)).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
    assert_eq!(
        form("[-0, -1, 0.5e1, 1.0, 12345678901234567890]"),
        "[0,-1,5,1,12345678901234567000]"
    );
    for wrong in ["1e999", "", "[", "{\"a\"}", "nul", "-", "[1,]", "1 2", "\"", "\"\\"] {
        assert_eq!(canonical(wrong.as_bytes()), Err(NotCanonical), "{wrong}");
    }
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|all| serde_json::Value::Object(all.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn spelling_and_order_change_nothing(value in value()) {
        let plain = canonical(&serde_json::to_vec(&value).unwrap()).unwrap();
        let pretty = canonical(&serde_json::to_vec_pretty(&value).unwrap()).unwrap();
        prop_assert_eq!(&plain, &pretty);
        prop_assert_eq!(&canonical(&plain).unwrap(), &plain);
    }

    #[test]
    fn any_input_is_handled(text in any::<Vec<u8>>()) {
        let _ = canonical(&text);
    }
}
