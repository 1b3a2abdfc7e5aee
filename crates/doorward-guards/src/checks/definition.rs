//! Asks checks about definitions: of tools, prompts, resources and templates, and how servers describe themselves.

use std::sync::Arc;

use doorward_config::{CheckWhen, OnFailure};
use doorward_mcp::Object;
use serde_json::json;

use super::subject::{Part, Subject};
use super::{Action, Checks, Report, of_group};
use crate::definitions::Withheld;

/// What checks are asked about.
#[derive(Debug, Clone, Copy)]
pub struct DefinitionSubject<'a> {
    pub server: &'a str,
    /// `tool`, `prompt`, `resource`, `template`, `instructions` or `identity`.
    pub kind: &'a str,
    /// The name or URI; `None` for what a server says of itself.
    pub name: Option<&'a str>,
    /// What it is pinned and accepted by.
    pub digest: &'a str,
    pub definition: &'a Object,
}

/// What has come of asking.
#[derive(Debug, Default)]
pub struct Judged {
    pub withheld: Option<Withheld>,
    pub reports: Vec<Report>,
}

impl Judged {
    /// Whether a check failed, so that it is to be asked again.
    pub fn has_failed(&self) -> bool {
        self.reports.iter().any(|report| report.failure.is_some())
    }
}

/// By their settings.
impl PartialEq for Checks {
    fn eq(&self, other: &Self) -> bool {
        self.all
            .iter()
            .map(|it| (&it.name, &it.settings))
            .eq(other.all.iter().map(|it| (&it.name, &it.settings)))
    }
}

impl Checks {
    /// Those that are asked about definitions; `None` if there are none.
    pub fn about_definitions(&self) -> Option<Arc<Self>> {
        let asked = self.all.iter().filter(|it| it.settings.when.contains(&CheckWhen::Definition));
        let all: Vec<_> = asked.cloned().collect();
        (!all.is_empty()).then(|| Arc::new(Self { all }))
    }

    /// Whether any check is asked about a definition; without a name, about what a server says of itself.
    pub fn concern_definition(&self, server: &str, name: Option<&str>) -> bool {
        self.concern(CheckWhen::Definition, server, name)
    }

    /// Asks the checks that a definition concerns, in their order. Once one refuses it or fails closed, no other is asked.
    pub async fn judge(&self, about: &DefinitionSubject<'_>) -> Judged {
        let id = format!("definition.{}", about.digest);
        let subject = Subject {
            call: &id,
            server: about.server,
            method: "",
            name: about.name,
            about: json!({ "type": about.kind, "digest": about.digest }),
            // Definitions are the data of nobody, and are sent as they are.
            mask: &|value: serde_json::Value| Some(value.to_string()),
            part: Part::Definition,
            body: about.definition.clone(),
            data: Default::default(),
            labels: Default::default(),
        };
        let mut judged = Judged::default();
        for group in self.groups(CheckWhen::Definition, about.server, about.name) {
            for answer in of_group(&group, &subject).await {
                let check = &answer.report.check;
                let withheld = match answer.verdict {
                    Ok(verdict) => match verdict.action {
                        Action::Refuse => Some(Withheld::Refuse(why(
                            &format!("the check '{check}' refuses it"),
                            &verdict.reason,
                        ))),
                        Action::Hold => Some(Withheld::Hold(why(
                            &format!("the check '{check}' holds it"),
                            &verdict.reason,
                        ))),
                        Action::Allow | Action::Change => None,
                    },
                    Err(failed) => {
                        let allows = group[answer.at].settings.on_failure == OnFailure::Allow;
                        tracing::warn!(
                            check = &**check,
                            server = about.server,
                            kind = failed.kind,
                            "the check of a definition failed: {}",
                            failed.cause
                        );
                        let failed = format!("the check '{check}' failed ({})", failed.kind);
                        (!allows).then_some(Withheld::Refuse(failed))
                    }
                };
                judged.reports.push(answer.report);
                match withheld {
                    Some(refused @ Withheld::Refuse(_)) => {
                        judged.withheld = Some(refused);
                        return judged;
                    }
                    Some(held) => judged.withheld = judged.withheld.or(Some(held)),
                    None => {}
                }
            }
        }
        judged
    }
}

fn why(what: &str, reason: &str) -> String {
    match reason.is_empty() {
        true => what.to_owned(),
        false => format!("{what}: {reason}"),
    }
}
