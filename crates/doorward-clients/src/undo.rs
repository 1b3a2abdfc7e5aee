//! Takes out of a client's file what `setup` wrote, and nothing else.

use std::path::{Path, PathBuf};

use crate::client::Client;
use crate::disk::{self, Content};
use crate::document;
use crate::error::Error;
use crate::receipts::{Receipt, Receipts};
use crate::setup::original;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undoing {
    /// Nothing has changed since: the file is as it was before.
    Restored,
    /// The file did not exist before, and nothing has changed since.
    Deleted,
    /// The file has changed since: only the entry is taken out.
    TakenOut,
    /// The entry is not there any more.
    Gone,
}

/// What undoing a setup would do.
#[derive(Debug)]
pub struct Plan {
    pub file: PathBuf,
    pub undoing: Undoing,
    receipt: Receipt,
    before: Option<Content>,
    after: String,
}

/// Plans to take out the entry of a client in a file; `name` may be left out if there is one.
pub fn plan(
    client: Client,
    file: &Path,
    name: Option<&str>,
    receipts: &Receipts,
) -> Result<Plan, Error> {
    let all: Vec<&Receipt> = receipts
        .all
        .iter()
        .filter(|receipt| {
            name.map_or_else(
                || receipt.is_of(client, file, &receipt.name),
                |name| receipt.is_of(client, file, name),
            )
        })
        .collect();
    let receipt = match all[..] {
        [receipt] => receipt.clone(),
        [] => {
            let name = name.unwrap_or("doorward").to_owned();
            return Err(Error::NotOurs { file: file.to_owned(), name });
        }
        _ => {
            let names = all.iter().map(|receipt| receipt.name.clone()).collect();
            return Err(Error::SeveralNames { file: file.to_owned(), names });
        }
    };
    let before = disk::read(file)?;
    let text = before.as_ref().map_or("", |before| &before.text);
    let made = |undoing, after| Plan {
        file: file.to_owned(),
        undoing,
        receipt: receipt.clone(),
        before: before.clone(),
        after,
    };
    if before.is_none() {
        return Ok(made(Undoing::Gone, String::new()));
    }
    match original(&receipt, text)? {
        Some(Some(original)) => return Ok(made(Undoing::Restored, original)),
        Some(None) => return Ok(made(Undoing::Deleted, String::new())),
        None => {}
    }
    let wrong = |wrong| Error::wrong(file, text, wrong);
    if document::server(client, text, &receipt.name).map_err(wrong)?.is_none() {
        return Ok(made(Undoing::Gone, text.to_owned()));
    }
    let after =
        document::without(client, text, &receipt.name, receipt.new_parent).map_err(wrong)?;
    Ok(made(Undoing::TakenOut, after))
}

impl Plan {
    pub fn name(&self) -> &str {
        &self.receipt.name
    }

    /// The copy that stays, because it is not what the file is now.
    pub fn backup(&self) -> Option<&Path> {
        self.receipt.backup.as_deref().filter(|_| self.undoing != Undoing::Restored)
    }

    /// The file as it is, and as it would be.
    pub fn texts(&self) -> (&str, &str) {
        (self.before.as_ref().map_or("", |before| &before.text), &self.after)
    }

    pub fn execute(self, receipts: &mut Receipts) -> Result<(), Error> {
        let file = &self.file;
        if let Some(before) = &self.before {
            let mode = self.receipt.mode.unwrap_or(before.mode());
            match self.undoing {
                Undoing::Restored | Undoing::TakenOut => {
                    disk::write(file, &self.after, Some(before), mode)?;
                }
                Undoing::Deleted => {
                    disk::delete(file, before)?;
                    for folder in &self.receipt.new_folders {
                        // Only if it is empty.
                        let _ = std::fs::remove_dir(folder);
                    }
                }
                Undoing::Gone => {}
            }
        }
        if let (Undoing::Restored, Some(backup)) = (self.undoing, &self.receipt.backup) {
            // The file is the same now.
            let _ = std::fs::remove_file(backup);
        }
        receipts.all.retain(|receipt| *receipt != self.receipt);
        receipts.save()
    }
}
