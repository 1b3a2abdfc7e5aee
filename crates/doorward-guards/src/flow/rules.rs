//! The flow rules of the settings, prepared for calls.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward_config::{AfterStart, FlowSettings, Separation, ServerSettings, Settings, StoreAway};

/// The rules in force.
#[derive(Debug)]
pub struct Rules {
    flow: FlowSettings,
    /// Every label that the settings name.
    pub known: BTreeSet<String>,
    /// Whether external checks may add labels.
    has_checks: bool,
    /// Whether anything that is listed may carry a label.
    pub lists_bring: bool,
}

impl Rules {
    pub fn of<'a>(
        settings: &Settings,
        servers: impl Iterator<Item = &'a ServerSettings> + Clone,
    ) -> Self {
        let known = doorward_config::labels::labels(&settings.flow, servers.clone());
        let mut servers = servers;
        let lists_bring =
            servers.any(|server| !server.lists_bring.is_empty() || !server.may_bring().is_empty());
        let has_checks = !settings.checks.is_empty();
        Self { flow: settings.flow.clone(), known, has_checks, lists_bring }
    }

    /// Whether there are flow rules.
    pub fn is_on(&self) -> bool {
        !self.known.is_empty() || self.has_checks
    }

    pub fn separation(&self) -> Separation {
        self.flow.conversations
    }

    pub fn lasts(&self) -> Duration {
        self.flow.lasts.0
    }

    pub fn assumes_clean(&self) -> bool {
        self.flow.after_start == AfterStart::Clean
    }

    pub fn is_closed_when_away(&self) -> bool {
        self.flow.store_away == StoreAway::Closed
    }

    /// Whether what inspection finds in results has labels.
    pub fn reads_results(&self) -> bool {
        !self.flow.findings.is_empty() || !self.flow.data.is_empty()
    }

    /// The labels of what inspection has found in a result.
    pub fn labels_of(
        &self,
        findings: &BTreeSet<String>,
        data: &BTreeSet<String>,
    ) -> BTreeSet<String> {
        let mut labels = BTreeSet::new();
        for (patterns, found) in [(&self.flow.findings, findings), (&self.flow.data, data)] {
            for (pattern, of_pattern) in patterns {
                if found.iter().any(|one| pattern.matches(one)) {
                    labels.extend(of_pattern.iter().cloned());
                }
            }
        }
        labels
    }
}
