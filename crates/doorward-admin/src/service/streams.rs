//! Streams on which clients listen for changes.

use doorward_mcp::Era;
use doorward_policy::Action;
use doorward_upstream::switchboard;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ById, Removed};
use crate::desk::{self, Desk};
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::{Code, Problem};

pub const LIST: Operation<Paging, Page<Stream>> = Operation::new(
    "streams.list",
    (Verb::Get, "/admin/v1/streams"),
    "List the streams on which clients listen for changes at this replica",
    (Action::View, On::Decides),
    |desk, paging| Box::pin(async move { list(&desk, &paging) }),
);

pub const END: Operation<ById, Removed> = Operation::new(
    "streams.end",
    (Verb::Delete, "/admin/v1/streams/{id}"),
    "End a stream; its client may open another",
    (Action::Operate, On::Decides),
    |desk, input| Box::pin(async move { end(&desk, &input.id) }),
);

/// One stream of a client.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Stream {
    /// At this replica.
    pub id: String,
    pub principal: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    pub portal: String,
    /// `modern` or `handshake`.
    pub era: String,
    /// Of which lists changes are told: `tools`, `prompts`, `resources`.
    pub lists: Vec<String>,
    /// How many resources and tasks it is subscribed to.
    pub resources: usize,
    pub tasks: usize,
    /// Seconds since it began.
    pub age_s: u64,
}

fn shown(stream: &switchboard::Stream) -> Stream {
    let filter = &stream.filter;
    let lists =
        [("tools", filter.tools), ("prompts", filter.prompts), ("resources", filter.resources)];
    let era = if stream.era == Era::Modern { "modern" } else { "handshake" };
    Stream {
        id: stream.id.to_string(),
        principal: stream.caller.id.to_string(),
        tenant: stream.caller.who.tenant.clone(),
        portal: stream.portal.name().to_owned(),
        era: era.into(),
        lists: lists.into_iter().filter(|it| it.1).map(|it| it.0.to_owned()).collect(),
        resources: filter.uris.len(),
        tasks: filter.tasks.len(),
        age_s: stream.since.elapsed().as_secs(),
    }
}

fn list(desk: &Desk, paging: &Paging) -> Result<Page<Stream>, Problem> {
    let streams = desk.gateway()?.shared.switchboard.streams();
    let streams = streams.iter().map(shown);
    let about = |stream: &Stream| desk::of_tenant(stream.tenant.as_deref());
    let streams = desk.visible(Action::View, streams.collect(), about)?;
    paging.of(streams, |stream| format!("{:0>20}", stream.id))
}

fn end(desk: &Desk, id: &str) -> Result<Removed, Problem> {
    let board = &desk.gateway()?.shared.switchboard;
    let found = board.streams().into_iter().find(|stream| stream.id.to_string() == id);
    let tenant = found.as_ref().and_then(|stream| stream.caller.who.tenant.clone());
    desk.require(Action::Operate, &desk::of_tenant(tenant.as_deref())).map_err(|problem| {
        match found {
            Some(_) if problem.code == Code::NotFound => Problem::absent("stream", id),
            _ => problem,
        }
    })?;
    let stream = found.ok_or_else(|| Problem::absent("stream", id))?;
    if !desk.is_rehearsal() {
        board.end(stream.id);
        desk.record("stream.end_by_administrator", id);
    }
    Ok(Removed { removed: id.to_owned() })
}
