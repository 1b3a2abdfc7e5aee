//! The commands, a file each, and how they fail.

pub mod call;
pub mod check;
pub mod import;
pub mod schema;
pub mod servers;
pub mod tools;

use crate::config::Report;
use crate::terminal;

/// Exit codes, as `doorward --help` tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Failure = 1,
    Usage = 2,
    Config = 3,
    Unreachable = 4,
    Refused = 5,
    ToolError = 6,
}

/// Why a command did not do what it should: for a person, and for a script.
#[derive(Debug)]
pub struct Failed {
    pub exit: Exit,
    /// Empty when everything was said already.
    pub message: String,
}

impl Failed {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// Everything was said already.
    pub fn silent(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    /// Shows what is wrong with a configuration.
    pub fn report(report: &Report) -> Self {
        eprint!("{}", report.render(terminal::error_color()));
        Self::silent(Exit::Config)
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        // Whoever read the output has read enough: nothing to complain of.
        let enough = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self::new(Exit::Failure, if enough { String::new() } else { error.to_string() })
    }
}
