//! Inspects servers' definitions and their descriptions of themselves, and reports suspicious ones,
//! each once.

use std::collections::HashMap;

use doorward_governance::pins::{Definition, Kind as Pinned};
use doorward_guards::definitions::{Judged, Kind, Withheld};
use doorward_mcp::{Object, Value};
use doorward_observability::audit::Audit;
use doorward_upstream::Server;
use doorward_upstream::approval::{Finding, Findings};
use doorward_upstream::catalog::Item;

use super::Keeper;

impl Keeper {
    /// Inspects a list, off the threads that serve calls. If this fails, the list is withheld.
    pub(super) async fn inspect_list(
        &self,
        server: &str,
        list: &'static str,
        has_pins: bool,
        items: Vec<Item>,
    ) -> (Vec<Item>, Findings) {
        let kind = match list {
            "tools" => Kind::Tool,
            "prompts" => Kind::Prompt,
            "resources" => Kind::Resource,
            _ => Kind::Template,
        };
        if kind == Kind::Tool {
            self.definitions.names().note(server, items.iter().map(|item| &*item.key));
        }
        let (definitions, audit) = (self.definitions.clone(), self.audit.clone());
        let of = server.to_owned();
        let inspecting = tokio::task::spawn_blocking(move || {
            let others = definitions.others(&of);
            let mut findings = HashMap::new();
            for item in &items {
                let bytes = item.definition.to_bytes();
                let json = String::from_utf8_lossy(&bytes);
                let digest = || Definition::of(&item.definition).core.to_string();
                let judged =
                    definitions.judge(&of, kind, &item.key, &json, others.as_ref(), digest);
                report(&audit, (&of, kind, &item.key), &judged, digest);
                if let Some(finding) = finding(kind, &item.key, judged) {
                    findings.insert(item.key.clone(), finding);
                }
            }
            (items, findings)
        });
        let Ok((items, mut findings)) = inspecting.await else {
            tracing::error!(server, list, "a list could not be inspected and is not served");
            return Default::default();
        };
        self.check_list(server, kind, &items, &mut findings).await;
        let is_withheld =
            |finding: &&Finding| finding.refuse.is_some() || finding.hold.is_some() && !has_pins;
        let withheld = findings.values().filter(is_withheld).count();
        let key = server.to_ascii_lowercase();
        if withheld > 0 || self.inner.read().refused.contains_key(&key) {
            self.inner.write().refused.entry(key).or_default().insert(list, withheld);
        }
        (items, findings)
    }

    fn judge_about(&self, server: &str, kind: Kind, said: &Value) -> Judged {
        let bytes = said.to_bytes();
        let json = String::from_utf8_lossy(&bytes);
        let digest = || Definition::said(said).core.to_string();
        let judged = self.definitions.judge(server, kind, "", &json, None, digest);
        report(&self.audit, (server, kind, ""), &judged, digest);
        judged
    }

    /// Why a server's description of itself is withheld, by inspection and by external checks.
    fn withheld_about(
        &self,
        server: &str,
        kind: Kind,
        judged: &Judged,
        said: &Value,
    ) -> Option<Withheld> {
        let checked = self.checked_about(server, kind, said);
        match (&judged.withheld, checked) {
            (Some(refused @ Withheld::Refuse(_)), _) => Some(refused.clone()),
            (_, Some(checked)) => Some(checked),
            (inspected, None) => inspected.clone(),
        }
    }

    /// Whether a server's description of itself is withheld until somebody accepts it.
    pub(super) fn is_held_about(&self, server: &str, kind: Pinned, said: &Value) -> bool {
        let kind = kind_of_about(kind);
        let judged = self.judge_about(server, kind, said);
        matches!(self.withheld_about(server, kind, &judged, said), Some(Withheld::Hold(_)))
    }

    /// A server's description of itself, as it may be served. A pinned one was accepted.
    pub(super) fn inspected_about(
        &self,
        server: &Server,
        kind: Pinned,
        said: &Value,
        is_pinned: bool,
    ) -> Option<Value> {
        let kind = kind_of_about(kind);
        let judged = self.judge_about(&server.name, kind, said);
        match self.withheld_about(&server.name, kind, &judged, said) {
            Some(Withheld::Hold(_)) if is_pinned => {}
            Some(_) => return None,
            None => {}
        }
        match judged.stripped {
            Some(stripped) => Some(Value::Raw(stripped.into())),
            None => Some(said.clone()),
        }
    }
}

/// What a server says of itself, by the kind of its pin.
pub(super) fn kind_of_about(kind: Pinned) -> Kind {
    match kind {
        Pinned::Instructions => Kind::Instructions,
        _ => Kind::Identity,
    }
}

fn finding(kind: Kind, key: &str, judged: Judged) -> Option<Finding> {
    let mut finding = Finding::default();
    match judged.withheld {
        Some(Withheld::Hold(why)) => finding.hold = Some(why),
        Some(Withheld::Refuse(why)) => finding.refuse = Some(why),
        None => {}
    }
    if let Some(stripped) = judged.stripped {
        match Object::parse(&stripped.into()) {
            Some(mut stripped) => {
                // The member that names the item in requests.
                let member = match kind {
                    Kind::Resource => "uri",
                    Kind::Template => "uriTemplate",
                    _ => "name",
                };
                stripped.set(member, key);
                finding.stripped = Some(stripped);
            }
            None => finding.refuse = Some("characters cannot be removed from it".to_owned()),
        }
    }
    (finding.stripped.is_some() || finding.hold.is_some() || finding.refuse.is_some())
        .then_some(finding)
}

/// Reports a definition that is suspicious or has invisible characters, on its first inspection.
fn report(
    audit: &Audit,
    (server, kind, name): (&str, Kind, &str),
    judged: &Judged,
    digest: impl Fn() -> String,
) {
    let is_suspicious = judged.suspicious.is_some() || judged.has_invisible;
    if !judged.is_new || !is_suspicious {
        return;
    }
    let kind = kind.as_str();
    let action = match &judged.withheld {
        Some(withheld) => withheld.action(),
        None if judged.stripped.is_some() => "strip",
        None => "report",
    };
    let (score, threshold) =
        judged.suspicious.as_ref().map_or((0, 0), |found| (found.score, found.threshold));
    let mut signals: Vec<&str> = Vec::new();
    for signal in judged.suspicious.iter().flat_map(|found| &found.signals) {
        if !signals.contains(&&*signal.id) {
            signals.push(&signal.id);
        }
    }
    if signals.is_empty() {
        signals.push("invisible");
    }
    tracing::warn!(
        server,
        kind,
        name,
        action,
        score,
        threshold,
        signals = signals.join(","),
        digest = digest(),
        "a definition is suspicious"
    );
    audit.event("definition.suspicious", |members| {
        members.text("server", server).text("type", kind).clean("name", name);
        members.text("action", action).number("score", score).number("threshold", threshold);
        members.texts("signals", signals.iter().copied()).text("digest", &digest());
    });
}
