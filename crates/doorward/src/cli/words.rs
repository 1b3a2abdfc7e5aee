//! Reorders the words of a command line so that the parser cannot misread them: values that the product prints are
//! accepted again, even if they begin with a hyphen.
//!
//! A word that begins with a hyphen is an option if the command has it, and otherwise a value. The word after an option
//! that takes a value is that value, unless it is an option itself: then a value is missing.

use std::ffi::{OsStr, OsString};

use clap::error::ErrorKind;
use clap::{Arg, Command, Error};

/// Options of the innermost command first, each with its value in one word; then `--` and the other
/// words. `command` must be built.
pub fn arranged(
    command: &mut Command,
    words: impl IntoIterator<Item = OsString>,
) -> Result<Vec<OsString>, Error> {
    let mut words = words.into_iter();
    let mut out: Vec<OsString> = words.next().into_iter().collect();
    let mut below = command;
    let mut rest = Vec::new();
    while below.has_subcommands() {
        let Some(word) = words.next() else { return Ok(out) };
        out.push(word.clone());
        match below.find_subcommand_mut(word) {
            Some(found) => below = found,
            None => return Ok(out.into_iter().chain(words).collect()),
        }
    }
    // Words after `--` have a different meaning than those before it.
    if below.get_positionals().any(Arg::is_last_set) {
        return Ok(out.into_iter().chain(words).collect());
    }
    let most = most_positionals(below);
    while let Some(word) = words.next() {
        if word == "--" {
            rest.extend(words);
            break;
        }
        match Word::of(below, &word) {
            Word::Option(option) if option.get_action().takes_values() => {
                let Some(value) = words.next() else {
                    out.push(word);
                    continue;
                };
                if !matches!(Word::of(below, &value), Word::Value) && !is_attached(&value) {
                    return Err(forgotten(below, &word, &value));
                }
                // By the long name: a short one would include the `=` in the value.
                let mut whole =
                    option.get_long().map_or(word, |long| OsString::from(format!("--{long}")));
                whole.push("=");
                whole.push(value);
                out.push(whole);
            }
            Word::Option(_) | Word::Whole => out.push(word),
            // An excess word is most likely a misspelt option, and is reported as one.
            Word::Value if is_hyphened(&word) && rest.len() >= most => out.push(word),
            Word::Value => rest.push(word),
        }
    }
    if !rest.is_empty() {
        out.push("--".into());
        out.extend(rest);
    }
    Ok(out)
}

/// The role of a word for a command.
enum Word<'a> {
    /// One of its options; if it takes a value, that comes next.
    Option(&'a Arg),
    /// An option with its value, or several flags.
    Whole,
    Value,
}

impl<'a> Word<'a> {
    fn of(command: &'a Command, word: &OsStr) -> Self {
        // An option's name is always UTF-8; its value need not be.
        let text = word.to_string_lossy();
        if let Some(long) = text.strip_prefix("--") {
            let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
            let is = |arg: &&Arg| {
                arg.get_long() == Some(name)
                    || arg.get_all_aliases().is_some_and(|all| all.contains(&name))
            };
            return match (command.get_arguments().find(is), value) {
                (None, _) => Self::Value,
                (Some(option), None) => Self::Option(option),
                (Some(_), Some(_)) => Self::Whole,
            };
        }
        let Some(short) = text.strip_prefix('-').filter(|short| !short.is_empty()) else {
            return Self::Value;
        };
        let mut first = None;
        for letter in short.chars() {
            let found = command.get_arguments().find(|arg| arg.get_short() == Some(letter));
            match (found, first) {
                (None, _) => return Self::Value,
                (Some(option), None) if short.len() == 1 => return Self::Option(option),
                (Some(option), _) if option.get_action().takes_values() => return Self::Whole,
                (found, _) => first = found,
            }
        }
        Self::Whole
    }
}

/// Several letters after one hyphen: a key or an id may look like this.
fn is_attached(word: &OsStr) -> bool {
    let text = word.as_encoded_bytes();
    text.len() > 2 && !text.starts_with(b"--")
}

fn is_hyphened(word: &OsStr) -> bool {
    word.len() > 1 && word.as_encoded_bytes().starts_with(b"-")
}

fn most_positionals(command: &Command) -> usize {
    command
        .get_positionals()
        .map(|arg| arg.get_num_args().map_or(1, |range| range.max_values()))
        .fold(0, usize::saturating_add)
}

fn forgotten(command: &mut Command, option: &OsStr, value: &OsStr) -> Error {
    let (option, value) = (option.display(), value.display());
    command.error(
        ErrorKind::InvalidValue,
        format!(
            "'{option}' needs a value, and '{value}' is an option itself\n\n  \
             tip: if '{value}' is the value, write '{option}={value}'"
        ),
    )
}
