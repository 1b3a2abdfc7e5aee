//! Points a client at an endpoint: a plan first, which changes nothing, then its execution.

use std::path::{Path, PathBuf};

use crate::client::{Client, Scope};
use crate::disk::{self, Content};
use crate::document;
use crate::entry::{self, Key, Wanted};
use crate::error::Error;
use crate::places::{Surroundings, places};
use crate::receipts::{Receipt, Receipts, digest};
use crate::value::covers;

/// The members of entries that Doorward writes, for any client.
const OURS: [&str; 10] = [
    "type",
    "url",
    "serverUrl",
    "httpUrl",
    "headers",
    "command",
    "args",
    "env",
    "bearer_token_env_var",
    "http_headers",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The entry is there already.
    Unchanged,
    Added,
    /// An entry that was written before gets another endpoint or key.
    Replaced,
}

/// What a setup would do.
#[derive(Debug)]
pub struct Plan {
    pub client: Client,
    pub file: PathBuf,
    pub name: String,
    pub outcome: Outcome,
    before: Option<Content>,
    after: String,
    /// The mode of the file afterwards.
    mode: u32,
    /// What becomes of an earlier receipt's backup.
    kept: Option<Receipt>,
    new_parent: bool,
}

/// What was done.
#[derive(Debug)]
pub struct Done {
    /// The file as it was before.
    pub backup: Option<PathBuf>,
}

/// The file to write: the one that was named, or the one place of the client.
pub fn file(
    client: Client,
    scope: Scope,
    named: Option<&Path>,
    around: &Surroundings<'_>,
) -> Result<PathBuf, Error> {
    if let Some(named) = named {
        return Ok(std::path::absolute(named).unwrap_or_else(|_| named.to_owned()));
    }
    let mut all = places(client, scope, around);
    if all.is_empty() {
        return Err(Error::NoProject(client));
    }
    let there: Vec<_> =
        all.iter().filter(|path| path.symlink_metadata().is_ok()).cloned().collect();
    if there.len() > 1 {
        return Err(Error::Several { client, files: there });
    }
    let file = there.into_iter().next().unwrap_or_else(|| all.remove(0));
    let linked = disk::link_on_the_way(&around.project, &file);
    match linked.filter(|_| scope == Scope::Project) {
        Some(folder) => Err(Error::LinkedFolder(folder)),
        None => Ok(file),
    }
}

/// Plans the entry of a client in its file.
pub fn plan(
    client: Client,
    scope: Scope,
    file: PathBuf,
    wanted: &Wanted,
    receipts: &Receipts,
) -> Result<Plan, Error> {
    let entry = entry::entry(client, wanted).map_err(Error::Key)?;
    let private = matches!(wanted.key, Key::Literal(_));
    if private && scope == Scope::Project {
        return Err(Error::KeyInProject(file));
    }
    let before = disk::read(&file)?;
    let text = before.as_ref().map_or("", |before| &before.text);
    let wrong = |wrong| Error::wrong(&file, text, wrong);
    let there = document::server(client, text, &wanted.name).map_err(wrong)?;
    let receipt = receipts.find(client, &file, &wanted.name);
    let new_mode = if scope == Scope::Project { 0o644 } else { 0o600 };
    let mode = before.as_ref().map_or(new_mode, Content::mode);
    let mode = if private { mode & 0o700 } else { mode };
    let name = wanted.name.clone();
    let mut plan = Plan {
        client,
        name,
        outcome: Outcome::Added,
        after: text.to_owned(),
        mode,
        kept: None,
        new_parent: false,
        before: None,
        file: PathBuf::new(),
    };
    let mut base = text.to_owned();
    if let Some(there) = &there {
        if says_the_same(&there.value, &entry.value.to_serde()) {
            plan.outcome = Outcome::Unchanged;
            return Ok(Plan { before, file, ..plan });
        }
        let Some(receipt) = receipt else {
            let (line, _) = document::line_and_column(text, there.at);
            return Err(Error::Taken { file, line, name: plan.name });
        };
        plan.outcome = Outcome::Replaced;
        match original(receipt, text)? {
            Some(original) => {
                base = original.unwrap_or_default();
                plan.kept = Some(receipt.clone());
            }
            None => {
                base = document::without(client, text, &wanted.name, receipt.new_parent)
                    .map_err(wrong)?;
            }
        }
    }
    plan.new_parent = !document::has_parent(client, &base).map_err(wrong)?;
    plan.after = document::with(client, &base, &wanted.name, &entry).map_err(wrong)?;
    Ok(Plan { before, file, ..plan })
}

/// What a file was before an entry was written into it, if it has not been changed since: `Some(None)` if there was no
/// file.
pub fn original(receipt: &Receipt, text: &str) -> Result<Option<Option<String>>, Error> {
    if digest(text) != receipt.written {
        return Ok(None);
    }
    match &receipt.backup {
        None if receipt.new_file => Ok(Some(None)),
        None => Ok(None),
        Some(backup) => Ok(disk::read(backup)?.map(|content| Some(content.text))),
    }
}

fn says_the_same(there: &serde_json::Value, wanted: &serde_json::Value) -> bool {
    there.is_object()
        && OURS.iter().all(|name| match (there.get(name), wanted.get(name)) {
            (Some(there), Some(wanted)) => covers(there, wanted),
            (there, wanted) => there.is_none() && wanted.is_none(),
        })
}

impl Plan {
    /// The servers of the file, but for this entry.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn others(&self) -> Result<Vec<(String, serde_json::Value)>, Error> {
        let (before, _) = self.texts();
        let servers = document::servers(self.client, before);
        let servers = servers.map_err(|wrong| Error::wrong(&self.file, before, wrong))?;
        let others = servers.into_iter().filter(|server| server.name != self.name);
        Ok(others.map(|server| (server.name, server.value)).collect())
    }

    /// The same, with some of the other servers taken out.
    ///
    /// # Errors
    /// The file cannot be changed in this place.
    pub fn without(mut self, names: &[String]) -> Result<Self, Error> {
        for name in names {
            let after = document::without(self.client, &self.after, name, false);
            self.after = after.map_err(|wrong| Error::wrong(&self.file, &self.after, wrong))?;
        }
        Ok(self)
    }

    /// The file as it is, and as it would be.
    pub fn texts(&self) -> (&str, &str) {
        (self.before.as_ref().map_or("", |before| &before.text), &self.after)
    }

    /// Writes the file, with a copy beside it. `time` is part of the copy's name.
    pub fn execute(self, receipts: &mut Receipts, time: &str) -> Result<Done, Error> {
        if self.outcome == Outcome::Unchanged {
            return Ok(Done { backup: None });
        }
        let new_folders = disk::make_folders(&self.file, self.mode)?;
        let copied = match (&self.kept, &self.before) {
            (None, Some(before)) => Some(disk::copy(&self.file, &before.text, time)?),
            _ => None,
        };
        let mut receipt = self.kept.clone().unwrap_or_else(|| Receipt {
            client: self.client.id().into(),
            file: self.file.clone(),
            name: self.name.clone(),
            written: String::new(),
            // A copy that has an older entry of ours is not what `undo` restores.
            backup: copied.clone().filter(|_| self.outcome == Outcome::Added),
            new_file: self.before.is_none(),
            new_parent: self.new_parent,
            new_folders,
            mode: None,
        });
        receipt.written = digest(&self.after);
        receipt.new_parent = self.new_parent;
        let mode_before = self.before.as_ref().map(Content::mode).filter(|mode| *mode != self.mode);
        receipt.mode = receipt.mode.or(mode_before);
        let backup = copied.clone().or_else(|| receipt.backup.clone());
        let earlier = receipts.find(self.client, &self.file, &self.name).cloned();
        receipts.remember(receipt)?;
        // Remembered before it is written: what is in a file can always be taken out again.
        let written = receipts.save().and_then(|()| {
            Ok(disk::write(&self.file, &self.after, self.before.as_ref(), self.mode)?)
        });
        if let Err(error) = written {
            receipts.forget(self.client, &self.file, &self.name);
            if let Some(earlier) = earlier {
                receipts.remember(earlier)?;
            }
            let _ = receipts.save();
            if let Some(copy) = copied {
                let _ = std::fs::remove_file(copy);
            }
            return Err(error);
        }
        Ok(Done { backup })
    }
}
