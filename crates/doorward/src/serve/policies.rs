//! The policy files of the configuration, reloaded when they change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use doorward_config::Settings;
use doorward_gateway::Gateway;
use tokio_util::task::AbortOnDropHandle;

use crate::commands::policy::try_read;

/// How often the files are checked for changes.
const EVERY: Duration = Duration::from_millis(500);

/// The policies that the settings name; `None` if they name none.
pub fn declared(settings: &Settings) -> Result<Option<BTreeMap<String, String>>, String> {
    if settings.policy.files.is_empty() {
        return Ok(None);
    }
    try_read(&settings.policy.files).map(|files| Some(files.policies))
}

/// Follows the files while the handle lives. Invalid ones are refused, and logged once.
pub fn follow(gateway: &Arc<Gateway>) -> AbortOnDropHandle<()> {
    let gateway = gateway.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut told = String::new();
        loop {
            tokio::time::sleep(EVERY).await;
            let settings = gateway.settings();
            let read = tokio::task::spawn_blocking(move || declared(&settings)).await;
            let refused = match read {
                Ok(Ok(files)) => match gateway.declare_policies(files).await {
                    Ok(()) => String::new(),
                    Err(all) => all.iter().map(|one| format!("{one}\n")).collect(),
                },
                Ok(Err(why)) => why,
                Err(_) => continue,
            };
            if refused != told && !refused.is_empty() {
                for line in refused.lines() {
                    tracing::error!(
                        "the new policies are invalid; the previous ones stay active: {line}"
                    );
                }
            }
            told = refused;
        }
    }))
}
