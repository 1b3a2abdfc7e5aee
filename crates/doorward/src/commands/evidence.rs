//! `doorward evidence`: writes an evidence pack for auditors into a folder.

use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use doorward_admin::service::audit::{EVIDENCE, Pack};
use doorward_store::files;

use super::audit::verify;
use super::{Exit, Failed};
use crate::administer::place;
use crate::cli::Evidence;

pub async fn run(options: Evidence) -> Result<(), Failed> {
    if options.to.is_some_and(|to| to.0 <= options.from.0) {
        return Err(Failed::new(Exit::Usage, "--to must be after --from"));
    }
    let wanted = Pack {
        from: Some(options.from.0),
        to: options.to.map(|to| to.0),
        keys: verify::keys_of(&options.trust),
        trust_database: options.trust.trust_database,
    };
    let place = place(&options.kept).await?;
    let pack = place.call(&EVIDENCE, wanted).await?;
    let folder = &options.output;
    DirBuilder::new()
        .mode(0o700)
        .create(folder)
        .map_err(|error| Failed::new(Exit::Failure, format!("{}: {error}", folder.display())))?;
    if options.kept.config.is_none() && options.kept.admin_url.is_none() {
        eprintln!("note: pass the configuration with --config to include it in the pack");
    }
    verify::warn(&pack.warnings);
    verify::note_untrusted(pack.untrusted_keys);
    for (name, text) in &pack.files {
        // The gateway chooses the names: nothing may be written outside of the folder.
        let name = Path::new(name).file_name().unwrap_or_default();
        files::write(&folder.join(name), text)?;
    }
    writeln!(std::io::stdout().lock(), "{}", folder.display())?;
    match pack.intact {
        true => Ok(()),
        false => {
            let why = "THE AUDIT LOG IS NOT INTACT: see record-verification.json";
            Err(Failed::new(Exit::Failure, why))
        }
    }
}
