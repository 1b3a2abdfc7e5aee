//! The settings in effect, and reloading them.

use doorward_config::Settings;
use doorward_policy::Action;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::desk::Desk;
use crate::openapi::Nothing;
use crate::operation::{On, Operation, Verb};
use crate::problem::{Code, Problem};

pub const SHOW: Operation<Nothing, Effective> = Operation::new(
    "settings.show",
    (Verb::Get, "/admin/v1/settings"),
    "Show the settings in effect and where each comes from, without secrets",
    (Action::View, On::Gateway),
    |desk, _| Box::pin(async move { show(&desk) }),
);

pub const RELOAD: Operation<Nothing, Reloaded> = Operation::new(
    "settings.reload",
    (Verb::Post, "/admin/v1/reload"),
    "Read the configuration file again",
    (Action::Operate, On::Gateway),
    |desk, _| Box::pin(async move { reload(&desk).await }),
);

/// The settings in effect.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Effective {
    /// As in the configuration file; secrets are `"***"`.
    pub settings: Value,
    /// For each top-level key: `default`, or `configuration` for what the file, the environment or the command line says.
    pub sources: Map<String, Value>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// Servers that were added, changed and removed.
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
    /// Keys that take effect at the next start.
    pub at_restart: Vec<String>,
}

fn show(desk: &Desk) -> Result<Effective, Problem> {
    let settings = desk
        .settings()
        .ok_or_else(|| Problem::new(Code::NotRunning, "pass --config, or --admin-url"))?;
    let (shown, default) = (settings.shown(), Settings::default().shown());
    let members = shown.as_object().cloned().unwrap_or_default();
    let sources = members.iter().map(|(name, value)| {
        let source = if default.get(name) == Some(value) { "default" } else { "configuration" };
        (name.clone(), source.into())
    });
    let sources = sources.collect();
    Ok(Effective { settings: shown, sources })
}

async fn reload(desk: &Desk) -> Result<Reloaded, Problem> {
    let reloader = desk.reloader().ok_or_else(|| {
        let why = "the gateway was started without a configuration file";
        Problem::new(Code::Conflict, why)
    })?;
    if desk.is_rehearsal() {
        let check = reloader.check().await;
        return check.map(|()| Reloaded::default()).map_err(Problem::invalid);
    }
    let changes = reloader.reload().await.map_err(Problem::invalid)?;
    desk.record("configuration.reload", "");
    Ok(Reloaded {
        added: changes.added,
        changed: changes.changed,
        removed: changes.removed,
        at_restart: changes.at_restart.into_iter().map(str::to_owned).collect(),
    })
}
