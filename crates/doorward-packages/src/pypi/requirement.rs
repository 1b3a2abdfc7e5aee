//! Requirements of Python packages (PEP 508): a name, extras, versions (PEP 440) and a marker. Markers are evaluated for
//! the machine's Python.

use std::collections::BTreeMap;
use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifier, VersionSpecifiers};

use crate::error::{Error, Result};

/// What the variables of markers are on this machine, by name. `extra` is not among them.
pub type Markers = BTreeMap<String, String>;

const MAX_DEPTH: usize = 50;

/// What one package needs of another.
#[derive(Debug, Clone)]
pub struct Requirement {
    /// Normalized.
    pub name: String,
    /// Normalized.
    pub extras: Vec<String>,
    pub versions: VersionSpecifiers,
    marker: Option<String>,
}

/// A name as all its spellings are compared (PEP 503).
pub fn normalized(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
        if !normal.is_empty() {
            normal.push('-');
        }
        normal.push_str(&part.to_ascii_lowercase());
    }
    normal
}

/// Whether a text is a name of a Python package.
pub fn is_name(name: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    edge(bytes.first())
        && edge(bytes.last())
        && name.len() <= 200
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

impl Requirement {
    /// # Errors
    /// If it is none, or names a URL instead of versions.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            let shown: String = text.chars().take(200).collect();
            Error::unsupported(format!("'{shown}' is not a requirement of a Python package"))
        };
        let (what, marker) = match text.split_once(';') {
            Some((what, marker)) => (what.trim(), Some(marker.trim().to_owned())),
            None => (text.trim(), None),
        };
        let end = what.find(|it: char| !(it.is_ascii_alphanumeric() || "-_.".contains(it)));
        let (name, mut rest) = what.split_at(end.unwrap_or(what.len()));
        rest = rest.trim_start();
        let mut extras = Vec::new();
        if let Some(inner) = rest.strip_prefix('[') {
            let (list, after) = inner.split_once(']').ok_or_else(wrong)?;
            extras = list
                .split(',')
                .map(|it| normalized(it.trim()))
                .filter(|it| !it.is_empty())
                .collect();
            rest = after.trim_start();
        }
        if rest.starts_with('@') {
            let why = format!("'{name}' is required from a URL, not from the index");
            return Err(Error::unsupported(why));
        }
        let versions = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        let versions = VersionSpecifiers::from_str(versions.unwrap_or(rest).trim());
        if !is_name(name) {
            return Err(wrong());
        }
        Ok(Self {
            name: normalized(name),
            extras,
            versions: versions.map_err(|_| wrong())?,
            marker,
        })
    }

    /// Whether it applies on a machine, to a package that is used with an extra, or without (an empty text).
    ///
    /// # Errors
    /// If its marker is not valid.
    pub fn applies(&self, markers: &Markers, extra: &str) -> Result<bool> {
        match &self.marker {
            None => Ok(true),
            Some(marker) => evaluate(marker, markers, extra),
        }
    }
}

fn evaluate(marker: &str, markers: &Markers, extra: &str) -> Result<bool> {
    let shown: String = marker.chars().take(200).collect();
    let wrong = || Error::unsupported(format!("'{shown}' is not a marker"));
    let tokens = tokens(marker).ok_or_else(wrong)?;
    let mut reader = Reader { tokens: &tokens, at: 0, depth: 0, markers, extra };
    let value = reader.any().ok_or_else(wrong)?;
    if reader.at < tokens.len() { Err(wrong()) } else { Ok(value) }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Open,
    Close,
    Operator(String),
    Word(String),
    Text(String),
}

fn tokens(marker: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = marker.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '(' | ')' => {
                tokens.push(if first == '(' { Token::Open } else { Token::Close });
                1
            }
            '\'' | '"' => {
                let text = &rest[1..];
                let end = text.find(first)?;
                tokens.push(Token::Text(text[..end].to_owned()));
                end + 2
            }
            '<' | '>' | '=' | '!' | '~' => {
                let end = rest.find(|it: char| !"<>=!~".contains(it)).unwrap_or(rest.len());
                tokens.push(Token::Operator(rest[..end].to_owned()));
                end
            }
            it if it.is_ascii_alphabetic() => {
                let end = rest.find(|it: char| !(it.is_ascii_alphanumeric() || "_.".contains(it)));
                let end = end.unwrap_or(rest.len());
                tokens.push(Token::Word(rest[..end].to_owned()));
                end
            }
            _ => return None,
        };
        rest = rest[length..].trim_start();
    }
    Some(tokens)
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    markers: &'a Markers,
    extra: &'a str,
}

impl Reader<'_> {
    fn takes(&mut self, word: &str) -> bool {
        let is_next = matches!(self.tokens.get(self.at), Some(Token::Word(it)) if it == word);
        self.at += usize::from(is_next);
        is_next
    }

    fn any(&mut self) -> Option<bool> {
        let mut value = self.all()?;
        while self.takes("or") {
            value |= self.all()?;
        }
        Some(value)
    }

    fn all(&mut self) -> Option<bool> {
        let mut value = self.one()?;
        while self.takes("and") {
            value &= self.one()?;
        }
        Some(value)
    }

    fn one(&mut self) -> Option<bool> {
        if self.tokens.get(self.at) == Some(&Token::Open) {
            self.at += 1;
            self.depth += 1;
            let value = (self.depth <= MAX_DEPTH).then(|| self.any())??;
            self.depth -= 1;
            let closed = self.tokens.get(self.at) == Some(&Token::Close);
            self.at += 1;
            return closed.then_some(value);
        }
        let left = self.operand()?;
        let operator = match self.tokens.get(self.at)? {
            Token::Operator(operator) => operator.clone(),
            Token::Word(word) if word == "in" => "in".into(),
            Token::Word(word) if word == "not" => {
                self.at += 1;
                matches!(self.tokens.get(self.at)?, Token::Word(word) if word == "in")
                    .then(|| "not in".to_owned())?
            }
            _ => return None,
        };
        self.at += 1;
        let right = self.operand()?;
        self.compare(&left, &operator, &right)
    }

    /// A variable's name and value, or a text.
    fn operand(&mut self) -> Option<(Option<String>, String)> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        match token {
            Token::Text(text) => Some((None, text.clone())),
            Token::Word(word) => {
                let name = match word.as_str() {
                    "os.name" => "os_name",
                    "sys.platform" => "sys_platform",
                    "platform.machine" => "platform_machine",
                    "platform.version" => "platform_version",
                    "platform.python_implementation" | "python_implementation" => {
                        "platform_python_implementation"
                    }
                    other => other,
                };
                if name == "extra" {
                    return Some((Some(name.into()), self.extra.to_owned()));
                }
                Some((Some(name.into()), self.markers.get(name)?.clone()))
            }
            _ => None,
        }
    }

    fn compare(
        &self,
        left: &(Option<String>, String),
        operator: &str,
        right: &(Option<String>, String),
    ) -> Option<bool> {
        let is_extra = [left, right].iter().any(|side| side.0.as_deref() == Some("extra"));
        let (one, other) = (&left.1, &right.1);
        if is_extra {
            let same = normalized(one) == normalized(other);
            return match operator {
                "==" | "===" => Some(same),
                "!=" => Some(!same),
                _ => None,
            };
        }
        if !matches!(operator, "in" | "not in" | "===") {
            let specifier = |operator: &str, version: &str| {
                VersionSpecifier::from_str(&format!("{operator}{version}")).ok()
            };
            // Where both are versions, they are compared as such: a variable with a text, in either order.
            let as_versions = if left.0.is_some() {
                specifier(operator, other).zip(Version::from_str(one).ok())
            } else {
                specifier(turned(operator), one).zip(Version::from_str(other).ok())
            };
            if let Some((specifier, version)) = as_versions {
                return Some(specifier.contains(&version));
            }
        }
        match operator {
            "==" | "===" => Some(one == other),
            "!=" => Some(one != other),
            "<" => Some(one < other),
            "<=" => Some(one <= other),
            ">" => Some(one > other),
            ">=" => Some(one >= other),
            "in" => Some(other.contains(one.as_str())),
            "not in" => Some(!other.contains(one.as_str())),
            _ => None,
        }
    }
}

fn turned(operator: &str) -> &str {
    match operator {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markers() -> Markers {
        [
            ("python_version", "3.11"),
            ("python_full_version", "3.11.7"),
            ("os_name", "posix"),
            ("sys_platform", "linux"),
            ("platform_system", "Linux"),
            ("platform_machine", "x86_64"),
            ("implementation_name", "cpython"),
            ("platform_python_implementation", "CPython"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    #[test]
    fn requirements_are_read() {
        for (text, name, extras, good) in [
            ("mcp>=1.0.0", "mcp", &[][..], "1.2"),
            (
                "Foo_Bar.baz [A_b, c] (>=1,<2) ; python_version < '4'",
                "foo-bar-baz",
                &["a-b", "c"],
                "1.5",
            ),
            ("x", "x", &[], "0.1"),
            ("x ~= 1.4", "x", &[], "1.9"),
            ("x==1.*", "x", &[], "1.3.2"),
        ] {
            let found = Requirement::parse(text).unwrap();
            assert_eq!(
                (found.name.as_str(), &found.extras[..]),
                (name, &extras.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()[..])
            );
            assert!(found.versions.contains(&good.parse().unwrap()), "{text}");
        }
        for wrong in ["", "-x", "x @ https://a.example/x.whl", "x >", "x [a", "x y", "../x"] {
            assert!(Requirement::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn markers_are_evaluated_for_the_machine() {
        for (marker, extra, holds) in [
            ("python_version >= '3.8'", "", true),
            ("python_version < '3.10'", "", false),
            ("'3.9' <= python_version", "", true),
            ("python_full_version < '3.11.8'", "", true),
            ("python_version ~= '3.10'", "", true),
            ("sys_platform == 'win32'", "", false),
            ("sys_platform != \"win32\" and os_name == 'posix'", "", true),
            ("sys_platform == 'win32' or (python_version > '3' and extra == 'a_b')", "a-b", true),
            ("sys_platform == 'win32' or (python_version > '3' and extra == 'a')", "", false),
            ("extra == 'Dev'", "dev", true),
            ("extra != 'dev'", "", true),
            ("platform_machine in 'x86_64 arm64'", "", true),
            ("platform_machine not in 'arm64'", "", true),
            ("platform_python_implementation == 'PyPy'", "", false),
            ("os.name == 'posix'", "", true),
        ] {
            let found = Requirement::parse(&format!("x; {marker}")).unwrap();
            assert_eq!(found.applies(&markers(), extra).unwrap(), holds, "{marker}");
        }
        let deep = format!("{}os_name == 'x'{}", "(".repeat(60), ")".repeat(60));
        for wrong in [
            "",
            "os_name",
            "os_name ==",
            "os_name == 'x",
            "foo == 'x'",
            "'a' 'b'",
            "(os_name == 'x'",
            &deep,
        ] {
            let found = Requirement::parse(&format!("x; {wrong}")).unwrap();
            assert!(found.applies(&markers(), "").is_err(), "{wrong}");
        }
    }
}
