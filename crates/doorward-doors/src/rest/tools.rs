//! `GET /tools`: what the caller may call, in the form of an SDK's argument.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_functions::{Dialect, Tool};
use doorward_gateway::call::{Events, Portal, Protocol, Reply};
use doorward_gateway::discovering::Discovering;
use doorward_identity::exposed::merged_name;
use doorward_identity::seal::sha256;
use doorward_mcp::{Object, Value, method};
use doorward_search::MAX_LIMIT;
use doorward_store::hex;
use doorward_upstream::catalog::{Snapshot, TOOLS};
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::answer::{Answer, raw};
use super::making::{Abilities, run};
use super::problem::Problem;
use super::types::{Query, Tools, Warning};
use super::{Answered, Visit};

const USUAL: usize = 100;
const MOST: usize = 1_000;

/// A tool that the caller may call.
pub struct Listed {
    /// Among the caller's tools.
    position: usize,
    /// In lists.
    pub name: String,
    /// `server/tool`.
    pub id: String,
    pub definition: Object,
}

/// Those of the caller's tools at the portal that are wanted, by name and ID, in the order of the catalogue.
pub async fn all(
    visit: &Visit,
    protocol: Protocol,
    wanted: impl Fn(&str, &str) -> bool,
) -> Result<Vec<Listed>, Box<Problem>> {
    Ok(listed(visit, &*snapshot(visit, protocol).await?, wanted))
}

/// The caller's lists. What they have was decided by the same functions as calls are.
pub async fn snapshot(visit: &Visit, protocol: Protocol) -> Result<Arc<Snapshot>, Box<Problem>> {
    let (abilities, params) = (abilities(protocol), Object::new());
    let ready = visit.call(protocol, abilities, false, method::TOOLS_LIST, params, None)?;
    match visit.gateway.fresh_snapshot(&ready.call) {
        Some(fresh) => Ok(fresh),
        None => Box::pin(visit.gateway.snapshot(&ready.call)).await.map_err(|error| {
            let call = ready.id.to_string();
            let refusal = doorward_gateway::pipeline::refusal(error, "", &call);
            Box::new(Problem::of_refusal(&refusal, "", ""))
        }),
    }
}

pub fn listed(
    visit: &Visit,
    snapshot: &Snapshot,
    wanted: impl Fn(&str, &str) -> bool,
) -> Vec<Listed> {
    let settings = visit.gateway.settings();
    let is_single = matches!(visit.portal, Portal::Server(_));
    let items = snapshot.items(TOOLS).enumerate();
    let listed = items.filter_map(|(position, (name, definition, (server, _), own))| {
        let name = match is_single {
            true => merged_name(&server.name, own, &settings.names),
            false => name.to_owned(),
        };
        let id = format!("{}/{own}", server.name);
        if !wanted(&name, &id) {
            return None;
        }
        let mut definition = Object::parse(definition)?;
        if let Some(meta) = definition.object_mut("_meta") {
            meta.set("doorward/tool", &*id);
        }
        Some(Listed { position, name, id, definition })
    });
    listed.collect()
}

/// Those of a list of tools that fit a question, best first.
pub async fn search(visit: &Visit, snapshot: &Arc<Snapshot>, q: &str, most: usize) -> Vec<Listed> {
    let (searched, question) = (snapshot.clone(), q.to_owned());
    // The first search of a snapshot reads all its tools.
    let searching = tokio::task::spawn_blocking(move || searched.search(&question, most));
    let found = searching.await.unwrap_or_default();
    let mut all = listed(visit, snapshot, |_, _| true);
    let rank: HashMap<usize, usize> =
        found.into_iter().enumerate().map(|(rank, position)| (position, rank)).collect();
    all.retain(|tool| rank.contains_key(&tool.position));
    all.sort_by_key(|tool| rank[&tool.position]);
    all
}

fn abilities(protocol: Protocol) -> Abilities {
    if protocol == Protocol::Functions { Abilities::None } else { Abilities::Input }
}

/// Whether the caller may list tools: decided, limited and recorded like any other request for a list. Where tools are found
/// by search, returns the short list that a model gets; a program gets all.
pub async fn admit(visit: &Visit, protocol: Protocol) -> Result<Option<Vec<Listed>>, Box<Problem>> {
    let (abilities, of) = (abilities(protocol), method::TOOLS_LIST);
    let ready = visit.call(protocol, abilities, false, of, Object::new(), None)?;
    visit.admit(&ready.call)?;
    let discovering = ready.call.notes.discovering.as_deref();
    let is_short = discovering.is_some_and(Discovering::is_short_list);
    match Box::pin(run(visit, ready.call, Events::ignored(), Abilities::None)).await {
        Ok(Reply::Result(result)) => Ok(is_short.then(|| short(&result))),
        Ok(_) => Err(Box::new(Problem::nothing_here())),
        Err(refusal) => Err(Box::new(Problem::of_refusal(&refusal, "", ""))),
    }
}

/// The tools of a result, as they are.
fn short(result: &Object) -> Vec<Listed> {
    let tools = result.get("tools").and_then(Value::as_array).unwrap_or_default();
    let listed = tools.iter().filter_map(|tool| {
        let definition = tool.as_object()?.into_owned();
        let name = definition.string("name")?.into_owned();
        Some(Listed { position: 0, id: name.clone(), name, definition })
    });
    listed.collect()
}

pub async fn get(visit: Visit, query: Option<&str>) -> Answered {
    let query = read(query)?;
    let dialect = match query.format.as_deref() {
        None => Dialect::Mcp,
        Some(format) => format.parse().map_err(|()| {
            let known = Dialect::ALL.map(Dialect::as_str).join("', '");
            wrong("format", &format!("must be one of '{known}'"))
        })?,
    };
    let strict = query.strict == Some(true);
    if strict && !dialect.has_strict() {
        return Err(wrong("strict", "is for the formats 'openai' and 'openai-responses'"));
    }
    let protocol = if dialect == Dialect::Mcp { Protocol::Rest } else { Protocol::Functions };
    let short = admit(&visit, protocol).await?.filter(|_| protocol == Protocol::Functions);
    let tools = match (query.q.as_deref().filter(|q| !q.trim().is_empty()), short) {
        (Some(q), _) => search(&visit, &snapshot(&visit, protocol).await?, q, MAX_LIMIT).await,
        (None, Some(short)) => short,
        (None, None) => all(&visit, protocol, |_, _| true).await?,
    };
    let start = match &query.cursor {
        None => 0,
        Some(cursor) => {
            let last = URL_SAFE_NO_PAD.decode(cursor).ok();
            let found = tools.iter().position(|tool| last.as_deref() == Some(tool.name.as_bytes()));
            found.ok_or_else(|| wrong("cursor", "is not one of this list"))? + 1
        }
    };
    let limit = query.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(wrong("limit", &format!("must be from 1 to {MOST}")));
    }
    let end = tools.len().min(start + limit);
    let next_cursor =
        (end < tools.len()).then(|| URL_SAFE_NO_PAD.encode(tools[end - 1].name.as_bytes()));
    let page = tools[start..end]
        .iter()
        .map(|tool| Tool { name: &tool.name, definition: &tool.definition });
    let listing = doorward_functions::list::list(dialect, page, strict);
    let warnings = listing.warnings.into_iter();
    let body = Tools {
        tools: raw(&listing.tools).unwrap_or_default(),
        next_cursor,
        warnings: warnings.map(|it| Warning { tool: it.tool, message: it.message }).collect(),
    };
    Ok(tagged(&visit, Answer::of(StatusCode::OK, &body)).response())
}

/// With an entity tag, or as unchanged.
pub fn tagged(visit: &Visit, mut answer: Answer) -> Answer {
    let tag = format!("\"{}\"", &hex(&sha256(&answer.body))[..32]);
    let known = visit.headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = known.flat_map(|all| all.split(',')).any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
    });
    if is_known {
        answer.status = StatusCode::NOT_MODIFIED;
        answer.body = bytes::Bytes::new();
    }
    answer.headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    answer.headers.insert(VARY, HeaderValue::from_static("Authorization"));
    answer.header(ETAG, &tag)
}

fn wrong(name: &str, why: &str) -> Box<Problem> {
    Box::new(Problem::invalid(format!("'{name}' {why}")))
}

fn read(query: Option<&str>) -> Result<Query, Box<Problem>> {
    let mut all = serde_json::Map::new();
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let value = match &*name {
            "limit" => match value.parse::<usize>() {
                Ok(limit) => json!(limit),
                Err(_) => return Err(wrong("limit", &format!("must be from 1 to {MOST}"))),
            },
            "strict" => match &*value {
                "true" | "1" => json!(true),
                "false" | "0" => json!(false),
                _ => return Err(wrong("strict", "must be true or false")),
            },
            _ => json!(value),
        };
        if all.insert(name.clone().into_owned(), value).is_some() {
            return Err(wrong(&name, "appears twice"));
        }
    }
    serde_json::from_value(all.into())
        .map_err(|error| Box::new(Problem::invalid(format!("The query is invalid: {error}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_strictly() {
        for (query, is_valid) in [
            ("", true),
            ("format=openai&limit=5&strict=true&q=a%20b&cursor=x", true),
            ("limit=x", false),
            ("limit=-1", false),
            ("strict=maybe", false),
            ("q=a&q=b", false),
            ("formt=openai", false),
        ] {
            assert_eq!(read(Some(query)).is_ok(), is_valid, "{query}");
        }
    }
}
