//! Where the data of tenants may go.

use std::collections::{BTreeMap, BTreeSet};

use doorward_core::pattern::Pattern;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::labels::is_label;

/// Tenants, by name.
pub type Tenants = BTreeMap<String, TenantSettings>;

/// What holds for all calls of a tenant's users, agents and service accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantSettings {
    /// Regions, as patterns, in which its data may be processed: its calls are sent only to servers and replicas that are in
    /// one. Default: anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regions: Option<BTreeSet<Pattern>>,
    /// Classes of data that all its calls carry.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub data: BTreeSet<String>,
}

impl TenantSettings {
    /// Whether its calls may be sent to what is in a region; without one, to what is not said to be anywhere.
    pub fn may_use(&self, region: Option<&str>) -> bool {
        let Some(regions) = &self.regions else { return true };
        region.is_some_and(|region| regions.iter().any(|pattern| pattern.matches(region)))
    }
}

/// Problems, by path.
pub(super) fn problems_of(tenants: &Tenants) -> Vec<(Vec<&str>, String)> {
    let mut problems = Vec::new();
    for (name, tenant) in tenants {
        if tenant.regions.as_ref().is_some_and(BTreeSet::is_empty) {
            let why = "expected at least one region, or leave it out to allow any";
            problems.push((vec!["tenants", name, "regions"], why.to_owned()));
        }
        if let Some(wrong) = tenant.data.iter().find(|class| !is_label(class)) {
            let why = format!(
                "'{wrong}' is not a class of data: 1 to 64 letters, digits, '-', '_', '.' and ':'"
            );
            problems.push((vec!["tenants", name, "data"], why));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_uses_its_regions_alone() {
        let tenant = |text: &str| -> TenantSettings { serde_json::from_str(text).unwrap() };
        let eu = tenant(r#"{"regions": ["eu-*", "ch"]}"#);
        assert!(eu.may_use(Some("eu-west")) && eu.may_use(Some("ch")));
        assert!(!eu.may_use(Some("us")) && !eu.may_use(None));
        assert!(tenant("{}").may_use(None) && tenant("{}").may_use(Some("us")));
        let wrong = Tenants::from([
            ("a".to_owned(), tenant(r#"{"regions": []}"#)),
            ("b".to_owned(), tenant(r#"{"data": ["a b"]}"#)),
            ("c".to_owned(), eu),
        ]);
        let paths: Vec<_> =
            problems_of(&wrong).into_iter().map(|(path, _)| path.join(".")).collect();
        assert_eq!(paths, ["tenants.a.regions", "tenants.b.data"]);
    }
}
