//! Sends events to webhooks while the gateway runs.

use std::sync::Arc;

use crate::gateway::Gateway;
use doorward_observability::webhooks;

impl Gateway {
    /// Queues and sends events until the gateway closes.
    pub(crate) async fn send_webhooks(self: Arc<Self>) {
        let Some(store) = self.kept.store().cloned() else { return };
        let (feed, closing) = (self.shared.audit.feed.clone(), self.closing.clone());
        let origin = || self.identity.resources.origin().to_owned();
        webhooks::run(feed, store, || Arc::clone(&self.settings()), origin, closing).await;
    }
}
