//! A call's conversation, with the state that it belongs to.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::conversations::{Conversations, Counter, Counts};
use crate::flow::{Carrier, Flow, Origin, Unavailable, Unknown};

/// What a call carries through the stages, where there are flow rules or bounds of conversations.
#[derive(Debug)]
pub struct Conversing {
    pub carrier: Carrier,
    /// The call that brings labels: this one.
    pub origin: Origin,
    /// Why it is not known what the conversation carries.
    pub unknown: Option<Unknown>,
    /// What it is counted in and the counts, where conversations are bounded.
    pub counted: Option<(Counter, Counts)>,
    pub flow: Arc<Flow>,
    pub conversations: Arc<Conversations>,
}

impl Conversing {
    /// The labels of what inspection has found in a result, and of what external checks have said.
    pub fn learnt(
        &self,
        found: Option<(&BTreeSet<String>, &BTreeSet<String>)>,
        said: &BTreeSet<String>,
    ) -> BTreeSet<String> {
        let found = found.filter(|_| self.flow.reads_results());
        let mut labels = found
            .map_or_else(BTreeSet::new, |(findings, data)| self.flow.labels_of(findings, data));
        labels.extend(said.iter().cloned());
        labels
    }

    /// Marks the conversation. `None` where it is done without waiting.
    pub fn bring(
        &self,
        labels: BTreeSet<String>,
    ) -> Option<impl Future<Output = Result<(), Unavailable>> + Send + '_> {
        if self.flow.bring_now(&self.carrier, &labels, &self.origin) {
            return None;
        }
        Some(async move { self.flow.bring(&self.carrier, &labels, &self.origin).await })
    }

    /// What the model is told with the result.
    pub fn warning(&self) -> Option<String> {
        let (_, counts) = self.counted.as_ref()?;
        self.conversations.warning(counts)
    }
}
