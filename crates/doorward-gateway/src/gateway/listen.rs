//! Joining the listeners at a portal, for as much of a wish as can be honoured.

use std::collections::HashMap;

use doorward_mcp::error::Kind;
use doorward_mcp::filter::Filter;
use doorward_mcp::{Era, RpcError, Value};
use doorward_policy::{Action, TargetKind};

use super::Gateway;
use crate::access::{self, Asking};
use crate::call::{CallError, Failure, Portal};
use doorward_upstream::switchboard::{Listener, TooMany, Wish};
use doorward_upstream::{Server, Subscription};

impl Gateway {
    /// Joins the listeners at a portal.
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
            too_many("The limit of bytes held for clients ('limits.held_bytes') is reached".into())
        })?;
        let mut held: Vec<Subscription> = Vec::new();
        let mut granted = match portal {
            Portal::Merged | Portal::Named(_) => {
                Filter { uris: Default::default(), tasks: Default::default(), ..wanted.clone() }
            }
            Portal::Server(name) => {
                let server =
                    self.server(name).ok_or_else(|| RpcError::invalid_request("Unknown server"))?;
                let contact = server.spoken_in(era).await.contact().await?;
                // Sessions are told whatever the server tells, declared or not; a modern listener
                // what it was promised.
                let lists = match era {
                    Era::Handshake => wanted.clone(),
                    Era::Modern => wanted.honoured_by(&contact.about.capabilities),
                };
                Filter { uris: Default::default(), tasks: Default::default(), ..lists }
            }
        };
        for uri in &wanted.uris {
            let Some((server, own)) = self.named(portal, true, uri) else { continue };
            let target = access::target(&server, TargetKind::Resource, &own, None);
            if !self.may(asking, Action::Subscribe, &target) {
                continue;
            }
            let server = server.spoken_in(era).await;
            if can_subscribe(&server).await
                && let Ok(subscription) = server.subscribe(&own, &principal.id).await
            {
                granted.uris.insert(uri.clone());
                held.push(subscription);
            }
        }
        let mut tasks = HashMap::new();
        for sealed in &wanted.tasks {
            let (server, own) = match portal {
                Portal::Server(name) => (self.server(name), sealed.as_str()),
                Portal::Merged | Portal::Named(_) => match sealed.rsplit_once('.') {
                    Some((server, own)) => (self.server(server), own),
                    None => continue,
                },
            };
            let Some(server) = server else { continue };
            let Some(task) = server.open_task(&principal.id, own) else { continue };
            let server = server.home_of_task(&principal.id, own);
            if let Some(subscription) = server.subscribe_task(&task, &principal.id).await {
                tasks.insert(task, sealed.clone());
                held.push(subscription);
            }
        }
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
            principal: principal.id.clone(),
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
}

fn too_many(why: String) -> CallError {
    CallError::Refused { failure: Failure::new(Kind::Overloaded, why), status: 429 }
}

async fn can_subscribe(server: &Server) -> bool {
    let Ok(contact) = server.contact().await else { return false };
    let resources = contact.about.capabilities.object("resources");
    resources.and_then(|group| group.get("subscribe").and_then(Value::as_bool)).unwrap_or(false)
}
