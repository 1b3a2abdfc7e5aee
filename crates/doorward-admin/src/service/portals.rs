//! Portals.

use doorward_config::PortalSettings;
use doorward_gateway::Gateway;
use doorward_policy::Action;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Named, Removed};
use crate::desk::{self, Desk};
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::{Code, Problem};

pub const LIST: Operation<Paging, Page<Portal>> = Operation::new(
    "portals.list",
    (Verb::Get, "/admin/v1/portals"),
    "List portals; every server is also one",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { list(&desk, &input).await }),
);

pub const SHOW: Operation<Named, Portal> = Operation::new(
    "portals.show",
    (Verb::Get, "/admin/v1/portals/{name}"),
    "Show a portal",
    (Action::View, On::Named(|_, input| desk::portal(&input.name))),
    |desk, input| Box::pin(async move { find(&desk, &input.name).await }),
);

pub const PUT: Operation<Put, Portal> = Operation::new(
    "portals.put",
    (Verb::Put, "/admin/v1/portals/{name}"),
    "Create or replace a portal",
    (Action::Operate, On::Named(|_, input| desk::portal(&input.name))),
    |desk, input| Box::pin(async move { put(&desk, input).await }),
);

pub const REMOVE: Operation<Named, Removed> = Operation::new(
    "portals.remove",
    (Verb::Delete, "/admin/v1/portals/{name}"),
    "Delete a portal",
    (Action::Operate, On::Named(|_, input| desk::portal(&input.name))),
    |desk, input| Box::pin(async move { remove(&desk, &input.name).await }),
);

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Put {
    pub name: String,
    /// As in the configuration file.
    pub portal: PortalSettings,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Portal {
    pub name: String,
    /// Where clients connect; known while a gateway runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    pub source: Source,
    /// Absent for servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal: Option<PortalSettings>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Configuration,
    Store,
    /// A server, which is a portal of the same name.
    Server,
}

fn url(gateway: &Gateway, name: &str) -> String {
    format!("{}/mcp/{name}", gateway.identity.resources.origin())
}

async fn all(desk: &Desk) -> Result<Vec<Portal>, Problem> {
    let url = |name: &str| desk.maybe_gateway().map(|gateway| url(gateway, name));
    let mut all: Vec<Portal> = Vec::new();
    if let Some(settings) = desk.settings() {
        all.extend(settings.portals.iter().map(|(name, portal)| Portal {
            name: name.clone(),
            url: url(name),
            source: Source::Configuration,
            portal: Some(portal.clone()),
        }));
    }
    if let Some(store) = desk.maybe_store() {
        for stored in store.portals().await? {
            if all.iter().any(|portal| portal.name.eq_ignore_ascii_case(&stored.name)) {
                continue;
            }
            let portal = serde_json::from_str(&stored.definition).map_err(|error| {
                let name = stored.name.escape_debug();
                Problem::new(Code::Internal, format!("portal '{name}' cannot be read: {error}"))
            })?;
            all.push(Portal {
                url: url(&stored.name),
                name: stored.name,
                source: Source::Store,
                portal: Some(portal),
            });
        }
    }
    let servers = desk.maybe_gateway().map(|gateway| gateway.servers()).unwrap_or_default();
    all.extend(servers.iter().map(|server| Portal {
        name: server.name.to_string(),
        url: url(&server.name),
        source: Source::Server,
        portal: None,
    }));
    Ok(all)
}

async fn list(desk: &Desk, paging: &Paging) -> Result<Page<Portal>, Problem> {
    let all = desk.visible(Action::View, all(desk).await?, |portal| match portal.source {
        Source::Server => desk.server(&portal.name),
        _ => desk::portal(&portal.name),
    })?;
    paging.of(all, |portal| portal.name.to_lowercase())
}

async fn find(desk: &Desk, name: &str) -> Result<Portal, Problem> {
    let found = all(desk).await?.into_iter().find(|it| it.name.eq_ignore_ascii_case(name));
    found.ok_or_else(|| Problem::absent("portal", name))
}

async fn put(desk: &Desk, input: Put) -> Result<Portal, Problem> {
    let Put { name, portal } = input;
    if let Some((key, problem)) = portal.problems(&name).first() {
        return Err(Problem::invalid(format!("{key}: {problem}")));
    }
    refuse_taken(desk, &name).await?;
    let definition = serde_json::to_string(&portal)
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    desk.store()?.put_portal(&name, &definition).await?;
    desk.settle().await?;
    let url = desk.maybe_gateway().map(|gateway| url(gateway, &name));
    Ok(Portal { url, name, source: Source::Store, portal: Some(portal) })
}

async fn refuse_taken(desk: &Desk, name: &str) -> Result<(), Problem> {
    match find(desk, name).await {
        Ok(portal) if portal.source != Source::Store => {
            let name = name.escape_debug();
            let why = match portal.source {
                Source::Server => format!("'{name}' is the name of a server: choose another"),
                _ => format!("'{name}' is defined in the configuration: change it there"),
            };
            Err(Problem::new(Code::DefinedInConfiguration, why))
        }
        _ => Ok(()),
    }
}

async fn remove(desk: &Desk, name: &str) -> Result<Removed, Problem> {
    refuse_taken(desk, name).await?;
    desk.store()?.remove_portal(name).await?;
    desk.settle().await?;
    Ok(Removed { removed: name.to_owned() })
}
