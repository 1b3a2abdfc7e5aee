//! The gateway's own tools: three by which clients search for others instead of listing them, and one that reads on in
//! results that were cut.
//!
//! A call of `call_tool` becomes the call of the tool that it names before anything is decided about it, so that every rule is
//! that of a direct call. A search becomes a request for the caller's list, which is answered in part.

use std::sync::Arc;

use doorward_config::Discovery;
use doorward_discovery::{Detail, Found, Invalid, Known, Search, Wanted};
use doorward_mcp::{Object, RpcError, method};
use doorward_schema::Mismatches;
use doorward_upstream::catalog::{Snapshot, TOOLS};

use crate::access::targets::is_write;
use crate::call::{Asks, Call, CallError};
use crate::discovering::{Discovering, Offers};
use crate::gateway::Gateway;
use crate::pipeline::cut::cutting;

impl Gateway {
    /// A call, as a door has received it. Of `call_tool`, it is the call of the tool that is named.
    pub fn call(&self, asks: Asks, method: &str, params: Object) -> Box<Call> {
        let mut call = Call::new(asks, method, params);
        if matches!(method, method::TOOLS_CALL | method::TOOLS_LIST) {
            let portal = self.selection(&call.portal);
            let of_portal = || portal.as_ref().map(|portal| portal.settings.discovery);
            let offers = Offers {
                search: call.discovery.or_else(of_portal) == Some(Discovery::Search),
                read_more: portal.as_ref().is_some_and(|portal| portal.cuts.is_some()),
            };
            if offers.search || offers.read_more {
                self.discover_tools(&mut call, offers);
            }
        }
        call
    }

    fn discover_tools(&self, call: &mut Call, offers: Offers) {
        if *call.method == *method::TOOLS_LIST {
            call.notes.discovering = Some(Box::new(Discovering::List(offers)));
            return;
        }
        let Some(name) = call.params.string("name") else { return };
        let arguments = call.params.object("arguments").unwrap_or_default();
        let is_offered = match &*name {
            doorward_discovery::READ_MORE => offers.read_more,
            _ => offers.search,
        };
        if !is_offered {
            return;
        }
        let limits = self.shared.limits.json();
        let Some(wanted) = doorward_discovery::read(&name, &arguments, limits) else { return };
        let discovering = match wanted {
            Ok(Wanted::Search(search)) => Discovering::Search(search),
            Ok(Wanted::Details(names)) => Discovering::Details(names),
            Ok(Wanted::ReadMore(cursor)) => Discovering::ReadMore(cursor),
            Ok(Wanted::Call { name, arguments }) => {
                call.params.set("name", name.as_str());
                call.params.set("arguments", arguments);
                // They mirror the arguments of tools that ask for it; this one asks for none.
                call.param_headers = None;
                call.notes.discovering = Some(Box::new(Discovering::Call));
                return;
            }
            Err(Invalid { path, problem }) => {
                Discovering::Invalid(Box::new(Mismatches::one(path, problem)))
            }
        };
        if !matches!(discovering, Discovering::Invalid(_)) {
            call.method = method::TOOLS_LIST.into();
            call.params.remove("name");
            call.params.remove("arguments");
        }
        call.notes.discovering = Some(Box::new(discovering));
    }
}

/// The answer to a list or a search, of the caller's tools.
pub async fn answer(
    gateway: &Gateway,
    call: &Call,
    snapshot: &Arc<Snapshot>,
) -> Result<Object, CallError> {
    match call.notes.discovering.as_deref() {
        Some(Discovering::Search(search)) => Ok(find(snapshot, search).await),
        Some(Discovering::Details(names)) => Ok(details(snapshot, names)),
        Some(Discovering::ReadMore(cursor)) => Ok(match cutting(gateway, call) {
            Some(cutting) => cutting.read_more(cursor),
            None => return Err(RpcError::invalid_params("Results are no longer cut here").into()),
        }),
        Some(Discovering::List(offers)) => list(gateway, call, snapshot, *offers),
        _ => {
            Ok(snapshot.page(TOOLS, call.params.get("cursor"), gateway.shared.limits.page_size)?)
        }
    }
}

/// The tools that are listed, and behind them those of the gateway.
fn list(
    gateway: &Gateway,
    call: &Call,
    snapshot: &Snapshot,
    offers: Offers,
) -> Result<Object, CallError> {
    let read_more = [doorward_discovery::read_more_definition().clone()];
    if !offers.search {
        let size = gateway.shared.limits.page_size;
        return Ok(snapshot.page_and(TOOLS, call.params.get("cursor"), size, &read_more)?);
    }
    if call.params.get("cursor").is_some_and(|cursor| !cursor.is_null()) {
        return Err(RpcError::invalid_params("'cursor' is not one of this list's").into());
    }
    let portal = gateway.selection(&call.portal);
    let is_favorite = |server: &str, own: &str| {
        let favorites = portal.iter().flat_map(|portal| &portal.settings.favorites);
        let id = format!("{server}/{own}");
        favorites.into_iter().any(|pattern| pattern.matches(&id))
    };
    let mut own = doorward_discovery::definitions().to_vec();
    if offers.read_more {
        own.extend(read_more);
    }
    Ok(snapshot.short_list(is_favorite, &own))
}

async fn find(snapshot: &Arc<Snapshot>, search: &Search) -> Object {
    let (of, search) = (snapshot.clone(), search.clone());
    // The first search of a snapshot reads all its tools.
    let finding = tokio::task::spawn_blocking(move || {
        let tools: Vec<_> = of.items(TOOLS).collect();
        let reads_only = |at: usize| {
            let (_, _, (server, view), own) = tools[at];
            !is_write(server, own, view.tool(own).map(|tool| &**tool))
        };
        let fits = |at: usize| {
            let (_, _, (server, _), _) = tools[at];
            search.server.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(&server.name))
                && (!search.read_only || reads_only(at))
        };
        let hits = match search.server.is_some() || search.read_only {
            true => of.search_among(&search.query, search.limit + 1, fits),
            false => of.search(&search.query, search.limit + 1),
        };
        let has_more = hits.len() > search.limit;
        let found = hits.into_iter().take(search.limit).map(|at| {
            let (name, definition, ..) = tools[at];
            Found { name, definition, reads_only: reads_only(at) }
        });
        doorward_discovery::found(found, search.detail == Detail::Full, has_more)
    });
    finding.await.unwrap_or_default()
}

fn details(snapshot: &Snapshot, names: &[String]) -> Object {
    let known = names.iter().map(|name| {
        let found = snapshot.items(TOOLS).find(|(shown, ..)| shown == name);
        Known { name, definition: found.map(|(_, definition, ..)| definition) }
    });
    doorward_discovery::details(known)
}
