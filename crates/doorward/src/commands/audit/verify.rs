//! `doorward audit verify`: whether the record is what was written.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_store::{KeyPlace, MasterKey, PublicKeys, Report, Store, Verifier, key_id};

use crate::cli::Kept;
use crate::commands::{Exit, Failed, open};
use crate::config;
use crate::terminal::{self, one_line};

pub async fn run(
    kept: &Kept,
    files: &[PathBuf],
    keys: &[String],
    anchors: &[PathBuf],
    json: bool,
) -> Result<(), Failed> {
    let mut trusted = read_keys(keys)?;
    let mut anchors = anchors.to_vec();
    let report = if files.is_empty() {
        let store = open(kept).await?;
        if trusted.is_empty() {
            trusted = own_keys(kept, &store).await?;
        }
        anchors.extend(own_anchor(kept)?);
        let mut verifier = Verifier::new(trusted, true);
        for anchor in &anchors {
            each_line(anchor, |line| verifier.gather(line))?;
        }
        store.verify_audit(verifier).await?
    } else {
        if trusted.is_empty() {
            let why = "say with --public-key whose checkpoints are trusted: 'doorward audit key' prints it";
            return Err(Failed::new(Exit::Usage, why));
        }
        let mut verifier = Verifier::new(trusted, false);
        for file in anchors.iter().chain(files) {
            each_line(file, |line| verifier.gather(line))?;
        }
        for file in files {
            each_line(file, |line| verifier.check(line))?;
        }
        verifier.finish()
    };
    tell(&report, json)?;
    if report.is_good() { Ok(()) } else { Err(Failed::silent(Exit::Failure)) }
}

fn each_line(path: &Path, mut take: impl FnMut(&str)) -> Result<(), Failed> {
    let failed = |error| Failed::new(Exit::Failure, format!("{}: {error}", path.display()));
    let file = BufReader::new(std::fs::File::open(path).map_err(failed)?);
    for line in file.lines() {
        let line = line.map_err(failed)?;
        if !line.is_empty() {
            take(&line);
        }
    }
    Ok(())
}

fn tell(report: &Report, json: bool) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    if json {
        return Ok(terminal::json(&mut out, report)?);
    }
    for finding in &report.findings {
        writeln!(
            out,
            "{}",
            terminal::paint(&one_line(&finding.to_string()), "31", terminal::color())
        )?;
    }
    if report.more > 0 {
        writeln!(out, "and {} more", report.more)?;
    }
    writeln!(
        out,
        "{} records in {} chains, {} checkpoints, {} records taken away in due time",
        report.records,
        report.chains.len(),
        report.checkpoints,
        report.removed
    )?;
    let open: i64 = report.chains.values().map(|chain| chain.last - chain.checkpointed).sum();
    if open > 0 {
        writeln!(out, "{open} records are newer than the last checkpoint that vouches for them")?;
    }
    let verdict = if report.is_good() {
        ("the record is whole", "32")
    } else {
        ("THE RECORD IS NOT WHOLE", "1;31")
    };
    writeln!(out, "{}", terminal::paint(verdict.0, verdict.1, terminal::color()))?;
    Ok(())
}

pub fn encode(public: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(public)
}

fn read_keys(texts: &[String]) -> Result<PublicKeys, Failed> {
    let mut keys = PublicKeys::new();
    for text in texts {
        // As it is printed, with or without its id.
        let text = text.split_whitespace().last().unwrap_or_default();
        let key = URL_SAFE_NO_PAD.decode(text).ok().filter(|key| key.len() == 32);
        let wrong = || Failed::new(Exit::Usage, format!("'{text}' is no Ed25519 key in base64url"));
        let key = key.ok_or_else(wrong)?;
        keys.insert(key_id(&key), key);
    }
    Ok(keys)
}

/// The keys of this gateway, by its own word: a file, what it has sealed, or at last what the database
/// says, which whoever can change records can change, too.
pub async fn own_keys(kept: &Kept, store: &Store) -> Result<PublicKeys, Failed> {
    let settings = match &kept.config {
        Some(path) => Some(config::load(path).map_err(|report| Failed::report(&report))?.settings),
        None => None,
    };
    let beside = store.location().audit_key_file();
    let file = settings.as_ref().and_then(|settings| {
        let folder = kept.config.as_deref().and_then(Path::parent)?;
        Some(folder.join(settings.audit.key_file.as_ref()?))
    });
    let mut keys = PublicKeys::new();
    for path in file.into_iter().chain(beside).filter(|path| path.exists()) {
        let key = store.audit_key(&KeyPlace::File(path)).await?;
        keys.insert(key.id.clone(), key.public_bytes());
    }
    let sealing = settings.and_then(|settings| settings.store_key);
    if let Some(master) = sealing.and_then(|secret| MasterKey::new(secret.expose()).ok()) {
        for key in store.open_audit_keys(&master).await? {
            keys.insert(key.id.clone(), key.public_bytes());
        }
    }
    let said = store.audit_public_keys().await?;
    let unproven = said.keys().filter(|id| !keys.contains_key(*id)).count();
    if unproven > 0 {
        eprintln!(
            "note: {unproven} of the keys that signed are known from the database alone, whose records they vouch \
             for; name the configuration with --config, or the key with --public-key"
        );
        for (id, key) in said {
            keys.entry(id).or_insert(key);
        }
    }
    Ok(keys)
}

/// The file to which the configuration has checkpoints appended.
fn own_anchor(kept: &Kept) -> Result<Option<PathBuf>, Failed> {
    let Some(path) = &kept.config else { return Ok(None) };
    let settings = config::load(path).map_err(|report| Failed::report(&report))?.settings;
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(settings.audit.anchor.map(|anchor| folder.join(anchor)).filter(|anchor| anchor.exists()))
}
