//! Tools: all of them as somebody sees them, one of them, and who may call it.

use doorward_gateway::Gateway;
use doorward_gateway::access::targets::target;
use doorward_policy::{Action, Decision, PolicySet, Target, TargetKind, Verdict};
use doorward_store::{Entry, Kind};
use doorward_upstream::Server;
use doorward_upstream::catalog::{Item, TOOLS};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::directory::{People, principal};
use super::policies::{Policy, policy_of};
use crate::desk::{self, Desk};
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::Problem;

pub const LIST: Operation<List, Page<Tool>> = Operation::new(
    "tools.list",
    (Verb::Get, "/admin/v1/tools"),
    "List the tools of all servers, with what policies know of them and, with 'as', what they decide",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { list(&desk, &input).await }),
);

pub const SHOW: Operation<Which, Whole> = Operation::new(
    "tools.show",
    (Verb::Get, "/admin/v1/tools/{server}/{name}"),
    "Show a tool with its whole definition",
    (Action::View, On::Named(|desk, input| desk.server(&input.server))),
    |desk, input| Box::pin(async move { show(&desk, &input) }),
);

pub const CALLERS: Operation<Callers, Page<MayCall>> = Operation::new(
    "tools.callers",
    (Verb::Get, "/admin/v1/tools/{server}/{name}/callers"),
    "List who may call a tool, of the directory, and which policies decide it",
    (Action::View, On::Named(|desk, input| desk.server(&input.server))),
    |desk, input| Box::pin(async move { callers(&desk, &input).await }),
);

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct List {
    /// Only of this server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Only those whose name, title or description contains this text, in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// How calls of this user, agent or service account are decided, such as `user:ada`. Nothing is called.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub whose: Option<String>,
    #[serde(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    pub server: String,
    /// The server's own name for it.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    pub description: String,
    /// Whether it can change something, by its annotations or the configuration.
    pub writes: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<String>,
    pub tags: Vec<String>,
    /// With `as`: how a call is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Decided>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    pub server: String,
    pub name: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Whole {
    #[serde(flatten)]
    pub tool: Tool,
    /// As the server says it.
    pub definition: Value,
    /// Where the server processes data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Labels of what it returns.
    pub brings: Vec<String>,
    /// It has effects outside: it sends, writes, pays or publishes.
    pub sink: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Callers {
    pub server: String,
    pub name: String,
    /// `user`, `agent` or `service_account`. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    #[serde(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MayCall {
    pub kind: Kind,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    pub decided: Decided,
}

/// How a call is decided, as far as that is known without its arguments.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Decided {
    pub outcome: Outcome,
    /// The reason that the caller would see, where it is not permitted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The policies that decide.
    pub policies: Vec<Policy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Permitted,
    /// Refused, and not listed.
    Refused,
    /// It waits for approval.
    Held,
    /// It depends on the arguments.
    Depends,
    /// The caller is disabled: all credentials are refused.
    Disabled,
}

/// Decides calls for somebody who is not here.
struct Judge<'a> {
    gateway: &'a Gateway,
    entry: &'a Entry,
}

impl Judge<'_> {
    fn decide(&self, server: &Server, target: &Target) -> Option<Decided> {
        let simple = |outcome, reason: &str| {
            Some(Decided { outcome, reason: reason.to_owned(), policies: Vec::new() })
        };
        if self.entry.disabled {
            return simple(Outcome::Disabled, "the caller is disabled");
        }
        let who = principal(self.entry)?;
        let decision = self.gateway.decide_for(&who, Action::Call, target, &server.settings);
        let Some(decision) = decision else {
            // Without policies, a key of the operator's opens everything.
            return simple(Outcome::Permitted, "");
        };
        let set = self.gateway.policies().set.clone();
        Some(decided(&decision, set.as_deref()))
    }
}

fn decided(decision: &Decision, set: Option<&PolicySet>) -> Decided {
    let outcome = match decision.verdict {
        Verdict::Allow => Outcome::Permitted,
        Verdict::Deny => Outcome::Refused,
        Verdict::Hold => Outcome::Held,
        Verdict::Depends => Outcome::Depends,
    };
    let ids = decision.policies.iter().map(|one| &one.id);
    Decided {
        outcome,
        reason: if outcome == Outcome::Permitted { String::new() } else { decision.reason() },
        policies: set.map(|set| ids.map(|id| policy_of(set, id)).collect()).unwrap_or_default(),
    }
}

async fn list(desk: &Desk, input: &List) -> Result<Page<Tool>, Problem> {
    let gateway = desk.gateway()?;
    let entry = match &input.whose {
        Some(whose) => Some(somebody(desk, whose).await?),
        None => None,
    };
    let mut servers = gateway.servers();
    servers.retain(|server| {
        input.server.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(&server.name))
    });
    let servers = desk.visible(Action::View, servers, |server| desk.server(&server.name))?;
    let mut all: Vec<Tool> = servers.iter().flat_map(|server| tools_of(server)).collect();
    if let Some(q) = &input.q {
        let q = q.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&q);
        all.retain(|tool| {
            has(&tool.name) || has(&tool.description) || tool.title.as_deref().is_some_and(has)
        });
    }
    let key = |tool: &Tool| format!("{}\0{}", tool.server.to_lowercase(), tool.name);
    let mut page = input.paging.of(all, key)?;
    // Only those of the page are decided.
    if let Some(entry) = &entry {
        let judge = Judge { gateway, entry };
        for tool in &mut page.items {
            let Some(server) = gateway.server(&tool.server) else { continue };
            if let Some((_, target)) = found(&server, &tool.name) {
                tool.decided = judge.decide(&server, &target);
            }
        }
    }
    Ok(page)
}

/// A principal of the directory that the administrator may see, as `kind:name`.
async fn somebody(desk: &Desk, whose: &str) -> Result<Entry, Problem> {
    let form =
        || Problem::invalid("'as' must be 'user:', 'agent:' or 'service_account:' and a name");
    let (kind, name) = whose.split_once(':').ok_or_else(form)?;
    let kind: Kind = kind.parse().map_err(|_| form())?;
    let people = People::read(desk).await?;
    let entry = people.find(kind, name).filter(|entry| principal(entry).is_some());
    let entry = entry.filter(|entry| {
        let about = desk::of_tenant(entry.tenant.as_deref());
        desk.may(Action::View, &desk::gateway()) || desk.may(Action::View, &about)
    });
    entry.cloned().ok_or_else(|| Problem::absent(kind.as_str(), name))
}

fn tools_of(server: &Server) -> Vec<Tool> {
    let Some(view) = server.catalog.latest() else { return Vec::new() };
    let all = view.lists[TOOLS].items.iter().map(|item| {
        let entry = view.tool(&item.key).map(std::convert::AsRef::as_ref);
        tool_of(server, item, target(server, TargetKind::Tool, &item.key, entry))
    });
    all.collect()
}

fn tool_of(server: &Server, item: &Item, target: Target) -> Tool {
    let text = |member: &str| item.definition.string(member).map(std::borrow::Cow::into_owned);
    Tool {
        server: server.name.to_string(),
        name: item.key.to_string(),
        title: text("title"),
        description: text("description").unwrap_or_default(),
        writes: target.write,
        risk: target.risk,
        tags: target.tags.into_iter().collect(),
        decided: None,
    }
}

/// A tool of a server, and how policies see it.
fn found(server: &Server, name: &str) -> Option<(Item, Target)> {
    let view = server.catalog.latest()?;
    let entry = view.tool(name)?;
    let item = view.lists[TOOLS].items.iter().find(|item| &*item.key == name)?;
    Some((item.clone(), target(server, TargetKind::Tool, name, Some(entry.as_ref()))))
}

fn show(desk: &Desk, input: &Which) -> Result<Whole, Problem> {
    let server = desk.gateway()?.server(&input.server);
    let server = server.ok_or_else(|| Problem::absent("server", &input.server))?;
    let found = found(&server, &input.name);
    let (item, target) = found.ok_or_else(|| Problem::absent("tool", &input.name))?;
    Ok(Whole {
        tool: tool_of(&server, &item, target.clone()),
        definition: item.definition.to_serde(),
        region: target.region,
        environment: target.environment,
        owner: target.owner,
        brings: target.brings.into_iter().collect(),
        sink: target.sink,
    })
}

async fn callers(desk: &Desk, input: &Callers) -> Result<Page<MayCall>, Problem> {
    let gateway = desk.gateway()?;
    let server = gateway.server(&input.server);
    let server = server.ok_or_else(|| Problem::absent("server", &input.server))?;
    let found = found(&server, &input.name);
    let (_, target) = found.ok_or_else(|| Problem::absent("tool", &input.name))?;
    let people = People::read(desk).await?;
    let all = people.all().filter(|entry| {
        principal(entry).is_some() && input.kind.is_none_or(|kind| kind == entry.kind)
    });
    let of_tenant = |entry: &Entry| desk::of_tenant(entry.tenant.as_deref());
    let all = desk.visible(Action::View, all.cloned().collect(), of_tenant)?;
    let key = |entry: &Entry| format!("{}\0{}", entry.kind, entry.name);
    let Page { items, next_cursor } = input.paging.of(all, key)?;
    let items = items.into_iter().filter_map(|entry| {
        let decided = Judge { gateway, entry: &entry }.decide(&server, &target)?;
        let Entry { kind, name, tenant, .. } = entry;
        Some(MayCall { kind, name, tenant, decided })
    });
    Ok(Page { items: items.collect(), next_cursor })
}
