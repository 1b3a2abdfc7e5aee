//! The inspection of one JSON text.

use std::collections::HashSet;

use doorward_config::{InvisibleAction, OverBudget, SuspiciousAction};
use doorward_inspect::text::Unseen;
use doorward_inspect::{Budget, Opaque, Place, Redactor, Subject, strip_json};
use doorward_mcp::display::harmless_line;

use super::found::{Inspected, NOT_INSPECTED, Refused, Verdict, codes};
use super::plan::Way;
use super::tokens::OfTenant;
use super::{Guard, Inspection};

/// Signals that a reason names.
const NAMED: usize = 5;
/// Longest place that is told, in characters.
const LONGEST_PLACE: usize = 200;

impl Guard {
    /// Inspects arguments: a JSON text, but for what is opaque in it. Tokens are turned back where the settings say so.
    pub fn arguments(&self, text: &str, opaque: &Opaque) -> Inspected {
        let turned = self.turned.0.lock().clone();
        let mut inspected =
            self.message(&self.plans.arguments, text, opaque, Subject::Content, &turned);
        if self.inspection.settings.turns_back(&self.target) {
            let text = inspected.text.as_deref().unwrap_or(text);
            if let Some(turned) = self.of_tenant().turn_back(text, &mut inspected.found) {
                inspected.text = Some(turned.text);
                self.turned.0.lock().extend(turned.values);
            }
        }
        inspected
    }

    /// Inspects a JSON text that comes from a server, but for what is opaque in it.
    pub(super) fn returned(&self, text: &str, opaque: &Opaque, subject: Subject) -> Inspected {
        self.message(&self.plans.results, text, opaque, subject, &HashSet::new())
    }

    pub(super) fn of_tenant(&self) -> OfTenant<'_> {
        let ttl = self.inspection.settings.token_ttl.0;
        OfTenant::new(&self.inspection.keys, &self.tenant, ttl)
    }

    /// `spared`: values that are no findings.
    fn message(
        &self,
        way: &Way,
        text: &str,
        opaque: &Opaque,
        subject: Subject,
        spared: &HashSet<String>,
    ) -> Inspected {
        let Inspection { settings, scanner, detectors, .. } = &*self.inspection;
        let mut budget = Budget::new(settings.budget.0);
        let mut is_complete = true;
        let mut out = Inspected::default();
        // Without invisible characters, whether or not they are to be removed.
        let mut plain = None;
        if way.invisible != InvisibleAction::Ignore && may_hide(text) {
            match strip_json(text) {
                Ok(Some(cleaned)) => {
                    out.note_invisible(way, &cleaned.removed, cleaned.collides);
                    plain = Some(cleaned.text);
                }
                Ok(None) => {}
                Err(_) => is_complete = false,
            }
        }
        if way.suspicious != SuspiciousAction::Ignore {
            match scanner.value_but(text, subject, opaque, &mut budget) {
                Ok(report) => {
                    let threshold = way.threshold.unwrap_or(report.threshold);
                    out.note_signals(way, &report.findings, report.score >= threshold);
                }
                Err(_) => is_complete = false,
            }
        }
        let before = plain.as_deref().unwrap_or(text);
        let mut redacted = None;
        if let Some(plan) = &way.data {
            let pseudonyms = self.of_tenant();
            let redactor = Redactor::new(detectors, plan, Some(&pseudonyms)).sparing(spared);
            match redactor.json_but(before, opaque, &mut budget) {
                Ok(found) => {
                    for (class, action, count) in &found.counts {
                        out.found.note(class, *action, *count);
                    }
                    if let Some((class, place)) = &found.refused {
                        out.judge(refuse(codes::DATA, data_of(class), place));
                    }
                    redacted = found.text;
                }
                Err(_) => is_complete = false,
            }
        }
        if budget.is_exceeded() || !is_complete {
            out.found.findings.insert(NOT_INSPECTED.to_owned());
            if settings.over_budget == OverBudget::Refuse {
                let what = "more than can be inspected".to_owned();
                out.judge(refuse(codes::BUDGET, what, &Place::default()));
            }
        }
        let stripped = plain.filter(|_| way.invisible == InvisibleAction::Strip);
        out.text = redacted.or(stripped);
        out
    }
}

impl Inspected {
    fn note_invisible(&mut self, way: &Way, removed: &[(Unseen, Place)], collides: bool) {
        for (kind, _) in removed {
            self.found.findings.insert(signal_of(*kind).to_owned());
        }
        self.found.is_stripped = way.invisible == InvisibleAction::Strip;
        let place = removed.first().map(|(_, place)| place.clone()).unwrap_or_default();
        // Without them two members have the same name: which of the values is meant cannot be said.
        if way.invisible == InvisibleAction::Refuse || (self.found.is_stripped && collides) {
            let kind = removed.first().map_or("invisible", |(kind, _)| kind.name());
            let what = format!("characters that are not seen ({kind})");
            self.judge(refuse(codes::INVISIBLE, what, &place));
        }
    }

    fn note_signals(
        &mut self,
        way: &Way,
        findings: &[doorward_inspect::Finding],
        is_suspicious: bool,
    ) {
        self.found.findings.extend(findings.iter().map(|finding| finding.signal.clone()));
        let Some(first) = findings.first().filter(|_| is_suspicious) else { return };
        let mut signals: Vec<&str> =
            findings.iter().map(|finding| finding.signal.as_str()).collect();
        signals.dedup();
        signals.truncate(NAMED);
        let what = format!("a text that gives instructions to a model ({})", signals.join(", "));
        match way.suspicious {
            SuspiciousAction::Ignore | SuspiciousAction::Report => {}
            SuspiciousAction::Hold => self.judge(Verdict::Hold(what)),
            SuspiciousAction::Refuse => self.judge(refuse(codes::SUSPICIOUS, what, &first.place)),
        }
    }
}

pub(super) fn data_of(class: &str) -> String {
    format!("data of class '{class}'")
}

pub(super) fn refuse(code: &'static str, what: String, place: &Place) -> Verdict {
    // A name that is the finding itself is not told.
    let pointer = match place.in_name {
        true => &place.pointer[..place.pointer.rfind('/').unwrap_or_default()],
        false => &place.pointer,
    };
    let place = harmless_line(pointer).chars().take(LONGEST_PLACE).collect();
    Verdict::Refuse(Refused { code, what, place })
}

/// Whether a JSON text may contain invisible characters: it is not ASCII, or has escapes other than those of line breaks,
/// tabs, quotes and slashes.
fn may_hide(text: &str) -> bool {
    if !text.is_ascii() || text.contains('\u{7f}') {
        return true;
    }
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(escape) = memchr::memchr(b'\\', &bytes[at..]) {
        match bytes.get(at + escape + 1) {
            Some(b'n' | b't' | b'"' | b'\\' | b'/') => at += escape + 2,
            _ => return true,
        }
    }
    false
}

/// The signal that stands for invisible characters of a kind, in texts of every subject.
fn signal_of(kind: Unseen) -> &'static str {
    match kind {
        Unseen::Invisible => "invisible-characters",
        Unseen::Bidi => "bidi-controls",
        Unseen::Tag => "tag-characters",
        Unseen::Control => "control-characters",
        Unseen::Selector => "variation-selectors",
        Unseen::Ansi => "terminal-escapes",
    }
}
