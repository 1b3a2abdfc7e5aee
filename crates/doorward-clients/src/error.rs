//! Why a client cannot be set up or restored: what, where, why, and what to do.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::client::Client;
use crate::disk;
use crate::document::line_and_column;
use crate::jsonc::Wrong;

#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Disk(#[from] disk::Error),
    #[error("{}:{line}:{column}: {what}. Nothing was changed; correct the file and try again", .file.display())]
    Wrong { file: PathBuf, line: usize, column: usize, what: String },
    #[error("{}:{line}: there is an entry '{name}' already, which 'doorward clients setup' did not write. Choose another name with --name, or remove the entry", .file.display())]
    Taken { file: PathBuf, line: usize, name: String },
    #[error("{client} has more than one configuration file here: {}. Name the one that is meant with --file", list(.files))]
    Several { client: Client, files: Vec<PathBuf> },
    #[error("{0} has no file for a project; use --scope user")]
    NoProject(Client),
    #[error("{} is usually committed, and would show the key to everybody; use --key-env VARIABLE, or --scope user", .0.display())]
    KeyInProject(PathBuf),
    #[error("{0}")]
    Key(String),
    #[error("the folder {} is a symbolic link, and could lead out of the project; name the file that is meant with --file", .0.display())]
    LinkedFolder(PathBuf),
    #[error("{}: {why}", .path.display())]
    Receipts { path: PathBuf, why: String },
    #[error("there is no entry '{name}' in {} that 'doorward clients setup' wrote. Nothing was changed", .file.display())]
    NotOurs { file: PathBuf, name: String },
    #[error("{} has entries by several names: {}. Choose one with --name", .file.display(), .names.join(", "))]
    SeveralNames { file: PathBuf, names: Vec<String> },
}

impl Error {
    pub fn wrong(file: &Path, text: &str, wrong: Wrong) -> Self {
        let (line, column) = line_and_column(text, wrong.at);
        Self::Wrong { file: file.to_owned(), line, column, what: wrong.what }
    }
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}
