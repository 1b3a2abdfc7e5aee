//! External checks: services of the operator's that are asked about calls, their answers and definitions, and that may refuse,
//! change, hold or label them.
//!
//! [`Checks::ask`] asks those that concern a call, in their order, those of one order at the same time. It changes the
//! subject as they say, and returns what each said; what that means for the call is the gateway's to carry out.

mod ask;
mod definition;
mod merge;
mod readers;
mod report;
mod subject;
mod texts;
mod verdict;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use doorward_config::{ApprovalSettings, CheckWhen, ExternalChecks, OnFailure};
use doorward_mcp::Object;
use doorward_mcp::json::{Limits, scan_object};
use doorward_net::clients::Clients;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

pub use self::ask::{Check, Failed};
pub use self::definition::{DefinitionSubject, Judged};
pub use self::report::{Refused, Report, is_same_kind, told};
pub use self::subject::{Mask, Part, Subject};
pub use self::verdict::{Action, Verdict};

use self::verdict::Change;

/// Depth of what a check may make of arguments or an answer.
const DEPTH: usize = 128;

/// The checks in force, as far as there are any.
#[derive(Debug, Default)]
pub struct Active {
    current: ArcSwapOption<Checks>,
    /// Apart from the settings, which cost more to look at: every call asks.
    is_on: AtomicBool,
}

impl Active {
    pub fn load(&self) -> Option<Arc<Checks>> {
        if !self.is_on.load(Ordering::Acquire) {
            return None;
        }
        self.current.load_full()
    }

    /// Takes new settings.
    pub fn take(&self, settings: &ExternalChecks, http: &Arc<Clients>) {
        let before = self.load();
        let checks = Checks::new(settings, http, before.as_deref());
        let is_on = checks.is_some();
        self.current.store(checks);
        self.is_on.store(is_on, Ordering::Release);
    }
}

/// All checks, in the order in which they are asked.
#[derive(Debug)]
pub struct Checks {
    all: Vec<Arc<Check>>,
}

/// That a call waits for its approval.
#[derive(Debug, Clone)]
pub struct Held {
    pub check: Arc<str>,
    pub reason: String,
    pub approval: ApprovalSettings,
}

/// What has come of asking.
#[derive(Debug, Default)]
pub struct Outcome {
    pub reports: Vec<Report>,
    pub refused: Option<Refused>,
    /// The body of the subject is not what it was.
    pub changed: bool,
    pub held: Vec<Held>,
}

impl Checks {
    /// The checks of these settings; `None` if there are none. Those that are as they were before go on with their
    /// breakers.
    pub fn new(
        settings: &ExternalChecks,
        http: &Arc<Clients>,
        before: Option<&Self>,
    ) -> Option<Arc<Self>> {
        let known = |name: &str| before?.all.iter().find(|check| *check.name == *name);
        let mut all: Vec<Arc<Check>> = settings
            .iter()
            .filter_map(|(name, settings)| match known(name) {
                Some(check) if check.settings == *settings => Some(check.clone()),
                _ => Check::new(name, settings, http).map(Arc::new),
            })
            .collect();
        all.sort_by(|one, other| {
            (one.settings.order, &one.name).cmp(&(other.settings.order, &other.name))
        });
        (!all.is_empty()).then(|| Arc::new(Self { all }))
    }

    /// Whether any check is asked about this; without a name, about anything of the server.
    pub fn concern(&self, when: CheckWhen, server: &str, name: Option<&str>) -> bool {
        self.all.iter().any(|check| concerns(check, when, server, name))
    }

    /// Asks the checks that a subject concerns.
    pub async fn ask(&self, subject: &mut Subject<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        for group in self.groups(subject.when(), subject.server, subject.name) {
            for answer in of_group(&group, subject).await {
                apply(&group[answer.at].settings, answer, subject, &mut outcome);
                if outcome.refused.is_some() {
                    return outcome;
                }
            }
        }
        outcome
    }

    /// Those that a subject concerns, by their order: those of one group are asked at the same time.
    fn groups<'a>(
        &'a self,
        when: CheckWhen,
        server: &'a str,
        name: Option<&'a str>,
    ) -> impl Iterator<Item = Vec<&'a Arc<Check>>> {
        let groups = self.all.chunk_by(|one, other| one.settings.order == other.settings.order);
        groups
            .map(move |all| all.iter().filter(|it| concerns(it, when, server, name)).collect())
            .filter(|group: &Vec<_>| !group.is_empty())
    }
}

fn concerns(check: &Check, when: CheckWhen, server: &str, name: Option<&str>) -> bool {
    check.settings.when.contains(&when)
        && match name {
            Some(name) => check.settings.concerns(server, name),
            None => check.settings.concerns_any_of(server),
        }
}

/// What one check of a group said.
struct Answer {
    at: usize,
    report: Report,
    verdict: Result<Verdict, Failed>,
}

/// Asks the checks of one order at the same time, and returns their answers in the order of the settings. Once one refuses,
/// the others are not waited for.
async fn of_group(group: &[&Arc<Check>], subject: &Subject<'_>) -> Vec<Answer> {
    let mut asking: FuturesUnordered<_> = group
        .iter()
        .enumerate()
        .map(|(at, check)| async move {
            let began = Instant::now();
            let (sent, verdict) = check.ask(subject).await;
            let (action, reason) = match &verdict {
                Ok(verdict) => (verdict.action.as_str(), verdict.reason.clone()),
                Err(_) => ("failed", String::new()),
            };
            let report = Report {
                check: check.name.clone(),
                when: subject.when(),
                action,
                reason,
                failure: verdict.as_ref().err().map(|failed| failed.kind),
                labels: verdict.as_ref().map(|it| it.labels.clone()).unwrap_or_default(),
                took: began.elapsed(),
                sent,
            };
            Answer { at, report, verdict }
        })
        .collect();
    let mut answers = Vec::with_capacity(group.len());
    while let Some(answer) = asking.next().await {
        let ends = match &answer.verdict {
            Ok(verdict) => verdict.action == Action::Refuse,
            Err(_) => group[answer.at].settings.on_failure == OnFailure::Refuse,
        };
        answers.push(answer);
        if ends {
            break;
        }
    }
    // Whoever was faster does not count.
    answers.sort_by_key(|answer| answer.at);
    answers
}

/// Does what a check said.
fn apply(
    settings: &doorward_config::ExternalCheck,
    answer: Answer,
    subject: &mut Subject<'_>,
    outcome: &mut Outcome,
) {
    let Answer { report, verdict, .. } = answer;
    let check = report.check.clone();
    let name = &*check;
    match verdict {
        Err(failed) => {
            let allows = settings.on_failure == OnFailure::Allow;
            tracing::warn!(
                check = name,
                call = subject.call,
                kind = failed.kind,
                "the check failed, and the call {}: {}",
                if allows { "goes on" } else { "is refused" },
                failed.cause
            );
            if !allows {
                let reason = failed.kind.to_owned();
                outcome.refused = Some(Refused { check, reason, failed: true });
            }
        }
        Ok(verdict) => {
            subject.data.extend(verdict.data);
            subject.labels.extend(verdict.labels);
            match verdict.action {
                Action::Allow => {}
                Action::Refuse => {
                    let reason = verdict.reason;
                    outcome.refused = Some(Refused { check, reason, failed: false });
                }
                Action::Hold => {
                    if let Some(approval) = verdict.approval {
                        outcome.held.push(Held { check, reason: verdict.reason, approval });
                    }
                }
                Action::Change => match verdict.change.map(|it| changed(&subject.body, it)) {
                    None => {}
                    Some(Ok(body)) => {
                        subject.body = body;
                        outcome.changed = true;
                    }
                    Some(Err(reason)) => {
                        let reason = reason.to_owned();
                        outcome.refused = Some(Refused { check, reason, failed: true });
                    }
                },
            }
        }
    }
    outcome.reports.push(report);
}

/// A body as a check wants it. It is scanned again like what comes from a client.
fn changed(body: &Object, change: Change) -> Result<Object, &'static str> {
    let mut body = body.clone();
    match change {
        Change::Patch(patch) => merge::merge(&mut body, &patch),
        Change::Texts(edits) => {
            let conflict = "another check has changed the same value";
            texts::apply(&mut body, edits).map_err(|_| conflict)?;
        }
    }
    // As a member, so that names which are the protocol's in an envelope are not taken for these.
    let mut whole = Object::new();
    whole.set("body", doorward_mcp::Value::Object(body));
    let limits = Limits { depth: DEPTH, ..Limits::default() };
    let whole = scan_object(&whole.to_bytes(), limits)
        .map_err(|_| "what it makes of it could be read in two ways")?;
    let body = whole.object("body").map(std::borrow::Cow::into_owned);
    body.ok_or("what it makes of it is no object")
}

#[cfg(test)]
mod tests;
