//! Reads external registries while the gateway runs.

use std::sync::Arc;

use crate::gateway::Gateway;
use doorward_registry::source;

impl Gateway {
    /// Proposes entries of the configured registries, until the gateway closes.
    pub(crate) async fn read_registries(self: Arc<Self>) {
        let Some(store) = self.kept.store().cloned() else { return };
        source::run(store, || Arc::clone(&self.settings()), self.closing.clone()).await;
    }
}
