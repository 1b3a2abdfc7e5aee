//! What servers offer: tools, prompts, resources and resource templates, as they were fetched last.

use doorward_policy::Action;
use doorward_upstream::catalog::KINDS;
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
