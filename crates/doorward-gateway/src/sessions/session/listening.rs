//! The subscriptions of a handshake-era session.

use std::sync::Arc;

use doorward_mcp::filter::Filter;
use doorward_mcp::meta::Client;
use doorward_mcp::{Era, RpcError};
use doorward_policy::{Action, TargetKind};

use super::Session;
use crate::access::decide::Asking;
use crate::access::targets::target;
use crate::call::CallError;
use crate::gateway::Gateway;
use crate::pipeline::check_uri;
use crate::stops::admit::failure;
use doorward_identity::identity::Caller;

impl Session {
    /// Starts listening for changes as declared in the session's capabilities, or renews it after
    /// the subscriptions have changed.
    pub async fn listen(self: &Arc<Self>, gateway: &Gateway) -> Result<(), CallError> {
        let _renewing = self.renewing.lock().await;
        let wanted = Filter { uris: self.subscribed.lock().clone(), ..Filter::lists() };
        let client = self.client();
        let asking = self.asking(&self.opener, &client);
        let listener = gateway.listen(&asking, wanted).await?;
        let token = self.closed.child_token();
        // The new listener starts before the old one ends.
        if let Some(old) = self.listening.lock().replace(token.clone()) {
            old.cancel();
        }
        self.shared.tasks.spawn(self.clone().forward(listener, token));
        Ok(())
    }

    fn asking<'a>(&'a self, caller: &'a Caller, client: &'a Client) -> Asking<'a> {
        let (revision, protocol, portal) = (self.revision(), self.protocol, &self.portal);
        Asking { caller, client, revision, protocol, portal, facts: None }
    }

    pub async fn subscribe(
        self: &Arc<Self>,
        gateway: &Gateway,
        caller: &Caller,
        uri: &str,
    ) -> Result<(), CallError> {
        check_uri(uri)?;
        let limit = self.shared.limits.subscriptions;
        if self.subscribed.lock().len() >= limit {
            let message = format!("The limit of {limit} subscriptions is reached");
            return Err(RpcError::invalid_params(message).into());
        }
        let absent = || {
            RpcError::new(doorward_mcp::error::code::RESOURCE_NOT_FOUND, "Resource not found")
                .with_data(&serde_json::json!({ "uri": uri }))
        };
        let (server, own) = gateway.named(&self.portal, true, uri).ok_or_else(absent)?;
        let client = self.client();
        let target = target(&server, TargetKind::Resource, &own, None);
        if !gateway.may(&self.asking(caller, &client), Action::Subscribe, &target) {
            return Err(absent().into());
        }
        if let Some(stop) = gateway.stop_of_server(&server) {
            return Err(failure(&stop).into());
        }
        let server = server.spoken_in(Era::Handshake).await;
        // Subscribed twice for a moment, so that a refusal of the server can be returned.
        let held = server.subscribe(&own, &self.opener.principal.id).await?;
        let is_new = self.subscribed.lock().insert(uri.to_owned());
        let listening = self.listen(gateway).await;
        if is_new && listening.is_err() {
            self.subscribed.lock().remove(uri);
        }
        drop(held);
        listening
    }

    pub async fn unsubscribe(
        self: &Arc<Self>,
        gateway: &Gateway,
        uri: &str,
    ) -> Result<(), CallError> {
        if self.subscribed.lock().remove(uri) {
            self.listen(gateway).await?;
        }
        Ok(())
    }
}
