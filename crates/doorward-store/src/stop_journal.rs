//! Stops that are not in the store yet, one file each: they survive a restart while the database is
//! unavailable. Gateways on one machine that use one store share the folder.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use doorward_governance::stops::Stop;

use serde::{Deserialize, Serialize};

use crate::audit::Actor;
use crate::files;

/// Maximum size of a file that is read.
const LONGEST: u64 = 64 << 10;
/// Maximum number of files that are read.
const MOST: usize = 2_000;

/// A stop, and the actors that set and lifted it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StopEntry {
    pub stop: Stop,
    pub set_by: Hand,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted_by: Option<Hand>,
}

/// An actor, as audit records name it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hand {
    pub via: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

impl Hand {
    pub fn of(actor: &Actor) -> Self {
        Self { via: actor.via.into(), name: actor.name.clone(), address: actor.address.clone() }
    }

    pub fn actor(&self) -> Actor {
        let via = match self.via.as_str() {
            "admin" => "admin",
            "machine" => "machine",
            _ => "gateway",
        };
        Actor { via, name: self.name.clone(), address: self.address.clone() }
    }
}

/// A folder of entries, `ID.json` each.
#[derive(Debug, Clone)]
pub struct StopJournal(PathBuf);

impl StopJournal {
    /// Opens the folder, creating it if necessary.
    pub fn open(folder: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(Self(folder.to_owned()))
    }

    /// When an entry was last added or removed.
    pub fn changed(&self) -> Option<SystemTime> {
        fs::metadata(&self.0).ok()?.modified().ok()
    }

    fn path(&self, id: &str) -> Option<PathBuf> {
        // A name that is a path is not an id.
        let plain = !id.is_empty() && id.len() <= 64 && id.bytes().all(|it| it.is_ascii_hexdigit());
        plain.then(|| self.0.join(format!("{id}.json")))
    }

    /// Writes an entry and syncs it to disk.
    pub fn write(&self, entry: &StopEntry) -> io::Result<()> {
        let path = self.path(&entry.stop.id).ok_or(io::ErrorKind::InvalidInput)?;
        let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut file = files::create(&unfinished)?;
        file.write_all(&serde_json::to_vec(entry)?)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        fs::File::open(&self.0)?.sync_all()
    }

    /// Removes an entry. Succeeds if there is none.
    pub fn remove(&self, id: &str) -> io::Result<()> {
        let Some(path) = self.path(id) else { return Ok(()) };
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// All entries. An unreadable one is logged and left in place.
    pub fn read(&self) -> io::Result<Vec<StopEntry>> {
        let mut entries = Vec::new();
        for found in fs::read_dir(&self.0)?.take(2 * MOST) {
            let path = found?.path();
            if path.extension().is_none_or(|of| of != "json") || entries.len() >= MOST {
                continue;
            }
            match read(&path) {
                Ok(entry) if self.path(&entry.stop.id).as_ref() == Some(&path) => {
                    entries.push(entry);
                }
                Ok(_) => {
                    tracing::error!(file = %path.display(), "the file of a stop names another");
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::error!(file = %path.display(), %error, "the file of a stop cannot be read");
                }
            }
        }
        Ok(entries)
    }
}

fn read(path: &Path) -> io::Result<StopEntry> {
    if fs::metadata(path)?.len() > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long"));
    }
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_governance::stops::{StopKind, StopMode, Target};

    fn entry(id: &str) -> StopEntry {
        let target = Target::new(StopKind::Server, "mail").unwrap();
        let (why, by) = ("why".into(), "me".into());
        let stop =
            Stop { id: id.into(), target, why, by, at: 1, mode: StopMode::Cancel, lifted: None };
        let set_by = Hand { via: "admin".into(), name: "me".into(), address: None };
        StopEntry { stop, set_by, lifted_by: None }
    }

    #[test]
    fn an_entry_is_there_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let journal = StopJournal::open(&folder.path().join("a/b")).unwrap();
        assert!(journal.read().unwrap().is_empty());
        journal.write(&entry("ab12")).unwrap();
        journal.write(&entry("ab12")).unwrap();
        assert_eq!(journal.read().unwrap(), [entry("ab12")]);
        journal.remove("ab12").unwrap();
        journal.remove("ab12").unwrap();
        assert!(journal.read().unwrap().is_empty());
    }

    #[test]
    fn what_is_no_entry_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let journal = StopJournal::open(folder.path()).unwrap();
        assert!(journal.write(&entry("../x")).is_err());
        fs::write(folder.path().join("bad.json"), "{").unwrap();
        fs::write(folder.path().join("ff.json"), vec![b' '; 70 << 10]).unwrap();
        fs::write(folder.path().join("ab.1.tmp"), "{").unwrap();
        fs::write(folder.path().join("aa.json"), serde_json::to_vec(&entry("bb")).unwrap())
            .unwrap();
        assert!(journal.read().unwrap().is_empty());
    }
}
