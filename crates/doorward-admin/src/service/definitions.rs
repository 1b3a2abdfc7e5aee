//! What servers offer: tools, prompts, resources and resource templates, as they were fetched last.

use doorward_gateway::access::targets::target_of;
use doorward_policy::{Action, TargetKind};
use doorward_upstream::Server;
use doorward_upstream::catalog::{KINDS, TOOLS};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::desk::Desk;
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::Problem;

pub const OF_SERVER: Operation<OfServer, Page<Definition>> = Operation::new(
    "servers.definitions",
    (Verb::Get, "/admin/v1/servers/{name}/definitions"),
    "List what a server offers, with whole definitions",
    (Action::View, On::Named(|desk, input| desk.server(&input.name))),
    |desk, input| Box::pin(async move { of_server(&desk, &input) }),
);

pub const TOOLS_OF_ALL: Operation<Tools, Page<Tool>> = Operation::new(
    "tools.list",
    (Verb::Get, "/admin/v1/tools"),
    "List the tools of all servers, with what policies know of them",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { tools(&desk, &input) }),
);

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OfServer {
    pub name: String,
    /// `tools`, `prompts`, `resources` or `resourceTemplates`. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Definition {
    /// `tools`, `prompts`, `resources` or `resourceTemplates`.
    pub kind: String,
    /// Its name, URI or URI template.
    pub name: String,
    /// As the server says it.
    pub definition: Value,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Tools {
    /// Only of this server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Only those whose name, title or description contains this text, in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
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
}

fn of_server(desk: &Desk, input: &OfServer) -> Result<Page<Definition>, Problem> {
    let known = |kind: &str| KINDS.iter().any(|it| it.member == kind);
    if input.kind.as_deref().is_some_and(|kind| !known(kind)) {
        let all: Vec<_> = KINDS.iter().map(|kind| kind.member).collect();
        return Err(Problem::invalid(format!("'kind' must be one of {}", all.join(", "))));
    }
    let server = desk.gateway()?.server(&input.name);
    let server = server.ok_or_else(|| Problem::absent("server", &input.name))?;
    let view = server.catalog.latest();
    let lists = view.iter().flat_map(|view| KINDS.iter().zip(&view.lists));
    let wanted = lists.filter(|(kind, _)| input.kind.as_deref().is_none_or(|it| it == kind.member));
    let all = wanted.flat_map(|(kind, list)| {
        list.items.iter().map(|item| (kind.member, item.clone())).collect::<Vec<_>>()
    });
    // Only those of the page are read.
    let Page { items, next_cursor } =
        input.paging.of(all.collect(), |(kind, item)| format!("{kind}\0{}", item.key))?;
    let items = items.into_iter().map(|(kind, item)| Definition {
        kind: kind.into(),
        name: item.key.into(),
        definition: item.definition.to_serde(),
    });
    Ok(Page { items: items.collect(), next_cursor })
}

fn tools(desk: &Desk, input: &Tools) -> Result<Page<Tool>, Problem> {
    let gateway = desk.gateway()?;
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
    input.paging.of(all, |tool| format!("{}\0{}", tool.server.to_lowercase(), tool.name))
}

fn tools_of(server: &Server) -> Vec<Tool> {
    let Some(view) = server.catalog.latest() else { return Vec::new() };
    let text = |item: &doorward_mcp::Object, member: &str| {
        item.string(member).map(std::borrow::Cow::into_owned)
    };
    let tool = |item: &doorward_upstream::catalog::Item| {
        let reads_only = view.tool(&item.key).is_some_and(|tool| tool.reads_only);
        let target =
            target_of(&server.name, &server.settings, TargetKind::Tool, &item.key, reads_only);
        Tool {
            server: server.name.to_string(),
            name: item.key.to_string(),
            title: text(&item.definition, "title"),
            description: text(&item.definition, "description").unwrap_or_default(),
            writes: target.write,
            risk: target.risk,
            tags: target.tags.into_iter().collect(),
        }
    };
    view.lists[TOOLS].items.iter().map(tool).collect()
}
