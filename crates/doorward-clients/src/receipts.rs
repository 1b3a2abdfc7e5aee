//! What was written where: so that it can be taken out again, and only that.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::disk;
use crate::error::Error;

/// Entries that are remembered.
const MAX_RECEIPTS: usize = 1_000;

/// One entry that was written into a client's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub client: String,
    pub file: PathBuf,
    pub name: String,
    /// SHA-256 of the file as it was written.
    pub written: String,
    /// The file as it was before, if there was one.
    pub backup: Option<PathBuf>,
    /// There was no file before.
    pub new_file: bool,
    /// The object that contains the servers was made for the entry.
    pub new_parent: bool,
    /// Folders that were made for the file, the innermost first.
    #[serde(default)]
    pub new_folders: Vec<PathBuf>,
    /// The mode that the file had, if it was narrowed because of a key.
    #[serde(default)]
    pub mode: Option<u32>,
}

impl Receipt {
    pub fn is_of(&self, client: Client, file: &Path, name: &str) -> bool {
        self.client == client.id() && self.file == file && self.name == name
    }
}

/// All that is remembered on this machine, in a file of the user.
pub struct Receipts {
    path: PathBuf,
    before: Option<disk::Content>,
    pub all: Vec<Receipt>,
}

#[derive(Default, Serialize, Deserialize)]
struct Form {
    written: Vec<Receipt>,
}

impl Receipts {
    pub fn read(path: PathBuf) -> Result<Self, Error> {
        let before = disk::read(&path)?;
        let form = match &before {
            None => Form::default(),
            Some(content) => serde_json::from_str(&content.text)
                .map_err(|error| Error::Receipts { path: path.clone(), why: error.to_string() })?,
        };
        Ok(Self { path, before, all: form.written })
    }

    pub fn find(&self, client: Client, file: &Path, name: &str) -> Option<&Receipt> {
        self.all.iter().find(|receipt| receipt.is_of(client, file, name))
    }

    pub fn forget(&mut self, client: Client, file: &Path, name: &str) {
        self.all.retain(|receipt| !receipt.is_of(client, file, name));
    }

    pub fn remember(&mut self, receipt: Receipt) -> Result<(), Error> {
        self.all.retain(|it| {
            (&it.client, &it.file, &it.name) != (&receipt.client, &receipt.file, &receipt.name)
        });
        if self.all.len() >= MAX_RECEIPTS {
            let why = format!("it has {MAX_RECEIPTS} entries; undo those that are not used");
            return Err(Error::Receipts { path: self.path.clone(), why });
        }
        self.all.push(receipt);
        Ok(())
    }

    pub fn save(&mut self) -> Result<(), Error> {
        let form = Form { written: self.all.clone() };
        let text = format!("{:#}\n", serde_json::to_value(&form).unwrap_or_default());
        disk::make_folders(&self.path, 0o600)?;
        disk::write(&self.path, &text, self.before.as_ref(), 0o600)?;
        self.before = disk::read(&self.path)?;
        Ok(())
    }
}

/// SHA-256 of a text, in hexadecimal digits.
pub fn digest(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
