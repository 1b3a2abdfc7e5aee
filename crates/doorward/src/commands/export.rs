//! `doorward export`: everything that was created at run time, in the form that `doorward apply` takes.

use std::io::Write;
use std::path::Path;

use doorward_admin::Paging;
use doorward_admin::apply::EXPORT;
use doorward_admin::openapi::Nothing;
use doorward_admin::service::{clients, credentials, grants, keys};

use super::{Exit, Failed};
use crate::administer::place;
use crate::cli::Export;

pub async fn run(options: Export) -> Result<(), Failed> {
    let place = place(&options.kept).await?;
    let mut resources = place.call(&EXPORT, Nothing {}).await?;
    let mut files = None;
    if let (Some(folder), Some(policies)) = (&options.policies, &resources.policies) {
        std::fs::create_dir_all(folder)?;
        for (name, text) in policies {
            // Names may be paths of files; such folders are not created here.
            let name = Path::new(name).file_name().unwrap_or_default();
            doorward_store::files::write(&folder.join(name), text)?;
        }
        resources.policies = None;
        files = Some(serde_json::json!({ "files": [folder] }));
    }
    let mut all = serde_json::to_value(&resources)
        .map_err(|error| Failed::new(Exit::Failure, error.to_string()))?;
    if let Some(files) = files {
        all["policy"] = files;
    }
    let text = serde_saphyr::to_string(&all)
        .map_err(|error| Failed::new(Exit::Failure, error.to_string()))?;
    write!(std::io::stdout().lock(), "{text}")?;
    let paging = Paging::default();
    let counts = [
        (
            place.list(&keys::LIST, &keys::List::default()).await?.len(),
            "API keys",
            "only their hashes are stored",
        ),
        (place.list(&credentials::LIST, &paging).await?.len(), "credentials", "they are encrypted"),
        (
            place.list(&grants::LIST, &grants::List::default()).await?.len(),
            "grants of users",
            "only the user can grant them",
        ),
        (
            place.list(&clients::LIST, &paging).await?.len(),
            "registered clients",
            "they register again when needed",
        ),
    ];
    for (count, what, why) in counts {
        if count > 0 {
            eprintln!("note: {count} {what} are not exported: {why}");
        }
    }
    Ok(())
}
