//! Setting up clients in real files, and undoing it.
#![allow(clippy::unwrap_used)]

mod fixtures;
mod hostile;
mod properties;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use doorward_clients::receipts::Receipts;
use doorward_clients::setup::{self, Outcome};
use doorward_clients::undo::{self, Undoing};
use doorward_clients::{Client, Error, Key, Scope, Wanted};

pub const URL: &str = "http://127.0.0.1:7300/mcp";

/// A home folder in which clients are set up.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn receipts(&self) -> Receipts {
        Receipts::read(self.path("data/clients.json")).unwrap()
    }

    pub fn plan(&self, client: Client, file: &Path, wanted: &Wanted) -> Result<setup::Plan, Error> {
        setup::plan(client, Scope::User, file.to_owned(), wanted, &self.receipts())
    }

    pub fn set_up(&self, client: Client, file: &Path, wanted: &Wanted) -> Result<Outcome, Error> {
        let plan = self.plan(client, file, wanted)?;
        let outcome = plan.outcome;
        plan.execute(&mut self.receipts(), "20261130T000000Z")?;
        Ok(outcome)
    }

    pub fn undo(&self, client: Client, file: &Path) -> Result<Undoing, Error> {
        let plan = undo::plan(client, file, None, &self.receipts())?;
        let undoing = plan.undoing;
        plan.execute(&mut self.receipts())?;
        Ok(undoing)
    }

    /// The files of a folder.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let names = std::fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub fn wanted(key: Key) -> Wanted {
    Wanted { name: "doorward".into(), url: URL.into(), key, command: "/opt/doorward".into() }
}

pub fn variable() -> Key {
    Key::Variable("MY_KEY".into())
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

pub fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

pub fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
