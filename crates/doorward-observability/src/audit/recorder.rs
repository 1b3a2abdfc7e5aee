//! The only task that writes this process's chain: waiting records are written together, and retried until they are
//! written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use doorward_store::{
    AuditKey, AuditLog, Commit, Committed, Error, Heads, Place, Store, Tally, WriterId, checkpoint,
    now_ms, written_at,
};
use tokio::sync::oneshot;

use super::Audit;
use super::members::Members;
use super::queue::{Entry, Record};
use super::written::Prepared;
use doorward_config::RecordClass;

/// Maximum number, and approximate maximum bytes, of records written together.
const MOST: usize = 4_000;
const MOST_BYTES: usize = 1 << 20;
/// Entries taken from the queue at once.
const PART: usize = 128;
/// Interval at which a process updates its heartbeat and checks those of others.
const BEAT: Duration = Duration::from_secs(5);
/// Interval at which usage is aggregated.
pub(super) const COUNT: Duration = Duration::from_secs(1);

/// The parameters of the recorder.
#[derive(Debug)]
pub struct Terms {
    pub write_timeout: Duration,
    pub flush_interval: Duration,
    pub checkpoint_records: u64,
    pub checkpoint_every: Duration,
    pub anchor: Option<PathBuf>,
}

#[derive(Debug)]
pub struct Recorder {
    pub(super) audit: Arc<Audit>,
    pub(super) store: Store,
    pub(super) log: AuditLog,
    key: Option<Arc<AuditKey>>,
    pub(super) terms: Terms,
    /// Calls whose opening records are on disk, with the numbers of these.
    pub(super) open: HashMap<u64, i64>,
    /// Calls that another process closed as `unknown`, because it declared this one dead.
    pub(super) overtaken: HashSet<u64>,
    /// The records being written, or whose last write had no known result.
    pub(super) doubt: Option<Prepared>,
    heads: Heads,
    /// Usage from written records that was not counted yet.
    pub(super) tally: Tally,
    pub(super) last_count: Instant,
    pub(super) since_checkpoint: u64,
    last_checkpoint: Instant,
    /// The buffer for the next block, reused to avoid allocating a megabyte each time.
    pub(super) spare: String,
    /// Other processes, as last seen.
    pub(super) seen: BTreeMap<String, (i64, Instant)>,
}

/// Records in flight, with their waiters.
struct Batch {
    records: Vec<Record>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Recorder {
    /// Registers the process, and closes the open calls of dead ones.
    pub async fn start(
        audit: Arc<Audit>,
        store: Store,
        key: Option<Arc<AuditKey>>,
        terms: Terms,
    ) -> Result<Self, Error> {
        let log = AuditLog::open(&store, fresh_id(), here()).await?;
        let mut recorder = Self {
            audit,
            store,
            log,
            key,
            terms,
            open: HashMap::new(),
            overtaken: HashSet::new(),
            doubt: None,
            heads: Heads::new(),
            tally: Tally::default(),
            last_count: Instant::now(),
            since_checkpoint: 0,
            last_checkpoint: Instant::now(),
            spare: String::new(),
            seen: BTreeMap::new(),
        };
        recorder.begin_chain().await?;
        recorder.close_calls_of_the_dead().await?;
        if recorder.since_checkpoint > 0 {
            recorder.checkpoint().await;
        }
        Ok(recorder)
    }

    pub fn writer(&self) -> &WriterId {
        self.log.id()
    }

    /// Begins a chain with its own checkpoint, in one transaction: a chain without one was not
    /// written by a gateway.
    pub(super) async fn begin_chain(&mut self) -> Result<(), Error> {
        self.settle_doubt().await.map_err(Error::Refused)?;
        let mut members = happened();
        members.text("version", env!("CARGO_PKG_VERSION")).text("host", &here().host);
        let mut prepared = self.prepare(&[Record::new("start", members)], None);
        let mut signed = None;
        if let Some(key) = &self.key {
            let Prepared { commit, chain, .. } = &mut prepared;
            let (block, mut line) = (&mut commit.block, String::new());
            let next = chain.head().seq + 1;
            checkpoint(chain, key, &now(), next, &Heads::new(), &mut line);
            block.body.push('\n');
            block.body.push_str(&line);
            (block.last, block.last_at) = (chain.head().seq, now_ms());
            commit.head = chain.head().clone();
            signed = Some(line);
        }
        let outcome = self.write(prepared).await.map_err(Error::Refused)?;
        if let Some(line) = signed.filter(|_| outcome == Committed::Written) {
            self.anchor(&line);
        }
        Ok(())
    }

    /// Writes until the queue is empty and the gateway has ended.
    pub async fn run(mut self) {
        let mut beats = tokio::time::interval(BEAT);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let ending = self.audit.ending.is_cancelled();
            if self.audit.queue.len() == 0 {
                if ending {
                    break;
                }
                tokio::select! {
                    () = self.audit.queue.some.notified() => {}
                    () = self.audit.queue.hurry.notified() => {}
                    () = self.audit.ending.cancelled() => continue,
                    _ = beats.tick() => {
                        self.beat().await;
                        continue;
                    }
                }
            }
            if !ending && !self.audit.is_in_a_hurry() {
                tokio::select! {
                    () = tokio::time::sleep(self.terms.flush_interval) => {}
                    () = self.audit.queue.hurry.notified() => {}
                    () = self.audit.ending.cancelled() => {}
                }
            }
            self.audit.hurried();
            let batch = self.next_batch();
            self.write_batch(batch).await;
            if self.is_checkpoint_due() {
                self.checkpoint().await;
            }
        }
        self.end().await;
    }

    fn next_batch(&mut self) -> Batch {
        let records = Vec::with_capacity(self.audit.queue.len().min(MOST) + 1);
        let mut batch = Batch { records, waiting: Vec::new() };
        let mut entries = Vec::with_capacity(PART);
        let mut bytes = 0;
        let lost = self.audit.take_lost();
        if lost > 0 {
            let mut members = happened();
            members.number("count", lost);
            batch.records.push(Record::new("lost", members));
        }
        while batch.records.len() < MOST && bytes < MOST_BYTES {
            self.audit.queue.take(&mut entries);
            if entries.is_empty() {
                break;
            }
            for entry in entries.drain(..) {
                let record = match entry {
                    Entry::Ready(record) => *record,
                    Entry::Urgent(record, waiting) => {
                        batch.waiting.push(waiting);
                        *record
                    }
                    Entry::Open(waiting) => match waiting.take() {
                        Some(record) => record,
                        None => continue,
                    },
                };
                bytes += record.members.len();
                batch.records.push(record);
            }
        }
        batch
    }

    async fn write_batch(&mut self, batch: Batch) {
        if batch.records.is_empty() {
            return;
        }
        let count = batch.records.len() as u64;
        self.until_written(batch.records).await;
        self.since_checkpoint += count;
        self.audit.recorded.fetch_add(count, Ordering::AcqRel);
        for waiting in batch.waiting {
            // A caller that no longer waits was refused.
            let _ = waiting.send(());
        }
    }

    fn is_checkpoint_due(&self) -> bool {
        self.key.is_some()
            && (self.since_checkpoint >= self.terms.checkpoint_records
                || (self.since_checkpoint > 0
                    && self.last_checkpoint.elapsed() >= self.terms.checkpoint_every))
    }

    /// Signs the current ends of this chain and all others.
    async fn checkpoint(&mut self) {
        let Some(key) = &self.key else { return };
        let heads = self.log.heads(&self.heads, key);
        let heads = tokio::time::timeout(self.terms.write_timeout, heads).await;
        let heads = match heads {
            Ok(Ok(heads)) => heads,
            Ok(Err(error)) => return self.failed(&error.to_string()),
            Err(_) => return self.failed("the database does not answer"),
        };
        if let Err(why) = self.settle_doubt().await {
            return self.audit.fails(&why);
        }
        let Some(key) = &self.key else { return };
        let mut chain = self.log.chain().clone();
        let next = chain.head().seq + 1;
        let open = self.open.values().min().copied().unwrap_or(next);
        let mut body = String::new();
        checkpoint(&mut chain, key, &now(), open, &heads, &mut body);
        let at = now_ms();
        let commit = self.commit(&chain, next, (at, at), body);
        let usage = (!self.tally.is_empty()).then(|| self.tally.clone());
        let (commit, marks, tally) = (Commit { usage, ..commit }, Vec::new(), Tally::default());
        match self.write(Prepared { commit, chain, marks, tally }).await {
            Ok(Committed::Written) => {
                self.anchor(&self.spare);
                self.heads.extend(heads);
                self.since_checkpoint = 0;
                self.last_checkpoint = Instant::now();
            }
            // The next write detects it, too.
            Ok(_) => {}
            Err(why) => self.audit.fails(&why),
        }
    }

    /// Appends a checkpoint to the operator's own file.
    fn anchor(&self, line: &str) {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let Some(path) = &self.terms.anchor else { return };
        // The operator decides who else may read it.
        let mut options = std::fs::OpenOptions::new();
        let file = options.create(true).append(true).mode(0o600).open(path);
        let written = file.and_then(|mut file| {
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_data()
        });
        if let Err(error) = written {
            tracing::error!(path = %path.display(), %error, "a checkpoint was not appended to the anchor");
        }
    }

    /// Updates the heartbeat, checks those of other processes, and signs the records written since
    /// the last checkpoint.
    async fn beat(&mut self) {
        let patience = self.terms.write_timeout;
        match tokio::time::timeout(patience, self.look_around()).await {
            Ok(Ok(true)) => self.audit.works(),
            Ok(Ok(false)) => _ = self.open_another_chain().await,
            Ok(Err(error)) => return self.failed(&error.to_string()),
            Err(_) => return self.failed("the database does not answer"),
        }
        // Usage is counted with the next record; if there is none, with one written for this
        // purpose.
        if !self.tally.is_empty() && self.key.is_some() {
            return self.checkpoint().await;
        }
        let rests = self.last_checkpoint.elapsed() >= self.terms.checkpoint_every;
        if self.key.is_some()
            && rests
            && (self.since_checkpoint > 0 || self.have_others_moved().await)
        {
            self.checkpoint().await;
        }
    }

    /// `false` if another process declared this one dead.
    async fn look_around(&mut self) -> Result<bool, Error> {
        self.settle_doubt().await.map_err(Error::Refused)?;
        let alive = self.log.beat().await?;
        if alive {
            self.close_calls_of_the_dead().await?;
        }
        Ok(alive)
    }

    async fn have_others_moved(&mut self) -> bool {
        let Some(key) = &self.key else { return false };
        let heads = self.log.heads(&self.heads, key);
        let heads = tokio::time::timeout(self.terms.write_timeout, heads).await;
        matches!(heads, Ok(Ok(heads)) if !heads.is_empty())
    }

    fn failed(&mut self, why: &str) {
        self.log.disconnect();
        self.audit.fails(why);
    }

    async fn end(&mut self) {
        if let Err(error) = self.write_last(Record::new("end", happened())).await {
            tracing::error!(%error, "the end of a call was not recorded");
        }
        self.audit.written.cancel();
    }

    async fn write_last(&mut self, record: Record) -> Result<(), Error> {
        // Counts all usage with it.
        self.last_count = Instant::now().checked_sub(COUNT).unwrap_or(self.last_count);
        let last = self.write_now(vec![record], None).await?;
        self.since_checkpoint += 1;
        self.checkpoint().await;
        // If its end could not be signed, the next process finds it dead, and signs that.
        if self.key.is_some() && last == Committed::Written && self.since_checkpoint > 0 {
            return Err(Error::Refused("the last checkpoint was not written".into()));
        }
        self.log.end().await
    }
}

/// The members of a record about an event that happens now and is not a call.
pub(super) fn happened() -> Members {
    let mut members = Members::default();
    members.text("class", RecordClass::Events.as_str()).text("at", &now());
    members
}

pub(super) fn now() -> String {
    written_at(now_ms() * 1_000)
}

pub(super) fn here() -> Place {
    Place::here(env!("CARGO_PKG_VERSION"))
}

pub(super) fn fresh_id() -> WriterId {
    WriterId::new(doorward_core::CallId::run())
}

impl Audit {
    pub(super) fn works(&self) {
        if self.trouble.swap(None).is_some() {
            tracing::info!("audit records can be written again");
        }
    }

    pub(super) fn fails(&self, why: &str) {
        if self.trouble.swap(Some(Arc::new(why.to_owned()))).is_none() {
            tracing::error!("audit records cannot be written: {why}");
        }
    }
}
