//! Reads other registries, as long as the gateway runs.

use std::sync::Arc;

use crate::gateway::Gateway;
use doorward_registry::source;

impl Gateway {
    /// Proposes what the registries of the configuration have, until the gateway closes.
    pub(crate) async fn read_registries(self: Arc<Self>) {
        let Some(store) = self.kept.store().cloned() else { return };
        source::run(store, || Arc::clone(&self.settings()), self.closing.clone()).await;
    }
}
