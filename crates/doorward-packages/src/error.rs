//! Why a package cannot be locked, fetched or run.

use std::path::{Path, PathBuf};

/// Why a package cannot be used. Each says what is wrong, and what to do where something can be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not exist, cannot be resolved, or is of a form that is not supported.
    #[error("{0}")]
    Unsupported(String),
    /// A registry cannot be reached, or answers with an error.
    #[error("{url}: {why}")]
    Unreachable { url: String, why: String },
    /// Something is not what it was, or what it must be: a digest, a signature, an archive.
    #[error("refused: {0}")]
    Refused(String),
    /// The lock file does not list the package as it is configured.
    #[error("{0}; run 'doorward servers lock'")]
    NotLocked(String),
    /// A program that is needed is not on this machine.
    #[error("{0}")]
    Missing(String),
    #[error("{}: {why}", path.display())]
    Io { path: PathBuf, why: String },
}

impl Error {
    pub(crate) fn io(path: &Path, error: &std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), why: error.to_string() }
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported(what.into())
    }

    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Self::Refused(what.into())
    }

    /// The same, about a part of a package.
    #[must_use]
    pub(crate) fn about(self, what: &str) -> Self {
        match self {
            Self::Unsupported(why) => Self::Unsupported(format!("{what}: {why}")),
            Self::Refused(why) => Self::Refused(format!("{what}: {why}")),
            Self::Unreachable { url, why } => {
                Self::Unreachable { url, why: format!("{why} ({what})") }
            }
            other => other,
        }
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;
