//! Exports records to a file, one JSON line each: rotated when it is large or old, and then compressed.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use doorward_store::files;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::Outgoing;
use doorward_config::FileExport;

pub struct FileSink {
    settings: FileExport,
}

impl FileSink {
    pub fn new(settings: &FileExport) -> Self {
        Self { settings: settings.clone() }
    }

    pub async fn deliver(&self, records: Vec<Outgoing>) -> Result<(), String> {
        let settings = self.settings.clone();
        let path = settings.path.clone();
        let written = tokio::task::spawn_blocking(move || write(&settings, &records)).await;
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        written.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }
}

fn write(settings: &FileExport, records: &[Outgoing]) -> io::Result<()> {
    let open = || files::append(&settings.path);
    let mut file = open()?;
    if is_full(&file, settings)? {
        drop(file);
        rotate(settings)?;
        file = open()?;
    }
    let bytes = records.iter().map(|record| record.text.len() + 1).sum();
    let mut text = String::with_capacity(bytes);
    for record in records {
        text.push_str(&record.text);
        text.push('\n');
    }
    let before = file.metadata()?.len();
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
    if written.is_err() {
        // Half a line would make the next one unreadable.
        let _ = file.set_len(before);
    }
    written
}

fn is_full(file: &File, settings: &FileExport) -> io::Result<bool> {
    let about = file.metadata()?;
    let age = about
        .created()
        .or_else(|_| about.modified())
        .map(|since| SystemTime::now().duration_since(since).unwrap_or(Duration::ZERO));
    let old = age.is_ok_and(|age| age >= settings.rotate_every.0);
    Ok(about.len() > 0 && (about.len() >= settings.rotate_at.0 as u64 || old))
}

/// Renames the file by its time, compresses it, and deletes files beyond the limit.
fn rotate(settings: &FileExport) -> io::Result<()> {
    let path = &settings.path;
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ").to_string();
    let full = beside(path, &format!("{now}."));
    std::fs::rename(path, &full)?;
    let packed = PathBuf::from(format!("{}.gz", full.display()));
    let fresh = PathBuf::from(format!("{}.part", packed.display()));
    let mut encoder = GzEncoder::new(files::create(&fresh)?, Compression::default());
    io::copy(&mut File::open(&full)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    std::fs::rename(&fresh, &packed)?;
    std::fs::remove_file(&full)?;
    if let Some(keep) = settings.keep {
        let mut packed = packed_files(path)?;
        packed.sort();
        let many = packed.len().saturating_sub(keep);
        for old in packed.drain(..many) {
            std::fs::remove_file(old)?;
        }
    }
    Ok(())
}

/// `audit.jsonl` as `audit.TIME.jsonl`.
fn beside(path: &Path, infix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (stem, ending) = name.rsplit_once('.').unwrap_or((&name, "jsonl"));
    path.with_file_name(format!("{stem}.{infix}{ending}"))
}

fn packed_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (stem, ending) = name.rsplit_once('.').unwrap_or((&name, "jsonl"));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = std::fs::read_dir(folder.unwrap_or(Path::new(".")))?;
    let ending = format!(".{ending}.gz");
    let beginning = format!("{stem}.");
    Ok(entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with(&beginning) && name.ends_with(&ending)
        })
        .map(|entry| entry.path())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_config::{ByteSize, Period};

    #[test]
    fn a_full_file_is_compressed_and_the_oldest_go() {
        let folder = std::env::temp_dir().join(format!("doorward-export-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let settings = FileExport {
            path: folder.join("audit.jsonl"),
            rotate_at: ByteSize(100),
            rotate_every: Period(Duration::from_secs(3600)),
            keep: Some(2),
        };
        for number in 0..10 {
            let record = Outgoing {
                id: format!("w/{number}"),
                at: 0,
                bad: false,
                text: format!("{{\"n\":{number},\"text\":\"{}\"}}", "x".repeat(60)),
            };
            write(&settings, &[record]).unwrap();
        }
        let packed = packed_files(&settings.path).unwrap();
        assert_eq!(packed.len(), 2, "{packed:?}");
        let last = packed.iter().max().unwrap();
        let mut text = String::new();
        io::Read::read_to_string(
            &mut flate2::read::GzDecoder::new(File::open(last).unwrap()),
            &mut text,
        )
        .unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("\"n\":6") && text.contains("\"n\":7"), "{text}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
