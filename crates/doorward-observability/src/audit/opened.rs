//! An open record. It is always closed, even if the client is no longer waiting and the call is dropped.

use std::sync::Arc;

use doorward_store::{Amount, Usage, now_ms, written_at};

use super::Audit;
use super::members::Members;
use super::queue::{Ended, Entry, Mark, Record, Waiting};
use doorward_core::CallId;

/// The members that both records of a call share: the caller and the target.
#[derive(Debug, Default)]
pub struct Common {
    pub text: String,
    /// Whether it counts as usage: it uses a server's tools or data.
    pub counted: bool,
}

/// The outcome of a call: members of its record, and its usage.
#[derive(Debug, Default)]
pub struct Outcome {
    pub text: String,
    pub usage: Usage,
    pub charges: Vec<(Arc<str>, Amount)>,
}

#[derive(Debug)]
pub struct Opened {
    audit: Arc<Audit>,
    call: CallId,
    /// The members of both records of a call, so that the second is complete on its own.
    common: Common,
    waiting: Option<Arc<Waiting>>,
    closed: bool,
}

impl Opened {
    /// Opened on disk, or about to be.
    pub(super) fn now(audit: Arc<Audit>, call: CallId, common: Common) -> Self {
        let (call, waiting, closed) = (call, None, false);
        Self { audit, call, common, waiting, closed }
    }

    /// Opened in the queue, to be written a moment later.
    pub(super) fn soon(
        audit: Arc<Audit>,
        call: CallId,
        common: Common,
        waiting: Arc<Waiting>,
    ) -> Self {
        let (call, waiting, closed) = (call, Some(waiting), false);
        Self { audit, call, common, waiting, closed }
    }

    /// Closes the record with the outcome of the call.
    pub fn close(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let Outcome { text, usage, charges } = outcome;
        let mut ended = Ended { common: std::mem::take(&mut self.common), usage, charges };
        if let Some(waiting) = &self.waiting {
            match waiting.complete(&text, ended) {
                Ok(()) => return,
                Err(back) => ended = back,
            }
        }
        let at = now_ms();
        let common = &ended.common.text;
        let mut members = Members::with_capacity(common.len() + text.len() + 80);
        members.text("id", &self.call.to_string()).text("at", &written_at(at * 1_000));
        members.and(common).and(&text);
        let (members, mark) = (members.into_text(), Mark::Closes(self.call.number()));
        let record = Record { kind: "closed", members, at, mark, ended: Some(ended) };
        self.audit.queue.push_ending(Entry::Ready(Box::new(record)));
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if !self.closed {
            let usage = Usage { calls: 1, failed: 1, ..Usage::default() };
            let text = "\"outcome\":\"cancelled\"".into();
            self.end(Outcome { text, usage, charges: Vec::new() });
        }
    }
}
