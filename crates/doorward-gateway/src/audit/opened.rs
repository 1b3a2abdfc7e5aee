//! A record that is open. Whatever becomes of its call, it is closed: also when nobody waits for the
//! answer any more and the call is dropped on its way.

use std::sync::Arc;

use doorward_store::{Amount, now_ms, written_at};

use super::Audit;
use super::members::Members;
use super::queue::{Entry, Mark, Record, Waiting};
use super::record;
use crate::call::{Call, CallId};

#[derive(Debug)]
pub struct Opened {
    audit: Arc<Audit>,
    call: CallId,
    /// What both records of a call say, so that the second can be judged by itself.
    common: String,
    waiting: Option<Arc<Waiting>>,
    closed: bool,
}

impl Opened {
    fn new(audit: Arc<Audit>, call: &Call, common: String, waiting: Option<Arc<Waiting>>) -> Self {
        Self { audit, call: call.id, common, waiting, closed: false }
    }

    pub(super) fn now(audit: Arc<Audit>, call: &Call, common: String) -> Self {
        Self::new(audit, call, common, None)
    }

    pub(super) fn soon(
        audit: Arc<Audit>,
        call: &Call,
        common: String,
        waiting: Arc<Waiting>,
    ) -> Self {
        Self::new(audit, call, common, Some(waiting))
    }

    /// Closes the record with what has come of the call.
    pub fn close(mut self, outcome: &str, charges: Vec<(String, Amount)>) {
        self.end(outcome, charges);
    }

    fn end(&mut self, outcome: &str, mut charges: Vec<(String, Amount)>) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        if let Some(waiting) = &self.waiting
            && waiting.complete(&mut charges, |opened| record::whole(opened, outcome))
        {
            return;
        }
        let mut members = Members::with_capacity(self.common.len() + outcome.len() + 120);
        members.text("kind", "closed").text("id", &self.call.to_string());
        members.text("at", &written_at(now_ms() * 1_000)).and(&self.common).and(outcome);
        let mark = Mark::Closes(self.call.number());
        let record = Record { members: members.into_text(), at: now_ms(), charges, mark };
        self.audit.queue.push_ending(Entry::Ready(record));
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if !self.closed {
            self.end("\"outcome\":\"cancelled\"", Vec::new());
        }
    }
}
