//! Fetches one list of a server, page by page, within limits.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_mcp::error::{Kind as FailureKind, code};
use doorward_mcp::lenient::repair;
use doorward_mcp::translate::CacheHints;
use doorward_mcp::{Era, Value, method, uri};

use super::kinds::Kind;
use super::learn;
use super::view::{Item, List};
use crate::approval::Approved;
use crate::call_error::CallError;
use crate::{Asked, Contact, Server};
use doorward_core::deadline::Deadline;
use doorward_core::{Events, Failure};

/// Lifetime of a list if the server announces changes: a safeguard in case it misses one.
const WATCHED: Duration = Duration::from_secs(15 * 60);
/// Lifetime if the server gives no hint.
const UNKNOWN: Duration = Duration::from_secs(60);
/// Maximum lifetime, whatever the server states.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

pub async fn list(
    server: &Server,
    contact: &Contact,
    kind: &Kind,
    caller: &Asked<'_>,
) -> Result<List, CallError> {
    let limits = &server.shared.limits;
    let mut items = Vec::new();
    let mut bytes = 0;
    let mut hints: Option<CacheHints> = None;
    let mut cursor: Option<Value> = None;
    let mut cursors = HashSet::new();
    let offered = contact.about.has(kind.group);
    for page in 0.. {
        if !offered {
            break;
        }
        if page >= limits.list_pages {
            return Err(bound(kind, "pages", limits.list_pages));
        }
        let mut asked = Asked {
            method: kind.method,
            retry: None,
            refused: &[],
            // A list has no data of anybody.
            tenant: None,
            deadline: Deadline::within(server.shared.timeouts.own_request()),
            ..caller.clone()
        };
        asked.params = doorward_mcp::Object::new();
        if let Some(cursor) = cursor.take() {
            asked.params.set("cursor", cursor);
        }
        let result = match Box::pin(server.ask(&asked, &Events::ignored())).await {
            Ok(result) => result,
            // Some servers declare a capability but implement only some of its methods.
            Err(CallError::Rpc(error)) if error.code == code::METHOD_NOT_FOUND && page == 0 => {
                break;
            }
            Err(error) => return Err(error),
        };
        let told = CacheHints::read(&result).unwrap_or(CacheHints::NONE);
        hints = Some(match hints {
            None => told,
            Some(first) => CacheHints {
                ttl_ms: first.ttl_ms.min(told.ttl_ms),
                public: first.public && told.public,
            },
        });
        // Servers that serialize empty members write null for an empty list.
        let page_items = match result.get(kind.member).filter(|items| !items.is_null()) {
            None => Vec::new(),
            Some(items) => items.as_array().ok_or_else(|| {
                Failure::new(FailureKind::InvalidMessage, "The server's list has no items")
                    .because(format!("{} without an array '{}'", kind.method, kind.member))
            })?,
        };
        if items.len() + page_items.len() > limits.list_items {
            return Err(bound(kind, "items", limits.list_items));
        }
        bytes += result.size_hint();
        if bytes > limits.list_bytes.0 {
            let most = limits.list_bytes;
            let message = format!("The server's list is larger than {most} ('limits.list_bytes')");
            return Err(Failure::new(FailureKind::TooLarge, message).because(kind.method).into());
        }
        items.extend(page_items.iter().filter_map(|item| read(server, kind, item)));
        match result.get("nextCursor").filter(|next| goes_on(next)) {
            None => break,
            Some(next) => {
                // Stop at a repeated cursor: the pages read so far are the list.
                if !cursors.insert(next.to_bytes()) {
                    tracing::warn!(
                        server = &*server.name,
                        list = kind.method,
                        items = items.len(),
                        "the list is cyclic; stopped where its cursor repeated"
                    );
                    break;
                }
                cursor = Some(next.clone());
            }
        }
    }
    let mut seen = HashSet::new();
    items.retain(|item| {
        let first = seen.insert(item.key.clone());
        if !first {
            tracing::warn!(
                server = &*server.name,
                name = &*item.key,
                "ignored an item that is listed twice"
            );
        }
        first
    });
    let hints = hints.unwrap_or(CacheHints::NONE);
    let Approved { items, withheld } = server.approved(contact.era, kind, items).await;
    let learnt = match kind.method {
        method::TOOLS_LIST => learn::tools(server, contact.era, items).await?,
        _ => learn::Learnt { items, ..learn::Learnt::default() },
    };
    let now = Instant::now();
    Ok(List {
        items: Arc::new(learnt.items),
        hints,
        changed: withheld.iter().filter(|it| it.1.is_changed).map(|it| it.0.clone()).collect(),
        left_out: Arc::new(
            withheld.into_iter().map(|(name, it)| (name, it.why)).chain(learnt.left_out).collect(),
        ),
        tools: Arc::new(learnt.tools),
        bytes,
        fresh_until: now + lifetime(server, contact, kind, hints),
        fetched: now,
        is_known: true,
        problem: None,
    })
}

/// Whether a cursor leads to another page: servers that serialize empty members write an empty one,
/// or null.
pub(super) fn goes_on(cursor: &Value) -> bool {
    !cursor.is_null() && cursor.as_str().is_none_or(|text| !text.is_empty())
}

/// How long a list may be cached.
fn lifetime(server: &Server, contact: &Contact, kind: &Kind, hints: CacheHints) -> Duration {
    if !contact.about.has(kind.group) {
        return LONGEST;
    }
    let told = Duration::from_millis(hints.ttl_ms);
    let otherwise = if contact.about.announces(kind.group) {
        WATCHED
    } else if let Some(ttl) = server.settings.list_ttl {
        ttl.0
    } else if contact.era == Era::Modern {
        // Zero means that the list must not be cached (spec 2026-07-28 server/utilities/caching).
        Duration::ZERO
    } else {
        UNKNOWN
    };
    told.max(otherwise).min(LONGEST)
}

fn bound(kind: &Kind, what: &str, limit: usize) -> CallError {
    let message = format!("The server's list has more than {limit} {what}");
    Failure::new(FailureKind::TooLarge, message).because(kind.method).into()
}

fn read(server: &Server, kind: &Kind, item: &Value) -> Option<Item> {
    let left_out = |why: &str| {
        tracing::warn!(server = &*server.name, list = kind.method, "ignored an item: {why}");
    };
    let Some(definition) = item.as_object().map(std::borrow::Cow::into_owned) else {
        left_out("it is not an object");
        return None;
    };
    let key = definition.string(kind.key).filter(|key| !key.trim().is_empty());
    let Some(key) = key.map(Box::<str>::from) else {
        left_out("it has no name");
        return None;
    };
    if matches!(kind.key, "uri" | "uriTemplate") && uri::has_dot_segment(&key) {
        left_out("its URI has '.' or '..' as a segment");
        return None;
    }
    let mut definition = definition;
    if repair::item(kind.member, &key, &mut definition) {
        tracing::debug!(server = &*server.name, name = &*key, "corrected an item");
    }
    Some(Item { key, definition })
}
