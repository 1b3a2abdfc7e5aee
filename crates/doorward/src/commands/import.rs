//! `doorward import`: creates a `doorward.yaml` from the configuration files of other programs.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use doorward_config::ServerSettings;
use serde::Serialize;

use super::{Exit, Failed};
use crate::cli::Import;
use crate::{config, terminal};

#[derive(Serialize)]
struct Servers<'a> {
    servers: &'a BTreeMap<String, ServerSettings>,
}

pub fn run(options: &Import) -> Result<(), Failed> {
    let to_stdout = options.output == Path::new("-");
    if !to_stdout && options.output.exists() && !options.force {
        let why = format!(
            "{} exists; overwrite it with --force, or choose another file with --output",
            options.output.display()
        );
        return Err(Failed::new(Exit::Failure, why));
    }
    let mut servers = BTreeMap::new();
    for path in &options.files {
        let loaded = config::load_for_import(path).map_err(|report| Failed::report(&report))?;
        for notice in &loaded.notices {
            eprintln!("{}: note: {}", path.display(), terminal::harmless(notice));
        }
        for (name, server) in loaded.settings.servers {
            merge(&mut servers, name, server, path);
        }
    }
    let text = written(&servers)?;
    if to_stdout {
        return Ok(std::io::stdout().write_all(text.as_bytes())?);
    }
    write_private(&options.output, &text)?;
    eprintln!("wrote {} with {} servers", options.output.display(), servers.len());
    Ok(())
}

/// Adds a server, unless an identical one is already there.
fn merge(
    servers: &mut BTreeMap<String, ServerSettings>,
    name: String,
    server: ServerSettings,
    path: &Path,
) {
    let clash = |servers: &BTreeMap<String, ServerSettings>, name: &str| {
        servers.keys().any(|other| other.eq_ignore_ascii_case(name))
    };
    if !clash(servers, &name) {
        servers.insert(name, server);
        return;
    }
    if servers.values().any(|other| *other == server) {
        return;
    }
    let mut count = 2;
    while clash(servers, &format!("{name}-{count}")) {
        count += 1;
    }
    let new = format!("{name}-{count}");
    eprintln!(
        "{}: note: the server '{}' is renamed to '{}' because the name is already used",
        path.display(),
        terminal::harmless(&name),
        terminal::harmless(&new)
    );
    servers.insert(new, server);
}

fn written(servers: &BTreeMap<String, ServerSettings>) -> Result<String, Failed> {
    let yaml = serde_saphyr::to_string(&Servers { servers })
        .map_err(|error| Failed::new(Exit::Failure, format!("cannot write YAML: {error}")))?;
    Ok(format!(
        "# The servers behind Doorward. Check with 'doorward check', run with 'doorward serve --config'.\n\
         # 'doorward schema' prints a JSON Schema for completion in editors.\n{yaml}"
    ))
}

/// Writes atomically, and readable only by the owner, because the file may contain credentials.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}
