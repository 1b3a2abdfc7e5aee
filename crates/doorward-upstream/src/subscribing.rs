//! Subscribes to resources and tasks of a server, and ends subscriptions that nobody needs any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_mcp::error::{Kind, code};
use doorward_mcp::{Object, RpcError, method};
use futures_util::future::join_all;

use super::call_error::CallError;
use super::session::SendError;
use super::subscriptions::{Said, Subscription, What};
use super::{Contact, Link, Server};
use doorward_core::Failure;
use doorward_core::share::sharer;

impl Server {
    /// Subscribes to a resource until the returned value is dropped. Returns when the server has agreed.
    pub async fn subscribe(
        self: &Arc<Self>,
        uri: &str,
        principal: &str,
    ) -> Result<Subscription, CallError> {
        let contact = self.contact().await?;
        let (held, said) = self.want(What::Resource, uri, principal)?;
        if said == Said::Agreed {
            return Ok(held);
        }
        if self.replicas.is_some() {
            self.subscribe_everywhere(uri, principal).await?;
        } else {
            match &contact.link {
                Link::Sample => {}
                Link::Api(_) => {
                    return Err(RpcError::method_not_found(method::RESOURCES_SUBSCRIBE).into());
                }
                Link::Modern(_) => {
                    self.interest.changed.notify_one();
                    if !self.interest.is_agreed(What::Resource, uri).await {
                        let why = "The server does not offer updates of this resource";
                        return Err(RpcError::invalid_params(why).into());
                    }
                }
                _ => self.subscribe_in_session(method::RESOURCES_SUBSCRIBE, uri).await?,
            }
        }
        self.interest.settle([&(What::Resource, uri.into())], Said::Agreed);
        Ok(held)
    }

    /// Adds a subscription and returns the server's response to it so far.
    fn want(
        self: &Arc<Self>,
        what: What,
        name: &str,
        principal: &str,
    ) -> Result<(Subscription, Said), CallError> {
        let said = self.interest.add(what, name, principal).map_err(|_| {
            let why = "The limit of bytes of all subscriptions at this server is reached";
            Failure::new(Kind::Overloaded, why)
        })?;
        let (server, name) = (self.clone(), Box::<str>::from(name));
        let principal = Box::<str>::from(sharer(principal));
        let leave = move || server.leave(what, &name, &principal);
        Ok((Subscription::new(leave), said))
    }

    /// Removes a subscription at all replicas.
    fn leave(&self, what: What, name: &str, principal: &str) {
        if !self.interest.subtract(what, name, principal) {
            return;
        }
        if self.replicas.is_none() {
            return self.wants_no_more(what, name);
        }
        for member in self.members() {
            if member.interest.remove(what, name) {
                member.wants_no_more(what, name);
            }
        }
    }

    /// Subscribes at all replicas, because any of them may see the update. Those that cannot be reached
    /// now follow once they can.
    async fn subscribe_everywhere(&self, uri: &str, principal: &str) -> Result<(), CallError> {
        let members = self.members();
        let asking = members.iter().map(|member| async move {
            if !member.is_reachable() {
                let _ = member.interest.add(What::Resource, uri, principal);
                return None;
            }
            match Box::pin(member.subscribe(uri, principal)).await {
                Ok(held) => {
                    held.leave_counted();
                    Some(Ok(()))
                }
                Err(error) => {
                    if matches!(error, CallError::Gateway(_)) {
                        let _ = member.interest.add(What::Resource, uri, principal);
                    }
                    Some(Err(error))
                }
            }
        });
        let answers: Vec<_> = join_all(asking).await.into_iter().flatten().collect();
        let mut refused = None;
        for answer in answers {
            match answer {
                Ok(()) => return Ok(()),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| {
            Failure::new(Kind::Unreachable, "None of the server's replicas is available").into()
        }))
    }

    /// The last subscriber has left.
    fn wants_no_more(&self, what: What, name: &str) {
        match self.known().as_deref() {
            Some(Contact { link: Link::Modern(_), .. }) => self.interest.changed.notify_one(),
            Some(Contact { link: Link::Sample | Link::Api(_), .. }) | None => {}
            Some(_) => {
                let Some(server) = self.this.upgrade().filter(|_| what == What::Resource) else {
                    return;
                };
                let uri = name.to_owned();
                self.shared.tasks.spawn(async move {
                    let _ = server.subscribe_in_session(method::RESOURCES_UNSUBSCRIBE, &uri).await;
                });
            }
        }
    }

    /// Subscribes to the state of a task (tasks extension) until the returned value is dropped.
    /// `None` if the server does not agree.
    pub async fn subscribe_task(
        self: &Arc<Self>,
        task: &str,
        principal: &str,
    ) -> Option<Subscription> {
        let contact = self.contact().await.ok()?;
        if !matches!(contact.link, Link::Modern(_)) {
            return None;
        }
        let (held, said) = self.want(What::Task, task, principal).ok()?;
        if said != Said::Agreed {
            self.interest.changed.notify_one();
            if !self.interest.is_agreed(What::Task, task).await {
                return None;
            }
        }
        Some(held)
    }

    pub(super) async fn subscribe_in_session(
        &self,
        method: &str,
        uri: &str,
    ) -> Result<(), CallError> {
        let Some(session) = self.base_session() else { return Ok(()) };
        let mut params = Object::new();
        params.set("uri", uri);
        match session.ask(method, params, self.shared.timeouts.own_request()).await {
            Ok(_) => Ok(()),
            Err(SendError::Rpc(mut error)) => {
                if error.code == code::RESOURCE_NOT_FOUND {
                    error.code = code::INVALID_PARAMS;
                }
                Err(error.into())
            }
            Err(SendError::Failed(failure)) => Err(failure.into()),
            // The supervisor opens another session, and subscribes there.
            Err(SendError::Lost) => {
                self.pool.forget(&session);
                Ok(())
            }
        }
    }

    /// The URIs that are subscribed to.
    pub fn subscribed(&self) -> BTreeSet<String> {
        self.interest.uris()
    }
}
