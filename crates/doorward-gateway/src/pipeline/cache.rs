//! Stage: returns cached results that are fresh, for this caller or for all, and sends identical concurrent requests
//! once.
//!
//! It comes after the record was opened and the price reserved: a call that is served from cache is recorded and
//! charged like any other. Errors, requests for input, tasks and results of writes are never cached (attack T22).

use std::borrow::Cow;
use std::sync::Arc;

use doorward_mcp::method;
use doorward_mcp::translate::CacheHints;

use super::cache_key::{keys_of, knows_nobody};
use super::cache_lookup::Looked;
use crate::call::{Asks, Call, CallError, Events, Reply};
use crate::gateway::Gateway;
use crate::pipeline::{self, Decision, Stage, Step};
use doorward_cache::{Age, Boarding, Entry, Key, Keys, Lead, Waited, is_final, lives};
use doorward_config::CacheRule;
use doorward_observability::metrics::CacheOutcome;
use doorward_upstream::Server;

pub struct Cache;

impl Stage for Cache {
    fn name(&self) -> &'static str {
        "cache"
    }

    fn enter<'a>(&self, gateway: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        let Some(rule) = rule_of(call) else { return Step::CONTINUE };
        let Some(server) = call.route.as_ref().map(|route| route.server.clone()) else {
            return Step::CONTINUE;
        };
        let Some(keys) = keys_of(gateway, call, &server) else { return Step::CONTINUE };
        let cache = &gateway.shared.cache;
        if cache.shared().is_none() && call.notes.refreshes.is_none() {
            // Most of what is at hand is told without waiting for anything.
            let epoch = server.epoch();
            let found = names(&rule, &server, &keys).find_map(|key| cache.get(&key, epoch));
            if let Some(entry) = found.filter(|entry| entry.age() == Age::Fresh) {
                return Step::Now(tell(call, &server, &entry, CacheOutcome::hit));
            }
        }
        Step::Later(Box::pin(look(gateway, call, server, rule, keys)))
    }

    fn leave(&self, gateway: &Gateway, call: &mut Call, reply: &mut Result<Reply, CallError>) {
        let Some(server) = call.route.as_ref().map(|route| route.server.clone()) else { return };
        if let Ok(Reply::Result(result)) = &*reply
            && CacheHints::read(result).is_some_and(|hints| hints.ttl_ms > 0)
        {
            server.gives_hints();
        }
        let Some(looked) = call.notes.looked.take() else { return };
        let Looked { keys, rule, epoch, lead, stale } = *looked;
        let entry = match &*reply {
            Ok(Reply::Result(result)) if is_final(result) => {
                let hints = CacheHints::read(result);
                lives(&rule, hints).map(|lives| {
                    let is_public = is_public(&rule, hints, &server);
                    let key = if is_public { keys.public } else { keys.private };
                    (key, Arc::new(Entry::new(result.clone(), lives, epoch)))
                })
            }
            _ => None,
        };
        if let Some((key, entry)) = &entry {
            keep(gateway, *key, entry);
        }
        if let Err(CallError::Gateway(failure)) = &*reply
            && let Some(entry) = stale.filter(|entry| entry.helps())
        {
            tracing::debug!(server = &*server.name, "served a stale result: {failure}");
            server.metrics.cache(CacheOutcome::stale);
            call.notes.cached = Some("stale");
            *reply = Ok(Reply::Result(entry.told("stale")));
        }
        if let Some(lead) = lead {
            lead.land(entry.map(|(_, entry)| entry));
        }
    }
}

/// By which rule the answer of a call may be told again; `None` if it may not.
fn rule_of(call: &Call) -> Option<CacheRule> {
    let route = call.route.as_ref()?;
    let settings = &route.server.settings;
    // Whoever answers a question, and whoever may have to consent first, is asked.
    if call.retry.is_some() || settings.delegated.is_some() {
        return None;
    }
    let hinted = route.server.has_given_hints();
    let rule = match &*call.method {
        method::TOOLS_CALL if route.writes == Some(false) => {
            Cow::Borrowed(&route.tool.as_ref()?.cache)
        }
        method::RESOURCES_READ => Cow::Owned(settings.cache_of(&call.params.string("uri")?)),
        _ => return None,
    };
    (rule.ttl.is_some() || (hinted && rule.takes_hints())).then(|| rule.into_owned())
}

/// The names under which an answer may be kept, the caller's own first.
fn names(rule: &CacheRule, server: &Server, keys: &Keys) -> impl Iterator<Item = Key> {
    let all = knows_nobody(&server.settings);
    let (public, trusts) = (rule.public == Some(true), rule.trust_public == Some(true));
    let private = (!(public && all)).then_some(keys.private);
    private.into_iter().chain((all && (public || trusts)).then_some(keys.public))
}

/// Whether an answer is everybody's.
fn is_public(rule: &CacheRule, hints: Option<CacheHints>, server: &Server) -> bool {
    let said = rule.trust_public == Some(true) && hints.is_some_and(|hints| hints.public);
    knows_nobody(&server.settings) && (rule.public == Some(true) || said)
}

fn tell(call: &mut Call, server: &Server, entry: &Entry, how: CacheOutcome) -> Decision {
    server.metrics.cache(how);
    call.notes.cached = Some(how.as_str());
    Ok(Some(Reply::Result(entry.told(how.as_str()))))
}

async fn look(
    gateway: &Arc<Gateway>,
    call: &mut Call,
    server: Arc<Server>,
    rule: CacheRule,
    keys: Keys,
) -> Decision {
    let cache = &gateway.shared.cache;
    let refreshes = call.notes.refreshes.take();
    let for_all = rule.public == Some(true) && knows_nobody(&server.settings);
    let flight = if for_all { keys.public } else { keys.private };
    let mut lead = refreshes;
    let mut came_late = false;
    loop {
        // While the shared store is away, everybody asks the server.
        let Some((epoch, found)) = find(gateway, &server, &rule, &keys).await else {
            return Ok(None);
        };
        let stale = match found {
            Some(entry) if lead.is_none() => match entry.age() {
                Age::Fresh => return tell(call, &server, &entry, CacheOutcome::hit),
                Age::Revalidating => {
                    if let Some(lead) = cache.flights.lead(flight) {
                        refresh(gateway, call, lead);
                    }
                    return tell(call, &server, &entry, CacheOutcome::stale);
                }
                Age::Failing | Age::Over => Some(entry),
            },
            found => found,
        };
        if lead.is_none() {
            match cache.flights.board(flight) {
                Boarding::Leads(leads) => lead = Some(leads),
                Boarding::Waits(waiting) => {
                    let fresh = call.deadline_at(&server);
                    let deadline = *call.notes.deadline.get_or_insert(fresh);
                    let patience = deadline.left_at_most();
                    let landed = tokio::time::timeout(patience, waiting.end()).await;
                    match landed.map_err(|_| deadline.passed())? {
                        // What was asked before something was changed is not told to whoever came after that.
                        Waited::Shared(entry) if entry.epoch == epoch => {
                            return tell(call, &server, &entry, CacheOutcome::joined);
                        }
                        Waited::Shared(_) if came_late => {}
                        Waited::Shared(_) => {
                            came_late = true;
                            continue;
                        }
                        Waited::Again => continue,
                        Waited::Alone => {}
                    }
                }
            }
        }
        if let Some(deadline) = &mut call.notes.deadline {
            deadline.after_another();
            if deadline.left().is_zero() {
                return Err(deadline.passed().into());
            }
        }
        server.metrics.cache(CacheOutcome::miss);
        call.notes.looked = Some(Box::new(Looked { keys, rule, epoch, lead, stale }));
        return Ok(None);
    }
}

/// What marks the server's state, and what is kept of it. `None` while that cannot be found out.
async fn find(
    gateway: &Gateway,
    server: &Server,
    rule: &CacheRule,
    keys: &Keys,
) -> Option<(u64, Option<Arc<Entry>>)> {
    let cache = &gateway.shared.cache;
    let Some(shared) = cache.shared() else {
        let epoch = server.epoch();
        let found = names(rule, server, keys).find_map(|key| cache.get(&key, epoch));
        return Some((epoch, found));
    };
    let names: Vec<Key> = names(rule, server, keys).collect();
    let (epoch, found) = shared.get(&gateway.shared.sealer, &server.name, &names).await?;
    Some((epoch, found.filter(|entry| entry.age() != Age::Over).map(Arc::new)))
}

fn keep(gateway: &Gateway, key: Key, entry: &Arc<Entry>) {
    let shared = gateway.shared.clone();
    match shared.cache.shared() {
        None => shared.cache.put(key, entry),
        Some(store) if shared.cache.is_small_enough(entry) => {
            let entry = entry.clone();
            gateway.shared.tasks.spawn(async move { store.put(&shared.sealer, key, &entry).await });
        }
        Some(_) => {}
    }
}

/// Asks the server anew, as a call of the same caller's, while the old answer is told.
fn refresh(gateway: &Arc<Gateway>, call: &Call, lead: Lead) {
    let mut params = call.params.clone();
    if let Some(shown) = &call.shown_name {
        let member = if *call.method == *method::RESOURCES_READ { "uri" } else { "name" };
        params.set(member, &**shown);
    }
    let asks = Asks {
        caller: call.caller.clone(),
        protocol: call.protocol,
        portal: call.portal.clone(),
        revision: call.revision,
        client: call.client.clone(),
        session: call.session.clone(),
        conversation: call.conversation.clone(),
        retry: None,
        param_headers: call.param_headers.clone(),
        discovery: call.discovery,
    };
    let mut again = Call::new(asks, &call.method, params);
    again.notes.refreshes = Some(lead);
    let run = pipeline::run(gateway.clone(), again, Events::ignored());
    gateway.shared.tasks.spawn(async move {
        if let Err(refusal) = run.await {
            tracing::debug!("refresh failed: {}", refusal.error.message);
        }
    });
}
