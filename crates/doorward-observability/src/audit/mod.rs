//! The audit log. A record is opened before a server is called and closed after, and never written
//! by the task that answers the call. Calls whose record must be on disk first share one write.

mod dead;
mod export;
pub mod mask;
pub mod members;
pub mod ocsf;
mod opened;
mod queue;
mod recorder;
mod retain;
mod written;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use doorward_inspect::written::Keep;
use doorward_mcp::error::Kind;
use doorward_store::{
    AuditKey, Error, KeyPlace, MasterKey, Store, WriterId, files, now_ms, written_at,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use opened::{Common, Opened, Outcome};
pub use retain::retention;

use self::members::Members;
pub use self::queue::{Ended, Mark, Record, Waiting};
use self::queue::{Entry, Queue};
use self::recorder::{Recorder, Terms};
use crate::metrics::Metrics;
use crate::webhooks::{Feed, kind_of_event};
use doorward_config::{AuditSettings, Durability, RecordClass, Settings, Unknown};
use doorward_core::flood::Flood;
use doorward_core::{CallId, Failure};

/// Refused callers recorded individually per second; further ones are counted.
const REFUSALS: usize = 100;
/// Number of queued records at which a write starts without waiting for more.
const MUCH: usize = 1_000;

/// The gateway's interface to the audit log.
#[derive(Debug)]
pub struct Audit {
    queue: Queue,
    settings: ArcSwap<AuditSettings>,
    /// Whether audit records are written, which needs a store.
    on: bool,
    /// Why nothing can be written at the moment.
    trouble: ArcSwapOption<String>,
    hurry: AtomicBool,
    charges_unknown: AtomicBool,
    /// Records dropped because the queue was full.
    lost: AtomicU64,
    /// Records that the metrics have not counted yet.
    recorded: AtomicU64,
    lost_unmeasured: AtomicU64,
    refused: AtomicU64,
    refusals: Flood<REFUSALS>,
    writer: ArcSwapOption<WriterId>,
    ending: CancellationToken,
    /// Cancelled once the last record is written.
    written: CancellationToken,
    /// Failing exports.
    exports: Mutex<export::Broken>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Events for webhooks.
    pub feed: Arc<Feed>,
}

impl Audit {
    pub fn new(settings: &AuditSettings, has_store: bool) -> Self {
        Self {
            queue: Queue::new(settings.queue_size, MUCH),
            settings: ArcSwap::from_pointee(settings.clone()),
            on: has_store,
            trouble: ArcSwapOption::empty(),
            hurry: AtomicBool::new(false),
            charges_unknown: AtomicBool::new(true),
            lost: AtomicU64::new(0),
            recorded: AtomicU64::new(0),
            lost_unmeasured: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            refusals: Flood::default(),
            writer: ArcSwapOption::empty(),
            ending: CancellationToken::new(),
            written: CancellationToken::new(),
            exports: Mutex::default(),
            tasks: Mutex::default(),
            feed: Arc::default(),
        }
    }

    /// Starts writing. Calls whose record must be on disk first are refused until then.
    pub async fn start(self: &Arc<Self>, store: &Store, settings: &Settings) -> Result<(), Error> {
        let own = &settings.audit;
        let key = open_key(store, settings).await?.map(Arc::new);
        if key.is_none() {
            tracing::warn!("audit checkpoints are not signed: set 'store_key' or 'audit.key_file'");
        }
        let anchor = own.anchor.as_deref();
        if let Some(path) = anchor.filter(|path| files::open_to_others(path, 0o022).is_some()) {
            let path = path.display();
            tracing::warn!(%path, "the anchor file is writable by others, so it proves nothing");
        }
        let terms = Terms {
            write_timeout: own.write_timeout.0,
            flush_interval: own.flush_interval.0,
            checkpoint_records: own.checkpoints.records,
            checkpoint_every: own.checkpoints.every.0,
            anchor: own.anchor.clone(),
        };
        let recorder = Recorder::start(self.clone(), store.clone(), key.clone(), terms).await?;
        self.wrote_as(recorder.writer());
        let mut tasks = self.tasks.lock();
        tasks.push(tokio::spawn(recorder.run()));
        tasks.push(tokio::spawn(retain::run(self.clone(), store.clone(), key)));
        tasks.push(tokio::spawn(export::run(self.clone(), store.clone())));
        Ok(())
    }

    fn wrote_as(&self, writer: &WriterId) {
        self.writer.store(Some(Arc::new(writer.clone())));
    }

    /// The current chain.
    pub fn writer(&self) -> Option<Arc<WriterId>> {
        self.writer.load_full()
    }

    /// Applies new settings. The locations of the key and the anchor take effect at the next start.
    pub fn take(&self, settings: &Settings) {
        let charges = settings.billing.unknown == Unknown::Charge;
        self.charges_unknown.store(charges, Ordering::Release);
        self.settings.store(Arc::new(settings.audit.clone()));
    }

    /// Whether a call with an unknown outcome is charged.
    fn charges_unknown(&self) -> bool {
        self.charges_unknown.load(Ordering::Acquire)
    }

    /// Writes the queued records, and ends the chain.
    pub async fn finish(&self, within: Duration) {
        self.ending.cancel();
        self.queue.some.notify_one();
        let tasks: Vec<_> = std::mem::take(&mut *self.tasks.lock());
        let ended = async {
            for task in tasks {
                let _ = task.await;
            }
        };
        if tokio::time::timeout(within, ended).await.is_err() {
            tracing::error!(waiting = self.queue.len(), "some audit records were not written");
        }
    }

    /// Why the audit log cannot be written; `None` if it can.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.load().as_ref().map(ToString::to_string)
    }

    fn has_trouble(&self) -> bool {
        self.trouble.load().is_some()
    }

    /// Exports of this process whose last attempt failed, and why.
    pub fn broken_exports(&self) -> BTreeMap<String, String> {
        self.exports.lock().clone()
    }

    /// Reports the health of the audit log.
    pub fn measure(&self, metrics: &Metrics) {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        metrics.audit_waiting.set(count(self.queue.len()));
        metrics.audit_failing.set(i64::from(self.has_trouble()));
        metrics.exports_failing.set(count(self.exports.lock().len()));
        metrics.audit_records.inc_by(self.recorded.swap(0, Ordering::AcqRel));
        metrics.audit_lost.inc_by(self.lost_unmeasured.swap(0, Ordering::AcqRel));
        metrics.refused.inc_by(self.refused.swap(0, Ordering::AcqRel));
        metrics.webhooks_dropped.inc_by(self.feed.dropped.swap(0, Ordering::AcqRel));
        metrics.webhooks_failed.inc_by(self.feed.failed.swap(0, Ordering::AcqRel));
    }

    fn is_in_a_hurry(&self) -> bool {
        self.hurry.load(Ordering::Acquire)
    }

    fn hurried(&self) {
        self.hurry.store(false, Ordering::Release);
    }

    fn take_lost(&self) -> i64 {
        i64::try_from(self.lost.swap(0, Ordering::AcqRel)).unwrap_or(i64::MAX)
    }

    /// When records of a class must be on disk.
    pub fn durability(&self, class: RecordClass) -> Durability {
        if self.on { self.settings.load().durability(class) } else { Durability::Off }
    }

    /// Opens the record of a call that may be written a moment later. If the queue is full, returns
    /// the record to wait for room with.
    pub fn open_soon(
        self: &Arc<Self>,
        call: CallId,
        common: Common,
        record: Record,
    ) -> Result<Opened, (Arc<Waiting>, Common)> {
        let waiting = Waiting::new(record);
        match self.queue.push(Entry::Open(waiting.clone())) {
            Ok(()) => Ok(Opened::soon(self.clone(), call, common, waiting)),
            Err(_) => Err((waiting, common)),
        }
    }

    /// The same once there is room. This slows callers down to the rate of writes. Refused if it
    /// takes too long, or if nothing can be written.
    pub async fn open_when_there_is_room(
        self: &Arc<Self>,
        call: CallId,
        (waiting, common): (Arc<Waiting>, Common),
    ) -> Result<Opened, Failure> {
        if self.has_trouble() {
            return Err(unavailable());
        }
        let patience = self.settings.load().write_timeout.0;
        let pushed = self.queue.push_when_there_is_room(|| Entry::Open(waiting.clone()));
        match tokio::time::timeout(patience, pushed).await {
            Ok(()) => Ok(Opened::soon(self.clone(), call, common, waiting)),
            Err(_) => Err(unavailable()),
        }
    }

    /// Opens the record of a call on disk. The record must be closed even if the call is refused
    /// because the write timed out.
    pub async fn open_now(
        self: &Arc<Self>,
        call: CallId,
        opened: &mut Option<Opened>,
        common: Common,
        record: Record,
    ) -> Result<(), Failure> {
        if self.has_trouble() {
            return Err(unavailable());
        }
        let (sender, written) = oneshot::channel();
        self.hurry.store(true, Ordering::Release);
        if self.queue.push(Entry::Urgent(Box::new(record), sender)).is_err() {
            return Err(unavailable());
        }
        // From here on, the record is closed whatever happens.
        *opened = Some(Opened::now(self.clone(), call, common));
        let patience = self.settings.load().write_timeout.0;
        match tokio::time::timeout(patience, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(unavailable()),
        }
    }

    /// The settings of the audit log.
    pub fn settings(&self) -> Guard<Arc<AuditSettings>> {
        self.settings.load()
    }

    /// Writes a record in the background. If the queue is full, the record is dropped and counted.
    pub fn record(&self, record: Record) {
        if self.queue.push(Entry::Ready(Box::new(record))).is_err() {
            self.lost.fetch_add(1, Ordering::AcqRel);
            self.lost_unmeasured.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Records an event that is not a call: `session.open`, `server.lost`.
    pub fn event(&self, name: &str, tell: impl FnOnce(&mut Members)) {
        let is_recorded = self.durability(RecordClass::Events) != Durability::Off;
        let is_noticed = self.feed.is_on() && kind_of_event(name).is_some();
        if !is_recorded && !is_noticed {
            return;
        }
        let mut members = Members::default();
        members.text("class", RecordClass::Events.as_str());
        members.text("at", &written_at(now_ms() * 1_000)).text("event", name);
        tell(&mut members);
        let members = members.cleaned(keep_in_event);
        if is_noticed {
            self.feed.notice(name, members.as_text());
        }
        if is_recorded {
            self.record(Record::new("event", members));
        }
    }

    /// Records a caller refused before making a call. During a flood, most are only counted.
    pub fn refused(&self, tell: impl FnOnce(&mut Members)) {
        self.refused.fetch_add(1, Ordering::AcqRel);
        self.feed.refused();
        let (is_told, untold) = self.refusals.count(Instant::now());
        if untold > 0 {
            let untold = i64::try_from(untold).unwrap_or(i64::MAX);
            self.event("callers.refused", |members| _ = members.number("count", untold));
        }
        if is_told {
            self.event("caller.refused", tell);
        }
    }
}

/// How a member of an event is redacted. Names of people, agents and keys are unchanged.
fn keep_in_event(name: &str) -> Option<Keep> {
    let is_own = matches!(
        name,
        "class" | "at" | "event" | "session" | "digest" | "address" | "replica" | "key" | "grant"
    );
    let is_name =
        matches!(name, "user" | "agent" | "service_account" | "tenant" | "issuer" | "account");
    match name {
        _ if is_own => None,
        _ if is_name => Some(Keep::Personal),
        _ => Some(Keep::Addresses),
    }
}

/// The caller's error if nothing can be recorded.
fn unavailable() -> Failure {
    Failure::new(
        Kind::AuditUnavailable,
        "The call was not made: its audit record cannot be written",
    )
}

/// The key that signs the audit log, created if there is none; `None` if no location is configured.
pub async fn open_key(store: &Store, settings: &Settings) -> Result<Option<AuditKey>, Error> {
    if let Some(path) = &settings.audit.key_file {
        return store.audit_key(&KeyPlace::File(path.clone())).await.map(Some);
    }
    if let Some(secret) = &settings.store_key {
        let master = MasterKey::new(secret.expose())?;
        return store.audit_key(&KeyPlace::Sealed(&master)).await.map(Some);
    }
    match store.location().audit_key_file() {
        Some(file) => store.audit_key(&KeyPlace::File(file)).await.map(Some),
        None => Ok(None),
    }
}
