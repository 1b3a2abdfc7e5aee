//! What the command line of `doorward confine` says. It is written by the gateway, not by people.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

#[derive(Debug, Clone, Args)]
pub struct Confine {
    /// Permissions, as JSON
    pub allowed: String,
    /// Process with which the program ends
    #[arg(long, hide = true)]
    pub parent: Option<i32>,
    #[arg(long, hide = true)]
    pub step: Option<Step>,
    #[arg(last = true, required = true)]
    pub program: Vec<OsString>,
}

/// The internal steps that `confine` starts itself for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Step {
    Try,
    TryUser,
    TryInside,
    Inside,
    Bare,
}

impl Step {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Try => "try",
            Self::TryUser => "try-user",
            Self::TryInside => "try-inside",
            Self::Inside => "inside",
            Self::Bare => "bare",
        }
    }
}
