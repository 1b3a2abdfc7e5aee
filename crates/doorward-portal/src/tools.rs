//! The tools that the caller may call, as their clients list them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use doorward_admin::{Desk, Operation, Page, Paging, Problem, Verb};
use doorward_config::UnitPrice;
use doorward_gateway::access::targets::target;
use doorward_gateway::billing::price_of;
use doorward_gateway::call::Portal;
use doorward_mcp::Object;
use doorward_policy::{Action, Arguments, Target, TargetKind, Verdict};
use doorward_store::Amount;
use doorward_upstream::Server;
use doorward_upstream::catalog::{TOOLS, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::visit::Visit;

pub const LIST: Operation<List, Page<Tool>> = Operation::own(
    "tools.list",
    (Verb::Get, "/portal/v1/tools"),
    "List the tools that you may call",
    |desk, input| Box::pin(async move { list(&desk, &input).await }),
);

pub const SHOW: Operation<Of, Detail> = Operation::own(
    "tools.show",
    (Verb::Get, "/portal/v1/tools/{server}/{name}"),
    "Show a tool: its schemas, its price, and whether calls need an approval",
    |desk, input| Box::pin(async move { show(&desk, &input).await }),
);

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct List {
    /// Only those that have all of these words in their names, titles or descriptions, or in the name of their server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// Only at the endpoint of this portal or server. Default: everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub portal: Option<String>,
    /// Only of this server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    #[serde(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Of {
    pub server: String,
    /// The server's own name for it.
    pub name: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    pub server: String,
    /// The server's own name for it.
    pub name: String,
    /// Where it can be called, and under which name.
    pub at: Vec<At>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    pub description: String,
    /// Whether it can change something, by its annotations or the configuration.
    pub writes: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<String>,
    pub tags: BTreeSet<String>,
    /// The server's own annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Value>,
    /// What a call costs today; absent if nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct At {
    /// The name of the portal or server; empty at the endpoint of all servers.
    pub portal: String,
    /// The name by which clients call it there.
    pub name: String,
}

/// What a call costs: the sum of these.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Amount>,
    /// For each unit of a number in the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitPrice>,
    /// For each second that the server takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<Amount>,
    /// For each 1,024 bytes of the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kb: Option<Amount>,
    /// In place of all others, if the result comes from the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit: Option<Amount>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Detail {
    #[serde(flatten)]
    pub tool: Tool,
    /// A JSON Schema.
    pub input_schema: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    pub approval: Needs,
}

/// Whether calls wait for an approval, as far as it is known before the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Needs {
    /// Policies require none.
    NotNeeded,
    /// It depends on the arguments whether a call is permitted, or needs an approval.
    Depends,
    Needed,
}

/// A tool that was found.
struct Found {
    server: Arc<Server>,
    view: Arc<View>,
    name: String,
    at: Vec<(Portal, String)>,
    /// As clients see it at the first of these.
    definition: Object,
}

impl Found {
    fn target(&self) -> Target {
        let tool = self.view.tool(&self.name);
        target(&self.server, TargetKind::Tool, &self.name, tool.map(|tool| &**tool))
    }

    fn text(&self, member: &str) -> Option<String> {
        self.definition.string(member).map(std::borrow::Cow::into_owned)
    }

    fn value(&self, member: &str) -> Option<Value> {
        let value = self.definition.get(member)?;
        serde_json::from_slice(&value.to_bytes()).ok()
    }

    fn has(&self, words: &[String]) -> bool {
        let mut all = format!("{} {}", self.server.name, self.name);
        for text in self.at.iter().map(|(_, name)| name) {
            all.push(' ');
            all.push_str(text);
        }
        for text in ["title", "description"].iter().filter_map(|member| self.text(member)) {
            all.push(' ');
            all.push_str(&text);
        }
        let all = all.to_lowercase();
        words.iter().all(|word| all.contains(word))
    }

    fn tool(&self, visit: &Visit<'_>) -> Tool {
        let target = self.target();
        let at = self
            .at
            .iter()
            .map(|(portal, name)| At { portal: portal.name().to_owned(), name: name.clone() });
        Tool {
            server: self.server.name.to_string(),
            name: self.name.clone(),
            at: at.collect(),
            title: self.text("title"),
            description: self.text("description").unwrap_or_default(),
            writes: target.write,
            risk: target.risk,
            tags: target.tags,
            annotations: self.value("annotations"),
            price: price(visit, &format!("{}/{}", self.server.name, self.name)),
        }
    }
}

fn price(visit: &Visit<'_>, tool: &str) -> Option<Price> {
    let settings = visit.gateway.settings();
    let found = price_of(&settings.billing, tool, || visit.gateway.policies().today())?;
    Some(Price {
        call: found.call,
        unit: found.unit.clone(),
        second: found.second,
        kb: found.kb,
        hit: found.hit,
    })
}

/// The tools that the caller may list, of those that are wanted by server and name. Where a portal is named, those in it.
async fn all(
    visit: &Visit<'_>,
    portal: Option<&str>,
    wanted: impl Fn(&str, &str) -> bool,
) -> Vec<Found> {
    let mut found: BTreeMap<(String, String), Found> = BTreeMap::new();
    for place in visit.searched(portal) {
        let Some(lists) = visit.lists(&place.portal).await else { continue };
        for (shown, definition, (server, view), own) in lists.items(TOOLS) {
            if !wanted(&server.name, own) {
                continue;
            }
            let key = (server.name.to_ascii_lowercase(), own.to_owned());
            let at = (place.portal.clone(), shown.to_owned());
            if let Some(known) = found.get_mut(&key) {
                known.at.push(at);
                continue;
            }
            let Some(definition) = Object::parse(definition) else { continue };
            let (server, view) = (server.clone(), view.clone());
            let one = Found { server, view, name: own.to_owned(), at: vec![at], definition };
            found.insert(key, one);
        }
    }
    found.into_values().collect()
}

async fn list(desk: &Desk, input: &List) -> Result<Page<Tool>, Problem> {
    let visit = Visit::of(desk)?;
    let words = input.q.as_deref().unwrap_or_default().to_lowercase();
    let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    let of = |server: &str| {
        input.server.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(server))
    };
    let mut found = all(&visit, input.portal.as_deref(), |server, _| of(server)).await;
    if !words.is_empty() {
        found.retain(|tool| tool.has(&words));
    }
    let key = |tool: &Found| format!("{}\0{}", tool.server.name.to_lowercase(), tool.name);
    let Page { items, next_cursor } = input.paging.of(found, key)?;
    let items = items.iter().map(|tool| tool.tool(&visit)).collect();
    Ok(Page { items, next_cursor })
}

async fn show(desk: &Desk, input: &Of) -> Result<Detail, Problem> {
    let visit = Visit::of(desk)?;
    let is_wanted = |server: &str, name: &str| {
        server.eq_ignore_ascii_case(&input.server) && *name == input.name
    };
    let found = all(&visit, None, is_wanted).await.into_iter().next();
    let absent = || Problem::absent("tool", &format!("{}/{}", input.server, input.name));
    let found = found.ok_or_else(absent)?;
    let target = found.target();
    let needs = found.at.iter().map(|(portal, _)| {
        let asking = visit.asking(portal);
        if visit.gateway.is_unrestricted(&visit.caller.principal, portal) {
            return Needs::NotNeeded;
        }
        match visit.gateway.decide(&asking, Action::Call, &target, Arguments::Any).verdict {
            Verdict::Hold => Needs::Needed,
            Verdict::Depends => Needs::Depends,
            Verdict::Allow | Verdict::Deny => Needs::NotNeeded,
        }
    });
    let mut needs: Vec<Needs> = needs.collect();
    needs.dedup();
    let approval = match needs[..] {
        [one] => one,
        _ => Needs::Depends,
    };
    Ok(Detail {
        input_schema: found.value("inputSchema").unwrap_or_default(),
        output_schema: found.value("outputSchema"),
        approval,
        tool: found.tool(&visit),
    })
}
