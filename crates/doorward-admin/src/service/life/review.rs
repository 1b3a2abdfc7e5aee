//! What a reviewer has to know of a server: where it is, what it offers, how much harm that can do, and what it would newly
//! let whom do.

use doorward_config::ServerSettings;
use doorward_gateway::Gateway;
use doorward_gateway::access::targets::{action_on, target_of};
use doorward_gateway::gateway::looking::{Look, NoLook};
use doorward_identity::identity::directory::{People, Said, declared_entries, kind_of};
use doorward_policy::{Principal, PrincipalKind, TargetKind};
use doorward_store::{Kind, Store, StoredServer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scan::{self, Suspicious};

/// Principals and items that are decided on, decisions in all, and names that are listed for each principal.
const MOST_PRINCIPALS: usize = 1_000;
const MOST_ITEMS: usize = 2_000;
const MOST_DECISIONS: usize = 200_000;
const MOST_NAMES: usize = 50;

/// A server, as a reviewer sees it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Review {
    pub server: StoredServer,
    /// The settings, with secrets replaced.
    pub settings: serde_json::Value,
    /// What connects where: a line for each address or program.
    pub connects: Vec<String>,
    /// What the last look has found; `None` if nobody has looked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<Look>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<i64>,
    pub tools: Vec<ToolRisk>,
    /// Definitions that look as if they spoke to a model instead of describing something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspicious: Vec<Suspicious>,
    pub access: Access,
}

/// How much harm a tool can do, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolRisk {
    pub tool: String,
    /// It may change something.
    pub writes: bool,
    /// What it changes may be lost.
    pub destructive: bool,
    /// It reaches something beyond the server's own data.
    pub open_world: bool,
    /// The server says so itself; otherwise the worst is assumed.
    pub annotated: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<String>,
}

/// What the server would newly let whom do, by the present policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Access {
    /// The version of the policies; empty while there are none.
    pub policies: String,
    pub principals: Vec<PrincipalAccess>,
    /// Principals that were examined, whether they would have access or not.
    pub examined: usize,
    /// What a reader has to know, such as where the examination ended.
    pub notes: Vec<String>,
}

/// What one principal could do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PrincipalAccess {
    /// `user`, `agent` or `service_account`.
    pub kind: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    pub tools: Names,
    pub prompts: Names,
    pub resources: Names,
}

/// Some names, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Names {
    pub count: usize,
    pub names: Vec<String>,
}

impl Names {
    fn add(&mut self, name: &str) {
        self.count += 1;
        if self.names.len() < MOST_NAMES {
            self.names.push(name.to_owned());
        }
    }
}

/// What there is to know of a server, of which `store` is read. Nothing is connected to.
pub async fn of(gateway: &Gateway, store: &Store, server: StoredServer) -> Result<Review, NoLook> {
    let settings = gateway.settings_of(&server)?;
    let stored = store.server_look(&server.name).await?.filter(|look| look.digest == server.digest);
    let look: Option<Look> = stored
        .as_ref()
        .map(|look| serde_json::from_str(&look.found))
        .transpose()
        .map_err(doorward_store::Error::Row)?;
    let scanning = tokio::task::spawn_blocking(move || {
        let suspicious = look.as_ref().map(|look| scan::look(look, None)).unwrap_or_default();
        (look, suspicious)
    });
    let (look, suspicious) = scanning.await.map_err(|error| NoLook::Settings(error.to_string()))?;
    let none = Look::default();
    let seen = look.as_ref().unwrap_or(&none);
    Ok(Review {
        connects: connects(&settings),
        suspicious,
        tools: seen.tools.iter().map(|tool| risk_of(&settings, tool)).collect(),
        access: access_to(gateway, &server.name, &settings, seen).await,
        settings: shown(&server, &settings),
        looked_at: stored.map(|look| look.at),
        look,
        server,
    })
}

/// Runs the present policies over the present principals.
async fn access_to(
    gateway: &Gateway,
    name: &str,
    settings: &ServerSettings,
    look: &Look,
) -> Access {
    let policies = gateway.policies().clone();
    let mut notes = Vec::new();
    if policies.set.is_none() {
        notes.push(
            "there are no policies: whoever has an API key that is not restricted, or anybody on this machine \
             while there is no authentication, could use all of it"
                .to_owned(),
        );
        return Access { policies: String::new(), principals: Vec::new(), examined: 0, notes };
    }
    notes.push("API keys may restrict their owners further".into());
    let items = items(look, &mut notes);
    let everybody = everybody(gateway, &mut notes);
    let mut principals = Vec::new();
    let (mut examined, mut decided) = (0, 0);
    for who in everybody {
        if decided + items.len() > MOST_DECISIONS {
            notes.push(format!("only the first {examined} principals were examined"));
            break;
        }
        let mut access = PrincipalAccess {
            kind: kind_of(who.kind).as_str().into(),
            name: who.id.clone(),
            tenant: who.tenant.clone(),
            tools: Names::default(),
            prompts: Names::default(),
            resources: Names::default(),
        };
        for (kind, item, reads_only) in &items {
            let target = target_of(name, settings, *kind, item, *reads_only);
            decided += 1;
            if decided % 64 == 0 {
                tokio::task::yield_now().await;
            }
            let decision = gateway.decide_for(&who, action_on(*kind), &target, settings);
            if !decision.is_none_or(|decision| decision.is_possible()) {
                continue;
            }
            match kind {
                TargetKind::Tool => access.tools.add(item),
                TargetKind::Prompt => access.prompts.add(item),
                _ => access.resources.add(item),
            }
        }
        examined += 1;
        if access.tools.count + access.prompts.count + access.resources.count > 0 {
            principals.push(access);
        }
    }
    Access { policies: policies.version.clone(), principals, examined, notes }
}

/// Users, agents and service accounts of the configuration and the store, as many as are examined.
fn everybody(gateway: &Gateway, notes: &mut Vec<String>) -> Vec<Principal> {
    let (settings, kept) = (gateway.settings(), gateway.kept.people());
    let people = People::new(&settings.directory, &kept);
    let mut names: Vec<_> = declared_entries(&settings.directory)
        .into_iter()
        .chain(kept)
        .filter_map(|entry| {
            let kind = match entry.kind {
                Kind::User => PrincipalKind::User,
                Kind::Agent => PrincipalKind::Agent,
                Kind::ServiceAccount => PrincipalKind::ServiceAccount,
                Kind::Team | Kind::Tenant => return None,
            };
            Some((entry.kind, kind, entry.name))
        })
        .collect();
    names.sort_by(|one, other| (one.0, &one.2).cmp(&(other.0, &other.2)));
    names.dedup();
    if names.len() > MOST_PRINCIPALS {
        notes.push(format!(
            "of {} principals, the first {MOST_PRINCIPALS} are examined",
            names.len()
        ));
        names.truncate(MOST_PRINCIPALS);
    }
    if !settings.identity.issuers.is_empty() {
        notes.push("users of identity providers that are in no directory are not listed".into());
    }
    names.iter().filter_map(|(_, kind, name)| people.find(*kind, name, Said::default())).collect()
}

/// What a server offers, with whether it only reads.
fn items(look: &Look, notes: &mut Vec<String>) -> Vec<(TargetKind, String, bool)> {
    let named = |list: &[serde_json::Value], kind: TargetKind, member: &str| {
        let items = list.iter().filter_map(|item| {
            let name = item.get(member)?.as_str()?.to_owned();
            Some((kind, name, hint(item, "readOnlyHint") == Some(true)))
        });
        items.collect::<Vec<_>>()
    };
    let mut all = named(&look.tools, TargetKind::Tool, "name");
    all.extend(named(&look.prompts, TargetKind::Prompt, "name"));
    all.extend(named(&look.resources, TargetKind::Resource, "uri"));
    all.extend(named(&look.templates, TargetKind::Resource, "uriTemplate"));
    if all.is_empty() {
        notes.push("it is not known what the server offers: let the gateway look at it".into());
    }
    if all.len() > MOST_ITEMS {
        notes.push(format!("of {} items, the first {MOST_ITEMS} are examined", all.len()));
        all.truncate(MOST_ITEMS);
    }
    all
}

fn hint(tool: &serde_json::Value, name: &str) -> Option<bool> {
    tool.get("annotations")?.get(name)?.as_bool()
}

/// The defaults of annotations are the worst (spec 2026-07-28 schema, `ToolAnnotations`).
fn risk_of(settings: &ServerSettings, tool: &serde_json::Value) -> ToolRisk {
    let name = tool.get("name").and_then(serde_json::Value::as_str).unwrap_or_default();
    let said = settings.said_of(name);
    let writes = said.iter().find_map(|said| said.write);
    let writes = writes.unwrap_or(hint(tool, "readOnlyHint") != Some(true));
    ToolRisk {
        tool: name.into(),
        writes,
        destructive: writes && hint(tool, "destructiveHint") != Some(false),
        open_world: hint(tool, "openWorldHint") != Some(false),
        annotated: tool.get("annotations").is_some_and(|it| !it.is_null()),
        risk: said.iter().find_map(|said| said.risk.clone()).or_else(|| settings.risk.clone()),
    }
}

fn connects(settings: &ServerSettings) -> Vec<String> {
    let mut all = Vec::new();
    let whence = if settings.public_only { "public addresses only" } else { "any address" };
    if let Some(url) = &settings.url {
        all.push(format!("the gateway connects to {url} ({whence})"));
    }
    for replica in &settings.replicas {
        if let Some(url) = replica.url.as_ref().or(replica.dns.as_ref()) {
            all.push(format!("the gateway connects to {url} ({whence})"));
        }
        if let Some(file) = &replica.file {
            all.push(format!("the gateway connects to what {} lists", file.display()));
        }
    }
    if let Some(from) = settings.openapi.as_ref().and_then(|openapi| openapi.from.as_ref()) {
        all.push(format!("the gateway fetches the description of the API from {from}"));
    }
    if let Some(command) = &settings.command {
        let words: Vec<_> = std::iter::once(command).chain(&settings.args).cloned().collect();
        let how =
            if settings.confine.is_some() { "confined" } else { "with all rights of the gateway" };
        all.push(format!("the gateway runs {} {how}", words.join(" ")));
    }
    if settings.sample {
        all.push("the built-in sample server".into());
    }
    all
}

/// What was proposed, as it was; of the configuration file, without secrets.
fn shown(server: &StoredServer, settings: &ServerSettings) -> serde_json::Value {
    match serde_json::from_str(&server.spec) {
        // A proposal can hold no secret.
        Ok(spec) => spec,
        Err(_) => doorward_config::redacted(settings),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_worst_is_assumed_of_what_a_tool_does_not_say() {
        let settings = ServerSettings { risk: Some("high".into()), ..ServerSettings::default() };
        let risk = |tool: serde_json::Value| {
            let ToolRisk { writes, destructive, open_world, annotated, .. } =
                risk_of(&settings, &tool);
            [writes, destructive, open_world, annotated]
        };
        assert_eq!(risk(json!({ "name": "a" })), [true, true, true, false]);
        let reads = json!({ "name": "a", "annotations": { "readOnlyHint": true } });
        assert_eq!(risk(reads), [false, false, true, true]);
        let mild = json!({ "name": "a", "annotations": { "destructiveHint": false,
            "openWorldHint": false } });
        assert_eq!(risk(mild), [true, false, false, true]);
        assert_eq!(risk_of(&settings, &json!({ "name": "a" })).risk.as_deref(), Some("high"));
    }
}
