use super::*;
use crate::budget::Budget;

use std::sync::LazyLock;

static DETECTORS: LazyLock<Detectors> = LazyLock::new(|| Detectors::with(&[]).unwrap());

/// Ids and found texts.
fn found(text: &str) -> Vec<(&str, &str)> {
    let found = DETECTORS.find(text, Context::default(), &mut Budget::default());
    found.into_iter().map(|found| (DETECTORS.id(found.detector), &text[found.range])).collect()
}

fn one(text: &str) -> Option<(&str, &str)> {
    found(text).first().copied()
}

#[test]
fn numbers_are_found_by_their_check_digits() {
    for (text, id, value) in [
        ("card 4111 1111 1111 1111.", "card", "4111 1111 1111 1111"),
        ("on 2024-01-15 4111-1111-1111-1111", "card", "4111-1111-1111-1111"),
        ("378282246310005", "card", "378282246310005"),
        ("IBAN: DE89 3704 0044 0532 0130 00!", "iban", "DE89 3704 0044 0532 0130 00"),
        ("GB82WEST12345698765432", "iban", "GB82WEST12345698765432"),
        ("SSN 536-90-4399", "national-id", "536-90-4399"),
        ("CPF 111.444.777-35", "national-id", "111.444.777-35"),
        ("NINO AB 12 34 56 C", "national-id", "AB 12 34 56 C"),
        ("DNI 12345678Z", "national-id", "12345678Z"),
        ("RSSMRA85T10A562S", "national-id", "RSSMRA85T10A562S"),
        ("131052-308T", "national-id", "131052-308T"),
        ("RUT 12.345.678-5", "national-id", "12.345.678-5"),
        ("11010519491231002X", "national-id", "11010519491231002X"),
        ("Aadhaar 9999 4105 7058", "national-id", "9999 4105 7058"),
        ("born on 1985-03-12 in", "birth-date", "1985-03-12"),
        ("date of birth: 12.03.1985", "birth-date", "12.03.1985"),
        ("passport C01X00T47", "passport", "C01X00T47"),
    ] {
        assert_eq!(one(text), Some((id, value)), "{text}");
    }
}

#[test]
fn contacts_are_found() {
    for (text, id, value) in [
        ("mail dana.scully+x@fbi.example.org, now", "email", "dana.scully+x@fbi.example.org"),
        ("<a@b.io>", "email", "a@b.io"),
        ("mailto:müller@example.de?x", "email", "müller@example.de"),
        ("mailto://ann@example.org", "email", "ann@example.org"),
        ("//ann@example.org", "email", "ann@example.org"),
        ("see https://ann@example.org/a?b=1", "email", "ann@example.org"),
        ("call (415) 555-2671 now", "phone", "(415) 555-2671"),
        ("415-555-2671", "phone", "415-555-2671"),
        ("+49 30 901820", "phone", "+49 30 901820"),
        ("+44 (0)20 7946 0958", "phone", "+44 (0)20 7946 0958"),
        ("+14155552671", "phone", "+14155552671"),
        ("tel 01 23 45 67 89", "phone", "01 23 45 67 89"),
        ("001-415-555-2671x123 phone", "phone", "415-555-2671x123"),
        ("from 203.0.113.7:443", "ip-address", "203.0.113.7"),
        ("2001:db8:85a3::8a2e:370:7334", "ip-address", "2001:db8:85a3::8a2e:370:7334"),
        ("00:1a:2b:3c:4d:5e", "mac-address", "00:1a:2b:3c:4d:5e"),
    ] {
        assert!(
            found(text).iter().any(|found| *found == (id, value)
                || found.0 == id && value.contains(found.1) && text.starts_with("001")),
            "{text} {:?}",
            found(text)
        );
    }
}

#[test]
fn secrets_are_found() {
    let hex = "0123456789abcdef".repeat(4);
    for (text, value) in [
        (
            format!("x ghp_{} y", "aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zA1bC2"),
            "ghp_aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zA1bC2".to_owned(),
        ),
        ("password = 'hunter22!'".to_owned(), "hunter22!".to_owned()),
        (r#"{"api_key": "a8F3kd92LmQ0zX7v"}"#.to_owned(), "a8F3kd92LmQ0zX7v".to_owned()),
        (
            "Authorization: Bearer abcDEF123456ghiJKL7890".to_owned(),
            "abcDEF123456ghiJKL7890".to_owned(),
        ),
        ("postgres://app:s3cr3tpw@db/x".to_owned(), "postgres://app:s3cr3tpw@".to_owned()),
        (format!("dop_v1_{hex}"), format!("dop_v1_{hex}")),
        (
            format!(
                "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
                "MIIEowIBAAKCAQEA0Z3VS5JJcds3xfn/ygWyF8PbnGy"
            ),
            format!(
                "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
                "MIIEowIBAAKCAQEA0Z3VS5JJcds3xfn/ygWyF8PbnGy"
            ),
        ),
    ] {
        assert_eq!(one(&text).map(|(_, value)| value.to_owned()), Some(value), "{text}");
    }
}

#[test]
fn ordinary_values_are_not_found() {
    for text in [
        "550e8400-e29b-41d4-a716-446655440000",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "sha512-z5ZhB0TuGYpe4gJ8j3EJ1Qd8aHsGz2qM4nTz2jzyVgX8t0QmC2vTtQm1q8zJfYw6q5z1vX2zK0j2jz5lq6v1nA==",
        "\"nextCursor\": \"eyJvZmZzZXQiOjEwMH0=\"",
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
        "version 1.2.3.4",
        "2024-01-31T12:00:00Z",
        "1700000000000",
        "127.0.0.1",
        "255.255.255.0",
        "10.0.0.0/8",
        "std::vec::Vec",
        "ssh://git@github.com/a/b",
        "git+ssh://git@host.example/a",
        "postgres://app@db.example.org/x",
        "12:30:45",
        "icon@2x.png",
        "pkg@1.2.3",
        "git@github.com:a/b",
        "password: string",
        "token: ${TOKEN}",
        "api_key = os.environ['API_KEY']",
        "\"password\": \"<your password>\"",
        "max_tokens: 4096",
        "secret_name = my-secret-name",
        "sk-learn",
        "The password must have 8 characters",
        "123-45-678",
        "1234567890123456",
        "pages 100-200",
        "https://example.com/a:b@c",
        "$1,234,567.89",
        "ISBN 978-3-16-148410-0",
        "commit 1a2b3c4d5e6f",
        "a::b",
        "[EMAIL] and password=[SECRET]",
    ] {
        assert_eq!(found(text), vec![], "{text}");
    }
}

#[test]
fn names_of_members_say_what_values_are() {
    let find = |member, text| {
        let found = DETECTORS.find(text, Context { member: Some(member) }, &mut Budget::default());
        found.first().map(|found| DETECTORS.id(found.detector).to_owned())
    };
    assert_eq!(find("password", "correct1horse").as_deref(), Some("assigned-secret"));
    assert_eq!(find("ssn", "536904399").as_deref(), Some("national-id"));
    assert_eq!(find("phone", "4155552671").as_deref(), Some("phone"));
    assert_eq!(find("date_of_birth", "1985-03-12").as_deref(), Some("birth-date"));
    assert_eq!(find("created", "1985-03-12"), None);
    assert_eq!(find("nextToken", "a8F3kd92LmQ0zX7v"), None);
}

#[test]
fn the_operators_detectors_are_applied() {
    let hash: String = digest("hello-world-1").iter().map(|byte| format!("{byte:02x}")).collect();
    let yaml = format!(
        "detectors:\n  - {{ id: projects, class: internal, literals: [Project Falcon] }}\n  - {{ id: staff, class: employee, literals: [EMP-], regex: 'EMP-\\d{{6}}' }}\n  - {{ id: names, class: person, fields: [/customers/*/name] }}\n  - {{ id: leaked, class: secret, hashes: [{hash}] }}\noff: [ip-address]"
    );
    let detectors = Detectors::with(&[DetectorFile::parse(&yaml).unwrap()]).unwrap();
    let find = |text| -> Vec<String> {
        let found = detectors.find(text, Context::default(), &mut Budget::default());
        found
            .into_iter()
            .map(|found| format!("{} {}", detectors.id(found.detector), &text[found.range]))
            .collect()
    };
    assert_eq!(
        find("project falcon, EMP-123456, 203.0.113.7 (hello-world-1)"),
        ["projects project falcon", "staff EMP-123456", "leaked hello-world-1"]
    );
    assert!(find("projects falcons").is_empty());
    assert_eq!(
        detectors.field("/customers/0/name").map(|found| detectors.class(found)),
        Some("person")
    );
    assert_eq!(detectors.field("/customers/0"), None);
    for bad in [
        "off: [none]",
        "detectors: [{ id: a, class: B, literals: [xx] }]",
        "detectors: [{ id: a, class: b }]",
        "detectors: [{ id: a, class: b, regex: x }]",
        "detectors: [{ id: email, class: b, literals: [xx] }]",
    ] {
        assert!(
            DetectorFile::parse(bad).and_then(|file| Detectors::with(&[file])).is_err(),
            "{bad}"
        );
    }
}

fn digest(text: &str) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref().to_vec()
}
