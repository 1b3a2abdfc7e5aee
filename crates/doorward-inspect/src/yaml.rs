//! Rule and detector files are YAML; what is wrong with one has a place.

use std::fmt;

use serde::de::DeserializeOwned;

/// A file that is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFile {
    /// From 1; 0 if it is not known.
    pub line: usize,
    pub column: usize,
    pub why: String,
}

impl BadFile {
    /// Of all files together.
    pub(crate) fn whole(why: &impl ToString) -> Self {
        Self { line: 0, column: 0, why: why.to_string() }
    }
}

impl fmt::Display for BadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.why),
            line => write!(f, "line {line}, column {}: {}", self.column, self.why),
        }
    }
}

pub(crate) fn parse<T: DeserializeOwned>(yaml: &str) -> Result<T, BadFile> {
    serde_saphyr::from_str(yaml).map_err(|error| {
        let error = error.without_snippet();
        let number = |number: u64| usize::try_from(number).unwrap_or(0);
        let place = error.location();
        let place = place.map(|place| (number(place.line()), number(place.column())));
        let (line, column) = place.unwrap_or_default();
        let why = error.to_string();
        let why = why.split(" at line ").next().unwrap_or(&why);
        BadFile { line, column, why: why.trim_end_matches([' ', ',']).to_owned() }
    })
}
