//! What holds for any file.

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;

fn white() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just(" ".into()),
        Just("\n  ".into()),
        Just("\r\n\t".into()),
        Just(" // c\n".into()),
        Just(" /* \"} */ ".into()),
        Just(" /* a\nb */".into()),
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("1".to_owned()),
        Just("\"a // \\\"b\"".into()),
        Just("{ \"url\": \"https://x/\" }".into()),
        Just("[ {}, // c\n 2 ]".into()),
    ]
}

/// The members of an object, with comments between everything.
fn members(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    let one = (white(), white(), white(), value());
    (
        proptest::sample::subsequence(names, 0..=names.len()),
        proptest::collection::vec(one, names.len()),
        any::<bool>(),
        white(),
    )
        .prop_map(|(names, parts, trailing, end)| {
            let count = names.len();
            let all =
                names.into_iter().zip(parts).enumerate().map(|(at, (name, (a, b, c, value)))| {
                    let comma = if at + 1 < count || trailing { "," } else { "" };
                    format!("{a}\"{name}\"{b}:{c}{value}{comma}")
                });
            all.collect::<String>() + &end
        })
}

prop_compose! {
    fn file()(
        start in white(),
        before in members(&["x", "y"]),
        servers in proptest::option::of(members(&["a", "b", "c"])),
        gap in white(),
        end in white(),
    ) -> String {
        let before = before.trim_end().to_owned();
        let comma = if before.is_empty() || before.ends_with(',') || ends_in_comment(&before) { "" } else { "," };
        match servers {
            Some(servers) => {
                format!("{start}{{{before}{comma}\n{gap}\"mcpServers\": {{{servers}}}\n}}{end}\n")
            }
            None => format!("{start}{{{before}\n}}{end}\n"),
        }
    }
}

/// The comma would be part of the comment.
fn ends_in_comment(text: &str) -> bool {
    text.rsplit('\n').next().is_some_and(|line| line.contains("//"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn undo_is_the_inverse_of_setup(text in file(), changed in any::<bool>()) {
        let home = Home::new();
        let path = home.write("mcp.json", &text);
        // Not every text that is made up is a file; those that are refused stay as they are.
        match home.set_up(Client::Cursor, &path, &wanted(variable())) {
            Err(_) => {
                prop_assert_eq!(read(&path), text);
                return Ok(());
            }
            Ok(outcome) => prop_assert_eq!(outcome, Outcome::Added),
        }
        let after = read(&path);
        prop_assert_eq!(home.set_up(Client::Cursor, &path, &wanted(variable())).unwrap(), Outcome::Unchanged);
        prop_assert_eq!(&read(&path), &after);
        if changed {
            std::fs::write(&path, format!("{after}\n")).unwrap();
        }
        match home.undo(Client::Cursor, &path) {
            Ok(undoing) => {
                prop_assert_eq!(undoing, if changed { Undoing::TakenOut } else { Undoing::Restored });
                if !changed {
                    prop_assert_eq!(read(&path), text);
                } else {
                    prop_assert!(!read(&path).contains("doorward"));
                }
            }
            // Where comments stand in the way, nothing is done.
            Err(_) => prop_assert_eq!(read(&path), format!("{after}\n")),
        }
    }
}

/// So that the property above is about files, and not only about what is refused.
#[test]
fn most_files_that_are_made_up_are_files() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut good = 0;
    for _ in 0..100 {
        let text = file().new_tree(&mut runner).unwrap().current();
        let home = Home::new();
        let path = home.write("mcp.json", text);
        good += usize::from(home.plan(Client::Cursor, &path, &wanted(variable())).is_ok());
    }
    assert!(good > 60, "{good}");
}
