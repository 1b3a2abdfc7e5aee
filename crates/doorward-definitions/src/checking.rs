//! Asks external checks about definitions. What they say is remembered by the bytes of a definition until the checks change.
//! A check that failed is asked again later, and until then its definitions are withheld or served as its settings say.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use doorward_governance::pins::Definition;
use doorward_guards::checks::{Checks, DefinitionSubject, Judged};
use doorward_guards::definitions::{Kind, Withheld, hash_of};
use doorward_mcp::display::harmless_line;
use doorward_mcp::{Object, Value};
use doorward_observability::audit::Audit;
use doorward_observability::metrics::CheckMetrics;
use doorward_upstream::approval::Findings;
use doorward_upstream::catalog::Item;
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Keeper;

/// Definitions of which it is remembered what checks have said.
const MOST: usize = 20_000;

/// Definitions of one list that are asked about at the same time.
const AT_A_TIME: usize = 32;

/// When a check that failed is asked again.
const RETRY: Duration = Duration::from_secs(5);

type Digest = [u8; 32];

/// What checks have said about definitions.
#[derive(Debug)]
pub(super) struct Checking {
    checks: ArcSwapOption<Checks>,
    said: Mutex<HashMap<Digest, Said>>,
    /// Servers with definitions about which a check has to be asked again.
    failed: Mutex<BTreeSet<String>>,
    has_failed: Notify,
    metrics: CheckMetrics,
}

#[derive(Debug, Clone)]
struct Said {
    withheld: Option<Withheld>,
    /// What the definition is accepted by.
    digest: String,
    /// A check failed, and is to be asked again.
    has_failed: bool,
}

impl Checking {
    pub fn new(metrics: CheckMetrics) -> Self {
        Self {
            checks: ArcSwapOption::empty(),
            said: Mutex::default(),
            failed: Mutex::default(),
            has_failed: Notify::new(),
            metrics,
        }
    }

    pub fn is_on(&self) -> bool {
        self.checks.load().is_some()
    }

    /// What was said about a definition; `None` if it was not yet asked about.
    fn known(&self, digest: &Digest) -> Option<Said> {
        self.said.lock().get(digest).cloned()
    }

    fn remember(&self, server: &str, digest: Digest, said: Said) {
        if said.has_failed && self.failed.lock().insert(server.to_owned()) {
            self.has_failed.notify_one();
        }
        let mut all = self.said.lock();
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(digest, said);
    }
}

impl Keeper {
    /// Applies the checks in force. Returns whether definitions have to be judged again.
    pub fn use_checks(&self, checks: Option<Arc<Checks>>) -> bool {
        let checks = checks.and_then(|checks| checks.about_definitions());
        let before = self.checking.checks.load_full();
        if checks.as_deref() == before.as_deref() {
            return false;
        }
        self.checking.checks.store(checks);
        self.checking.said.lock().clear();
        true
    }

    /// Servers with definitions about which a check failed, once it is time to ask again.
    pub async fn to_ask_again(&self) -> BTreeSet<String> {
        self.checking.has_failed.notified().await;
        tokio::time::sleep(RETRY).await;
        let servers = std::mem::take(&mut *self.checking.failed.lock());
        self.checking.said.lock().retain(|_, said| !said.has_failed);
        servers
    }

    /// Asks the checks about a list, and adds what they withhold to its findings.
    pub(super) async fn check_list(
        &self,
        server: &str,
        kind: Kind,
        items: &[Item],
        findings: &mut Findings,
    ) {
        let Some(checks) = self.checking.checks.load_full() else { return };
        let mut asking = Vec::with_capacity(items.len());
        for item in items {
            asking.push(self.check_item(&checks, server, kind, item));
        }
        let mut asking = futures_util::stream::iter(asking).buffer_unordered(AT_A_TIME);
        while let Some((key, withheld)) = asking.next().await {
            let Some(withheld) = withheld else { continue };
            let finding = findings.entry(key.clone()).or_default();
            match withheld {
                Withheld::Refuse(why) => finding.refuse = Some(why),
                Withheld::Hold(why) => finding.hold = finding.hold.take().or(Some(why)),
            }
        }
    }

    async fn check_item<'a>(
        &self,
        checks: &Checks,
        server: &str,
        kind: Kind,
        item: &'a Item,
    ) -> (&'a Box<str>, Option<Withheld>) {
        let pin = || Definition::of(&item.definition).core.to_string();
        let place = (server, kind, Some(&*item.key));
        (&item.key, self.check(checks, place, &item.definition, pin).await)
    }

    /// Asks the checks about what a server says of itself.
    pub(super) async fn check_about(&self, server: &str, kind: Kind, said: &Value) {
        let Some(checks) = self.checking.checks.load_full() else { return };
        let pin = || Definition::said(said).core.to_string();
        self.check(&checks, (server, kind, None), &as_object(kind, said), pin).await;
    }

    /// Why checks withhold what a server says of itself. What was not yet asked about is withheld.
    pub(super) fn checked_about(&self, server: &str, kind: Kind, said: &Value) -> Option<Withheld> {
        let checks = self.checking.checks.load_full()?;
        if !checks.concern_definition(server, None) {
            return None;
        }
        let said = self.checking.known(&digest(server, kind, None, &as_object(kind, said)));
        match said {
            Some(said) => self.unless_accepted(server, None, said),
            None => Some(Withheld::Refuse("checks were not yet asked about it".into())),
        }
    }

    async fn check(
        &self,
        checks: &Checks,
        (server, kind, name): (&str, Kind, Option<&str>),
        definition: &Object,
        pin: impl FnOnce() -> String,
    ) -> Option<Withheld> {
        if !checks.concern_definition(server, name) {
            return None;
        }
        let key = digest(server, kind, name, definition);
        if let Some(said) = self.checking.known(&key) {
            return self.unless_accepted(server, name, said);
        }
        let pin = pin();
        let subject =
            DefinitionSubject { server, kind: kind.as_str(), name, digest: &pin, definition };
        let judged = checks.judge(&subject).await;
        for report in &judged.reports {
            let seconds = report.took.as_secs_f64();
            self.checking.metrics.note(&report.check, report.action, report.failure, seconds);
        }
        record(&self.audit, &subject, &judged);
        let has_failed = judged.has_failed();
        let withheld = judged.withheld.map(|withheld| match withheld {
            Withheld::Hold(why) => Withheld::Hold(format!("{why}; digest {pin}")),
            refused @ Withheld::Refuse(_) => refused,
        });
        let said = Said { withheld, digest: pin, has_failed };
        self.checking.remember(server, key, said.clone());
        self.unless_accepted(server, name, said)
    }

    /// Why a definition is withheld, unless the settings accept one that is held.
    fn unless_accepted(&self, server: &str, name: Option<&str>, said: Said) -> Option<Withheld> {
        let name = name.unwrap_or_default();
        said.withheld.filter(|withheld| {
            matches!(withheld, Withheld::Refuse(_))
                || !self.definitions.accepts(server, name, &said.digest)
        })
    }
}

/// Instructions are a text; checks receive objects.
fn as_object(kind: Kind, said: &Value) -> Object {
    match said.as_object() {
        Some(object) => object.into_owned(),
        None => {
            let mut object = Object::new();
            object.set(kind.as_str(), said.clone());
            object
        }
    }
}

fn digest(server: &str, kind: Kind, name: Option<&str>, definition: &Object) -> Digest {
    let name = name.unwrap_or_default();
    hash_of([server.as_bytes(), kind.as_str().as_bytes(), name.as_bytes(), &definition.to_bytes()])
}

/// Records what checks have said, unless all allow the definition.
fn record(audit: &Audit, subject: &DefinitionSubject<'_>, judged: &Judged) {
    if judged.reports.iter().all(|report| report.action == "allow") {
        return;
    }
    let DefinitionSubject { server, kind, name, digest, .. } = *subject;
    let name = name.unwrap_or_default();
    let action = match &judged.withheld {
        Some(withheld) => withheld.action(),
        None => "allow",
    };
    // Of one that only failed, the cause was logged when it did.
    if let Some(withheld) = &judged.withheld {
        tracing::warn!(
            server,
            kind,
            name = &*harmless_line(name),
            action,
            "external checks do not allow a definition: {}",
            withheld.why()
        );
    }
    audit.event("definition.checked", |members| {
        members.text("server", server).text("type", kind).clean("name", name);
        members.text("action", action).text("digest", digest);
        members.raw("checks", &doorward_guards::checks::told(&judged.reports));
    });
}
