//! What holds for hostile input: time grows with length, and no more.
//!
//! Times of the processor are compared with each other, not with a clock, so that a busy machine changes nothing: four times
//! the input may take ten times as long.

#![expect(clippy::unwrap_used, reason = "the ready-made files are valid")]

use std::sync::LazyLock;
use std::time::Duration;

use doorward_inspect::detect::Context;
use doorward_inspect::{Action, Budget, Detectors, Plan, Redactor, Rules, Scanner, Subject, text};
use nix::time::ClockId;

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| Scanner::new(Rules::ready_made().unwrap()));
static DETECTORS: LazyLock<Detectors> = LazyLock::new(|| Detectors::with(&[]).unwrap());

/// Parts that make a scanner or detector work hardest, repeated.
const PARTS: [&str; 44] = [
    "do not ",
    "ignore all previous ",
    "ignore ",
    "[system",
    "<important",
    "](http://a{",
    "![x](https://a?",
    "system: ",
    "%41",
    "&#65;",
    "\\u0041",
    "<!-- ",
    "1gn0r3 ",
    "a b ",
    "\u{200b}",
    "\u{1b}]",
    "é",
    "password=",
    "-----BEGIN ",
    "eyJ",
    "eyJa.",
    "sk-",
    "://a:",
    "@a.b",
    "4111 ",
    "1-",
    "+1 2",
    "(1)",
    "aa:",
    "::",
    "key_",
    "[EMAIL:",
    "AKIA",
    "\"",
    "a-",
    "ab_",
    "AB 12 ",
    "a1",
    "41 ",
    "41-",
    "ab:",
    "key2-aB3dE6gH9jK2mN5pQ8rS1tU4_",
    "1234567 ",
    "\\\"",
];

/// What this thread has used of the processor.
fn used() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap().into()
}

/// The shortest of several times.
fn time(work: impl Fn()) -> Duration {
    let once = || {
        let start = used();
        work();
        used() - start
    };
    (0..3).map(|_| once()).min().unwrap_or_default()
}

fn grows_with_length(name: &str, work: impl Fn(&str)) {
    for part in PARTS {
        let short = part.repeat(8192 / part.len());
        let long = short.repeat(4);
        work(&short);
        let (one, four) = (time(|| work(&short)), time(|| work(&long)));
        assert!(
            four < one * 10 + Duration::from_millis(20),
            "{name} {part:?}: {one:?}, four times as long {four:?}"
        );
    }
}

#[test]
fn scanning_takes_time_in_proportion() {
    grows_with_length("scan", |text| {
        SCANNER.text(text, Subject::Definition, &mut Budget::default());
    });
}

#[test]
fn detecting_takes_time_in_proportion() {
    grows_with_length("detect", |text| {
        DETECTORS.find(text, Context::default(), &mut Budget::default());
    });
}

#[test]
fn redacting_takes_time_in_proportion() {
    let plan = Plan::all(Action::Mask);
    let redactor = Redactor::new(&DETECTORS, &plan, None);
    grows_with_length("redact", |text| {
        redactor.text(text, &mut Budget::default());
    });
}

/// A mebibyte of lines of each part.
#[test]
fn redacting_twice_as_much_takes_twice_the_time() {
    let plan = Plan::all(Action::Mask);
    let redactor = Redactor::new(&DETECTORS, &plan, None);
    let lines: String = PARTS.iter().map(|part| part.repeat(512 / part.len()) + "\n").collect();
    let short = lines.repeat((1 << 20) / lines.len());
    let work = |text: &str| {
        redactor.text(text, &mut Budget::default());
    };
    work(&lines);
    let start = used();
    work(&short);
    let one = used() - start;
    work(&short.repeat(2));
    let two = used() - start - one;
    assert!(two < one * 4 + Duration::from_millis(50), "{one:?}, twice as long {two:?}");
}

#[test]
fn forms_are_bounded() {
    for part in PARTS {
        let long = part.repeat(1000);
        assert!(text::fold(&long).text.len() <= 4 * long.len(), "{part:?}");
        assert!(
            text::open(&long).iter().map(|part| part.text.len()).sum::<usize>() <= long.len(),
            "{part:?}"
        );
    }
}
