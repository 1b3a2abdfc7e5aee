//! `doorward audit verify`: whether the audit log is intact.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_store::{AuditKey, MasterKey, PublicKeys, Report, Store, Verifier, files, key_id};

use crate::cli::{Kept, Trust};
use crate::commands::{Exit, Failed, open};
use crate::config;
use crate::terminal::{self, one_line};

pub async fn run(
    kept: &Kept,
    files: &[PathBuf],
    trust: &Trust,
    anchors: &[PathBuf],
    json: bool,
) -> Result<(), Failed> {
    let report = if files.is_empty() {
        let store = open(kept).await?;
        of_store(kept, trust, anchors, &store).await?.0
    } else {
        let trusted = read_keys(&trust.keys)?;
        if trusted.is_empty() {
            let why = "no trusted key: pass one with --public-key; 'doorward audit key' prints it";
            return Err(Failed::new(Exit::Usage, why));
        }
        let mut verifier = Verifier::new(trusted, false).trusting_database(trust.trust_database);
        for anchor in anchors {
            read_anchor(&mut verifier, anchor)?;
        }
        for file in files {
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

/// Checks a database against the anchors that are named and the configuration's own. Returns the keys that were
/// trusted, too.
pub async fn of_store(
    kept: &Kept,
    trust: &Trust,
    anchors: &[PathBuf],
    store: &Store,
) -> Result<(Report, PublicKeys), Failed> {
    let keys = trusted(trust, kept, store).await?;
    let mut verifier = Verifier::new(keys.clone(), true).trusting_database(trust.trust_database);
    for anchor in anchors {
        read_anchor(&mut verifier, anchor)?;
    }
    match own_anchor(kept)? {
        Some(own) if own.try_exists()? => read_anchor(&mut verifier, &own)?,
        Some(own) => verifier.no_anchor(&own.display().to_string()),
        None => {}
    }
    Ok((store.verify_audit(verifier).await?, keys))
}

fn read_anchor(verifier: &mut Verifier, path: &Path) -> Result<(), Failed> {
    warn_of_others(path, 0o022, "write");
    let name = path.display().to_string();
    let (mut number, mut has_checkpoint) = (0, false);
    each_line(path, |line| {
        number += 1;
        has_checkpoint |= verifier.anchor(&name, number, line);
    })?;
    if !has_checkpoint {
        verifier.no_anchor(&name);
    }
    Ok(())
}

/// What others can write proves nothing, and with a key that others can read anybody signs.
fn warn_of_others(path: &Path, mode: u32, what: &str) {
    if let Some(is) = files::open_to_others(path, mode) {
        let path = one_line(&path.display().to_string());
        eprintln!("warning: others may {what} {path} (mode {is:04o}), so it proves nothing");
    }
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
        "{} records in {} chains, {} checkpoints, {} records removed by retention",
        report.records,
        report.chains.len(),
        report.checkpoints,
        report.removed
    )?;
    let open: i64 = report.chains.values().map(|chain| chain.last - chain.checkpointed).sum();
    if open > 0 {
        writeln!(out, "{open} records are newer than the last checkpoint that covers them")?;
    }
    let verdict = if report.is_good() {
        ("the audit log is intact", "32")
    } else {
        ("THE RECORD IS NOT WHOLE", "1;31")
    };
    writeln!(out, "{}", terminal::paint(verdict.0, verdict.1, terminal::color()))?;
    Ok(())
}

/// What stands before a key: without it one in 64 would begin with a hyphen.
const KEY_PREFIX: &str = "ed25519:";

pub fn encode(public: &[u8]) -> String {
    format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(public))
}

/// The keys whose signatures are trusted: those that are named, or else the gateway's own.
async fn trusted(trust: &Trust, kept: &Kept, store: &Store) -> Result<PublicKeys, Failed> {
    let mut keys = if trust.keys.is_empty() {
        own_keys(kept, store, false).await?
    } else {
        read_keys(&trust.keys)?
    };
    let said = store.audit_public_keys().await?;
    let unproven = said.keys().filter(|id| !keys.contains_key(*id)).count();
    if unproven > 0 && trust.trust_database {
        keys.extend(said);
    } else if unproven > 0 {
        eprintln!(
            "note: {unproven} of the keys in the database are not trusted, because anyone who can \
                write records can also write keys; pass the configuration with --config, more \
                keys with --public-key, or use --trust-database"
        );
    }
    Ok(keys)
}

fn read_keys(texts: &[String]) -> Result<PublicKeys, Failed> {
    let mut keys = PublicKeys::new();
    for text in texts.iter().flat_map(|text| text.lines()).filter(|line| !line.trim().is_empty()) {
        // As it is printed, with or without its id, or as it was before it had a prefix: after its id.
        let marked = text.split_whitespace().find_map(|part| part.strip_prefix(KEY_PREFIX));
        let text = marked.or_else(|| text.split_whitespace().last()).unwrap_or_default();
        let key = URL_SAFE_NO_PAD.decode(text).ok().filter(|key| key.len() == 32);
        let wrong =
            || Failed::new(Exit::Usage, format!("'{text}' is not an Ed25519 key in base64url"));
        let key = key.ok_or_else(wrong)?;
        keys.insert(key_id(&key), key);
    }
    Ok(keys)
}

/// The keys of this gateway: of its file, and what it has sealed. What the database alone says, whoever can
/// change records can change, too; it counts only where that is wanted.
pub async fn own_keys(
    kept: &Kept,
    store: &Store,
    trust_database: bool,
) -> Result<PublicKeys, Failed> {
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
        warn_of_others(&path, 0o077, "open");
        let key = AuditKey::open(&path)?;
        keys.insert(key.id.clone(), key.public_bytes());
    }
    let sealing = settings.and_then(|settings| settings.store_key);
    if let Some(master) = sealing.and_then(|secret| MasterKey::new(secret.expose()).ok()) {
        for key in store.open_audit_keys(&master).await? {
            keys.insert(key.id.clone(), key.public_bytes());
        }
    }
    if trust_database {
        keys.extend(store.audit_public_keys().await?);
    }
    Ok(keys)
}

/// The file to which the configuration has checkpoints appended.
fn own_anchor(kept: &Kept) -> Result<Option<PathBuf>, Failed> {
    let Some(path) = &kept.config else { return Ok(None) };
    let settings = config::load(path).map_err(|report| Failed::report(&report))?.settings;
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(settings.audit.anchor.map(|anchor| folder.join(anchor)))
}
