//! What the settings say about the data of tenants.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use doorward_config::{Settings, TenantSettings};
use doorward_policy::Principal;

/// Settings of tenants, by name.
#[derive(Debug, Default)]
pub struct Tenants(ArcSwapOption<HashMap<String, Arc<TenantSettings>>>);

impl Tenants {
    /// Applies new settings.
    pub(crate) fn take(&self, settings: &Settings) {
        let all: HashMap<_, _> = settings
            .tenants
            .iter()
            .map(|(name, tenant)| (name.clone(), Arc::new(tenant.clone())))
            .collect();
        self.0.store((!all.is_empty()).then(|| Arc::new(all)));
    }

    /// What holds for a principal's tenant, if anything.
    pub(crate) fn of(&self, who: &Principal) -> Option<Arc<TenantSettings>> {
        let all = self.0.load();
        all.as_ref()?.get(who.tenant.as_ref()?).cloned()
    }
}
