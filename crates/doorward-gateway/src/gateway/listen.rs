//! Subscribes a listener at a portal, as far as its request can be granted.

use std::collections::{BTreeSet, HashMap};

use doorward_mcp::error::Kind;
use doorward_mcp::filter::Filter;
use doorward_mcp::{Era, RpcError, Value};
use doorward_policy::{Action, TargetKind};
use futures_util::{StreamExt, stream};

use super::Gateway;
use crate::access::decide::Asking;
use crate::access::targets::target;
use crate::call::{CallError, Failure, Portal};
use doorward_upstream::switchboard::{Listener, TooMany, Wish};
use doorward_upstream::{Server, Subscription};

/// Concurrent subscription requests per listener.
const AT_A_TIME: usize = 8;

impl Gateway {
    /// Adds a listener at a portal.
    pub async fn listen(&self, asking: &Asking<'_>, wanted: Filter) -> Result<Listener, CallError> {
        let (portal, principal) = (asking.portal, &asking.caller.principal);
        let era = asking.revision.era();
        let limits = &self.shared.limits;
        let streams = limits.streams_of(&principal.id);
        self.check_sees_any(asking)?;
        if wanted.uris.len() + wanted.tasks.len() > limits.subscriptions {
            let message =
                format!("The limit of {} subscriptions is exceeded", limits.subscriptions);
            return Err(RpcError::invalid_params(message).into());
        }
        let asked_for = wanted.uris.iter().chain(&wanted.tasks).map(String::len).sum();
        let bytes = self.shared.held.take(&principal.id, asked_for).map_err(|_| {
            too_many(
                "The limit of bytes stored for clients ('limits.held_bytes') is reached".into(),
            )
        })?;
        let mut granted = match portal {
            Portal::Merged | Portal::Named(_) => {
                Filter { uris: Default::default(), tasks: Default::default(), ..wanted.clone() }
            }
            Portal::Server(name) => {
                let server =
                    self.server(name).ok_or_else(|| RpcError::invalid_request("Unknown server"))?;
                let contact = server.spoken_in(era).await.contact().await?;
                // Sessions receive all list changes; a modern listener, those it was granted.
                let lists = match era {
                    Era::Handshake => wanted.clone(),
                    Era::Modern => wanted.honoured_by(&contact.about.capabilities),
                };
                Filter { uris: Default::default(), tasks: Default::default(), ..lists }
            }
        };
        let (granted_uris, resources) = self.subscribe_all(asking, &wanted.uris).await;
        granted.uris = granted_uris;
        let (tasks, at_tasks) = self.subscribe_tasks(asking, &wanted.tasks).await;
        let held = resources.into_iter().chain(at_tasks).collect::<Vec<_>>();
        let servers = match portal {
            Portal::Named(_) => {
                Some(self.portal_servers(portal).iter().map(|server| server.name.clone()).collect())
            }
            Portal::Merged | Portal::Server(_) => None,
        };
        let wish = Wish {
            portal: portal.clone(),
            servers,
            era,
            caller: principal.clone(),
            filter: granted,
            tasks,
            queue: limits.queue,
            limit: streams,
            held: (held, bytes),
        };
        self.shared
            .switchboard
            .listen(wish)
            .map_err(|TooMany| too_many(format!("The limit of {streams} open streams is reached")))
    }

    /// Subscribes to the resources that the caller may read, several at a time, so that one
    /// unresponsive server does not delay the others. Returns those granted.
    async fn subscribe_all(
        &self,
        asking: &Asking<'_>,
        uris: &BTreeSet<String>,
    ) -> (BTreeSet<String>, Vec<Subscription>) {
        let one = |uri: &String| {
            let uri = uri.clone();
            async move { self.subscribe_to(asking, &uri).await.map(|held| (uri, held)) }
        };
        side_by_side(uris.iter().map(one)).await
    }

    async fn subscribe_to(&self, asking: &Asking<'_>, uri: &str) -> Option<Subscription> {
        let (server, own) = self.named(asking.portal, true, uri)?;
        let target = target(&server, TargetKind::Resource, &own, None);
        if !self.may(asking, Action::Subscribe, &target) {
            return None;
        }
        let server = server.spoken_in(asking.revision.era()).await;
        if !can_subscribe(&server).await {
            return None;
        }
        server.subscribe(&own, &asking.caller.principal.id).await.ok()
    }

    /// The same for tasks. Returns the servers' ids of those granted, with the caller's ids.
    async fn subscribe_tasks(
        &self,
        asking: &Asking<'_>,
        tasks: &BTreeSet<String>,
    ) -> (HashMap<String, String>, Vec<Subscription>) {
        let one = |sealed: &String| {
            let sealed = sealed.clone();
            async move {
                let (task, held) = self.subscribe_to_task(asking, &sealed).await?;
                Some(((task, sealed), held))
            }
        };
        side_by_side(tasks.iter().map(one)).await
    }

    async fn subscribe_to_task(
        &self,
        asking: &Asking<'_>,
        sealed: &str,
    ) -> Option<(String, Subscription)> {
        let (server, own) = match asking.portal {
            Portal::Server(name) => (&**name, sealed),
            Portal::Merged | Portal::Named(_) => sealed.rsplit_once('.')?,
        };
        let (server, principal) = (self.server(server)?, &asking.caller.principal.id);
        let task = server.open_task(principal, own)?;
        let home = server.home_of_task(principal, own);
        let held = home.subscribe_task(&task, principal).await?;
        Some((task, held))
    }
}

/// Runs requests concurrently, and collects what was granted with the subscriptions.
async fn side_by_side<G: Default + Extend<T>, T>(
    requests: impl Iterator<Item = impl Future<Output = Option<(T, Subscription)>>>,
) -> (G, Vec<Subscription>) {
    stream::iter(requests).buffered(AT_A_TIME).filter_map(std::future::ready).unzip().await
}

fn too_many(why: String) -> CallError {
    CallError::Refused { failure: Failure::new(Kind::Overloaded, why), status: 429 }
}

async fn can_subscribe(server: &Server) -> bool {
    let Ok(contact) = server.contact().await else { return false };
    let resources = contact.about.capabilities.object("resources");
    resources.and_then(|group| group.get("subscribe").and_then(Value::as_bool)).unwrap_or(false)
}
