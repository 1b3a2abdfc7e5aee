//! Names of servers and tools that differ only in case, confusable letters (UTS 39) or invisible characters.
//!
//! Among the tools of one server, two names conflict when they are the same but for case and invisible characters, or when
//! one that is not plain ASCII looks like another. ASCII names that resemble each other (`get_l1`, `get_ll`) do not: they
//! are common and neither hides. Among servers, which are few and chosen by people, these conflict, too.

use std::collections::HashMap;
use std::fmt;

use doorward_mcp::display::{is_harmful, quoted};
use unicode_security::skeleton;

/// Two names of which one could be taken for the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The one that comes later.
    pub name: String,
    /// The one that was there before.
    pub other: String,
    pub how: How,
}

/// How two names are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Case,
    /// Only in characters that are not seen.
    Invisible,
    /// In letters that look like others.
    Confusable,
}

/// `"gеt" (\u0435) looks like "get"`, each name with its unusual characters written out.
impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, other) = (spelled(&self.name), spelled(&self.other));
        match self.how {
            How::Case => write!(f, "{name} differs from {other} only in case"),
            How::Invisible => write!(f, "{name} differs from {other} only in invisible characters"),
            How::Confusable => write!(f, "{name} looks like {other}"),
        }
    }
}

/// A name in quotes, followed by the numbers of its characters that are not ASCII.
fn spelled(name: &str) -> String {
    let foreign: Vec<String> = name
        .chars()
        .filter(|c| !c.is_ascii() && !is_harmful(*c))
        .take(16)
        .map(|c| format!("U+{:04X}", u32::from(c)))
        .collect();
    match foreign.is_empty() {
        true => quoted(name),
        false => format!("{} ({})", quoted(name), foreign.join(" ")),
    }
}

/// A name without case and invisible characters.
fn folded(name: &str) -> String {
    // Twice, for what lower case makes of an upper-case letter may have another form (U+0130).
    let seen: String = name.chars().filter(|c| !is_harmful(*c)).collect();
    seen.to_uppercase().to_lowercase()
}

/// What a name looks like: in the case in which it stands, and in lower case.
fn looks(name: &str) -> [String; 2] {
    let seen: String = name.chars().filter(|c| !is_harmful(*c)).collect();
    let look = |text: &str| skeleton(text).collect::<String>().to_lowercase();
    [look(&seen), look(&seen.to_lowercase())]
}

/// The existing server whose name a new one could be taken for. The same name is not a conflict.
pub fn conflict<'a>(name: &str, existing: impl IntoIterator<Item = &'a str>) -> Option<Pair> {
    let (fold, look) = (folded(name), looks(name));
    existing.into_iter().filter(|other| *other != name).find_map(|other| {
        let how = if folded(other) == fold {
            how_alike(name, other)
        } else if looks(other).iter().zip(&look).any(|(one, other)| one == other) {
            How::Confusable
        } else {
            return None;
        };
        Some(Pair { name: name.into(), other: other.into(), how })
    })
}

fn how_alike(name: &str, other: &str) -> How {
    let seen = |name: &str| name.chars().filter(|c| !is_harmful(*c)).collect::<String>();
    if seen(name) == seen(other) { How::Invisible } else { How::Case }
}

/// Those servers' names that could be taken for an earlier one, by their places.
pub fn conflicts<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<(usize, Pair)> {
    alike(names, true)
}

/// Those of one server's names that could be taken for an earlier one, by their places.
pub fn twins<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<(usize, Pair)> {
    alike(names, false)
}

fn alike<'a>(names: impl IntoIterator<Item = &'a str>, ascii_too: bool) -> Vec<(usize, Pair)> {
    let mut found = Vec::new();
    let mut folds: HashMap<String, &str> = HashMap::new();
    // By what they look like, and whether one of them is more than ASCII.
    let mut all: HashMap<String, (&str, bool)> = HashMap::new();
    for (at, name) in names.into_iter().enumerate() {
        let is_ascii = name.is_ascii();
        let fold = if is_ascii { name.to_ascii_lowercase() } else { folded(name) };
        if let Some(other) = folds.get(&fold) {
            let (name, other) = (name.to_owned(), (*other).to_owned());
            found.push((at, Pair { how: how_alike(&name, &other), name, other }));
            continue;
        }
        let looks = looks(name);
        let alike = looks.iter().find_map(|look| {
            all.get(look).filter(|(_, foreign)| ascii_too || *foreign || !is_ascii)
        });
        if let Some((other, _)) = alike {
            let (name, other) = (name.to_owned(), (*other).to_owned());
            found.push((at, Pair { name, other, how: How::Confusable }));
            continue;
        }
        folds.insert(fold, name);
        for look in looks {
            let entry = all.entry(look).or_insert((name, !is_ascii));
            if !is_ascii {
                *entry = (name, true);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twin(one: &str, other: &str) -> Option<How> {
        twins([one, other]).pop().map(|(at, pair)| {
            assert_eq!((at, &*pair.name, &*pair.other), (1, other, one));
            pair.how
        })
    }

    #[test]
    fn tools_that_could_be_taken_for_each_other_are_found() {
        for (one, other, how) in [
            ("get", "GET", How::Case),
            ("getUser", "getuser", How::Case),
            ("straße", "STRASSE", How::Case),
            ("get", "g\u{200b}et", How::Invisible),
            ("get", "get\u{e0041}", How::Invisible),
            ("get", "g\u{435}t", How::Confusable),
            ("paypal", "\u{440}\u{430}y\u{440}\u{430}l", How::Confusable),
            ("g\u{435}t", "get", How::Confusable),
            ("SEND", "\u{405}END", How::Confusable),
            ("get", "\u{ff47}\u{ff45}\u{ff54}", How::Confusable),
        ] {
            assert_eq!(twin(one, other), Some(how), "{one} {other}");
        }
    }

    #[test]
    fn ordinary_names_are_no_twins() {
        for (one, other) in [
            ("get_l1", "get_ll"),
            ("get_I", "get_l"),
            ("read0", "readO"),
            ("modern", "modem"),
            ("get_user", "get-user"),
            ("get", "get_"),
            ("日本", "日本語"),
            ("größe", "grosse"),
            ("élan", "elan"),
        ] {
            assert_eq!(twin(one, other), None, "{one} {other}");
        }
        assert_eq!(twins(["get_l1", "get_ll", "get_Il"]), []);
    }

    #[test]
    fn each_twin_is_told_with_the_one_before_it() {
        let found = twins(["a", "b", "A", "\u{430}"]);
        let told: Vec<_> = found.iter().map(|(at, pair)| (*at, pair.to_string())).collect();
        assert_eq!(
            told,
            [
                (2, r#""A" differs from "a" only in case"#.to_owned()),
                (3, "\"\u{430}\" (U+0430) looks like \"a\"".to_owned()),
            ]
        );
        let hidden = twins(["get", "g\u{200b}et"]).remove(0).1;
        assert_eq!(
            hidden.to_string(),
            r#""g\u200bet" differs from "get" only in invisible characters"#
        );
    }

    #[test]
    fn servers_conflict_where_people_could_confuse_them() {
        for (name, other) in [
            ("GitHub", "github"),
            ("githu6", "github"),
            ("g1thub", "glthub"),
            ("Io", "lo"),
            ("modem", "modern"),
            ("g\u{456}thub", "github"),
        ] {
            let found = conflict(name, ["mail", other]);
            let expected = name != "githu6";
            assert_eq!(found.map(|pair| pair.other), expected.then(|| other.to_owned()), "{name}");
        }
        assert_eq!(conflict("github", ["github", "gitlab"]), None);
    }
}
