use clap::error::ErrorKind;

use super::*;

/// Every subcommand of a command, with the words that lead to it.
fn all(command: &clap::Command, words: &[String]) -> Vec<(Vec<String>, clap::Command)> {
    let mut found = vec![(words.to_vec(), command.clone())];
    for below in command.get_subcommands() {
        let words = [words, &[below.get_name().to_owned()]].concat();
        found.extend(all(below, &words));
    }
    found
}

/// All commands that do something, except the one whose arguments after `--` belong to another
/// program.
fn leaves() -> Vec<(Vec<String>, clap::Command)> {
    let mut found = all(&command(), &["doorward".to_owned()]);
    found.retain(|(words, below)| !below.has_subcommands() && words[1] != "confine");
    found
}

/// Reorders the words of a line for the parser; builds all commands once.
fn arranging() -> impl FnMut(&[String]) -> Result<Vec<String>, clap::Error> {
    let mut command = command();
    command.build();
    move |words| {
        let words = words::arranged(&mut command, words.iter().map(OsString::from))?;
        Ok(words.into_iter().map(|word| word.into_string().unwrap()).collect())
    }
}

fn line(words: &[String], more: &[&str]) -> Vec<String> {
    words.iter().cloned().chain(more.iter().map(|word| (*word).to_owned())).collect()
}

fn read(words: &[&str]) -> Result<Cli, clap::Error> {
    Cli::of(words.iter().map(OsString::from))
}

/// Possible forms of names, ids and keys.
const HYPHENED: [&str; 5] =
    ["-1d5kT72gHJyjyaPrU0GUCt9nXjjKW50aLHjCYTiuHQ", "-5", "-rm", "--no-such-option", "-x=5"];

#[test]
fn what_an_option_takes_may_begin_with_a_hyphen() {
    command().debug_assert();
    let mut options = 0;
    let mut arranged = arranging();
    for (words, below) in leaves() {
        for arg in below.get_arguments().filter(|arg| arg.get_action().takes_values()) {
            let Some(long) = arg.get_long() else { continue };
            options += 1;
            let short = arg.get_short().map(|short| format!("-{short}"));
            for option in [Some(format!("--{long}")), short].into_iter().flatten() {
                for value in HYPHENED {
                    let arranged = arranged(&line(&words, &[&option, value])).unwrap();
                    assert_eq!(arranged, line(&words, &[&format!("--{long}={value}")]));
                }
            }
        }
    }
    assert!(options > 100, "{options}");
}

#[test]
fn what_has_no_option_s_name_may_begin_with_a_hyphen() {
    let mut positionals = 0;
    let mut arranged = arranging();
    for (words, below) in leaves() {
        let Some(first) = below.get_positionals().next() else { continue };
        positionals += 1;
        for value in HYPHENED {
            for options in [&[][..], &["--help"]] {
                let typed = line(&words, &[&[value], options].concat());
                let expected = line(&words, &[options, &["--", value]].concat());
                assert_eq!(arranged(&typed).unwrap(), expected);
            }
            // Whatever else is missing or wrong, it is not parsed as an option.
            if let Err(error) = Cli::of(line(&words, &[value]).iter().map(OsString::from)) {
                assert_ne!(error.kind(), ErrorKind::UnknownArgument, "{words:?} {first} {error}");
            }
        }
    }
    assert!(positionals > 20, "{positionals}");
}

#[test]
fn an_option_whose_value_was_forgotten_takes_no_other_for_it() {
    let mut options = 0;
    let mut arranged = arranging();
    for (words, below) in leaves() {
        let mut built = below.clone();
        built.build();
        for arg in below.get_arguments().filter(|arg| arg.get_action().takes_values()) {
            let Some(long) = arg.get_long() else { continue };
            for other in built.get_arguments().filter_map(clap::Arg::get_long) {
                options += 1;
                for value in [format!("--{other}"), format!("--{other}=x")] {
                    let option = format!("--{long}");
                    let error = arranged(&line(&words, &[&option, &value])).unwrap_err();
                    assert!(error.to_string().contains(&format!("write '{option}={value}'")));
                    let meant = line(&words, &[&format!("{option}={value}")]);
                    assert_eq!(arranged(&meant).unwrap(), meant);
                }
            }
        }
    }
    assert!(options > 500, "{options}");
}

#[test]
fn options_and_other_words_may_stand_in_any_order() {
    let Ok(Cli { command: Command::Call(call), .. }) = read(&[
        "doorward", "call", "-rm", "--json", "a=-1", "-b=2", "--ask", "never", "--", "--json",
    ]) else {
        panic!("not taken");
    };
    assert_eq!((call.name.as_str(), call.json, call.ask), ("-rm", true, Ask::Never));
    assert_eq!(call.arguments, ["a=-1", "-b=2", "--json"]);
    // Only if the command takes a value: a misspelt option is reported as one.
    for (words, said) in [
        (&["doorward", "principals", "remove", "user", "bob", "--jsn"][..], "unexpected argument"),
        (&["doorward", "servers", "--jsn"], "'--json'"),
        (&["doorward", "keys", "create", "--label", "-c", "--user", "x"], "'--label=-c'"),
        (&["doorward", "--no-such"], "unexpected argument"),
        (&["doorward", "principals", "set", "user", "bob", "--team"], "value is required"),
    ] {
        let error = read(words).unwrap_err().to_string();
        assert!(error.contains(said), "{words:?}: {error}");
    }
    for words in [&["doorward", "help", "keys", "create"][..], &["doorward", "call", "-h"]] {
        assert_eq!(read(words).unwrap_err().kind(), ErrorKind::DisplayHelp, "{words:?}");
    }
    let Ok(Cli { command: Command::Confine(confine), .. }) =
        read(&["doorward", "confine", "{}", "--", "cat", "-n", "--", "x"])
    else {
        panic!("not taken");
    };
    assert_eq!(confine.program, ["cat", "-n", "--", "x"]);
}

#[test]
fn a_name_is_taken_in_the_form_that_it_is_printed_in() {
    for name in ["alice", "-bob", "--help", "a  b", "n\nl", "x\u{202e}y", "\"q\"", "", "ünï"] {
        let printed = terminal::name(name);
        let Ok(Cli {
            command: Command::Principals(Principals::Remove { name: taken, .. }), ..
        }) = read(&["doorward", "principals", "remove", "user", &printed])
        else {
            panic!("{printed} is not taken");
        };
        assert_eq!(taken, name);
        let Ok(Cli { command: Command::Call(call), .. }) = read(&["doorward", "call", &printed])
        else {
            panic!("{printed} is not taken");
        };
        assert_eq!(call.name, name);
    }
}
