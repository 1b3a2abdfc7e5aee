//! Servers that are programs: started in their own process group with an explicit environment, connected by lines of
//! standard input and output, and killed with all their children.

use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use doorward_inspect::written::{self, Keep};
use doorward_mcp::display::harmless_line;
use doorward_mcp::error::Kind;
use doorward_mcp::lenient::{self, Deviation};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use parking_lot::Mutex;
use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessGroup};
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::{Notify, mpsc};

use super::http::Bounds;
use super::inbound::Inbound;
use super::pipe::Pipe;
use doorward_config::ServerSettings;
use doorward_core::Failure;
use doorward_observability::audit::Audit;
use doorward_process::cgroup;
use doorward_process::lines::{Broken, Lines, one_line};

/// What a program is given of the gateway's own environment: what it needs to run at all.
const INHERITED: [&str; 8] = ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER"];
/// Longest line of a program's stderr that is logged whole.
const LOG_LINE: usize = 4 << 10;
/// How long a program may take to end by itself, and again after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(2);

/// The program that runs.
const OWN: &str = "/proc/self/exe";
/// How long is read on from a program that has ended.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Lines of a program's stderr that are told when it has ended, and so much of each.
const LAST_LINES: usize = 5;
const LAST_LINE: usize = 200;

/// Counts the processes of all servers, up to the limit.
#[derive(Debug)]
pub struct ProcessCount {
    running: AtomicUsize,
    limit: usize,
    freed: Notify,
}

impl ProcessCount {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { running: AtomicUsize::new(0), limit, freed: Notify::new() })
    }

    pub fn is_full(&self) -> bool {
        self.running() >= self.limit
    }

    /// Waits until there is room, for as long as a program that was told to may take to end.
    pub async fn freed(&self) {
        let freed = async {
            while self.is_full() {
                self.freed.notified().await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE * 3, freed).await;
    }

    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    fn take(self: &Arc<Self>) -> Result<Slot, Failure> {
        let taken = self.running.fetch_update(Ordering::AcqRel, Ordering::Acquire, |running| {
            (running < self.limit).then_some(running + 1)
        });
        match taken {
            Ok(_) => Ok(Slot(self.clone())),
            Err(_) => Err(Failure::new(
                Kind::Overloaded,
                format!("The limit of {} server processes is reached", self.limit),
            )),
        }
    }
}

#[derive(Debug)]
struct Slot(Arc<ProcessCount>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.notify_one();
    }
}

/// Starts a server's program. The pipe ends when the program does, and stopping the pipe ends the
/// program and all its children.
pub fn start(
    server: &str,
    settings: &ServerSettings,
    bounds: Bounds,
    count: &Arc<ProcessCount>,
    inbound: Inbound,
    audit: Arc<Audit>,
) -> Result<Arc<Pipe>, Failure> {
    let launched = settings.launched().map_err(|why| {
        Failure::new(Kind::Unreachable, "The server's package cannot be run").because(why)
    })?;
    let (settings, slot) = (&*launched, count.take()?);
    let program = settings.command.as_deref().unwrap_or_default();
    // A program that is confined is what the gateway's own turns into.
    let start = settings.confine.as_ref().map_or(program, |_| OWN);
    let mut command = CommandWrap::with_new(start, |command| {
        if let Some(confine) = &settings.confine {
            let allowed = serde_json::to_string(confine).unwrap_or_default();
            let own = std::process::id().to_string();
            command.args(["confine", "--parent", &own, &allowed, "--", program]);
        }
        command.args(&settings.args).env_clear();
        command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs(settings.env.iter().map(|(name, value)| (name, value.expose())));
        if let Some(directory) = &settings.cwd {
            command.current_dir(directory);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    });
    command.wrap(ProcessGroup::leader()).wrap(KillOnDrop);
    let mut child = command.spawn().map_err(|error| {
        Failure::new(Kind::Unreachable, "The server's program cannot be started")
            .because(format!("{program}: {error}"))
    })?;
    let (stdin, stdout, stderr) =
        (child.stdin().take(), child.stdout().take(), child.stderr().take());
    let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(Failure::new(
            Kind::Unreachable,
            "The server's program has no standard streams",
        ));
    };
    let (pipe, queue) = Pipe::new(inbound);
    let name: Arc<str> = server.into();
    tracing::info!(server, program, pid = child.id(), "started the server's program");
    let output = settings.confine.as_ref().map(|confine| confine.output.0);
    let confined = settings.confine.is_some();
    let run = Run { server: name, pipe: pipe.clone(), audit, output, confined, _slot: slot };
    tokio::spawn(run.attend(child, stdin, stdout, stderr, queue, bounds));
    Ok(pipe)
}

struct Run {
    server: Arc<str>,
    pipe: Arc<Pipe>,
    audit: Arc<Audit>,
    /// What is read in a second at most.
    output: Option<usize>,
    confined: bool,
    _slot: Slot,
}

impl Run {
    /// Serves the program's streams until it ends or the pipe is stopped, then makes sure that
    /// nothing of it is left.
    async fn attend(
        self,
        mut child: Box<dyn ChildWrapper>,
        stdin: ChildStdin,
        stdout: ChildStdout,
        stderr: ChildStderr,
        queue: mpsc::Receiver<Bytes>,
        bounds: Bounds,
    ) {
        let group = child.id();
        let stop = self.pipe.stop.clone();
        let writing = tokio::spawn(write_lines(stdin, queue, stop.clone()));
        let last = Arc::<Mutex<LastLines>>::default();
        let (server, flow) = (self.server.clone(), Flow::new(self.output));
        let mut logging = tokio::spawn(log_lines(server, stderr, flow, last.clone()));
        let mut lines = Lines::new(stdout);
        let mut failure = {
            let flow = Flow::new(self.output);
            let reading = read_lines(&self.server, &self.pipe, &mut lines, &bounds, flow);
            tokio::pin!(reading);
            tokio::select! {
                failure = &mut reading => failure,
                () = stop.cancelled() => Failure::new(Kind::Closing, "The server is being stopped"),
                // A child of the program's may hold its output open; what it has said is still read.
                _ = child.inner_mut().wait() => {
                    tokio::time::timeout(LAST_WORDS, reading).await.unwrap_or_else(|_| ended())
                }
            }
        };
        // A whole message is one without its line end, too.
        if failure.kind == Kind::StreamEnded
            && let Ok(message) = bounds.parse(&lines.rest())
        {
            self.pipe.receive(message).await;
        }
        if failure.kind == Kind::StreamEnded && failure.cause.is_none() {
            // Why it has ended it has said last, if at all.
            let _ = tokio::time::timeout(LAST_WORDS, &mut logging).await;
            failure.cause = last.lock().text();
        }
        self.pipe.end(failure);
        // Its end closes the program's stdin, which asks the program to end.
        let _ = writing.await;
        let status = end(&mut *child, group).await;
        if let (true, Some(process)) = (self.confined, group) {
            cgroup::end(process).await;
        }
        if !logging.is_finished() {
            let _ = tokio::time::timeout(PATIENCE, logging).await;
        }
        tracing::info!(server = &*self.server, pid = group, status, "the server's program ended");
        self.audit.event("server.program_ended", |members| {
            members.text("server", &self.server).text("status", &status);
        });
    }
}

/// Waits for the program to end; asks it to (SIGTERM), then makes it (SIGKILL), its whole group.
async fn end(child: &mut dyn ChildWrapper, group: Option<u32>) -> String {
    let signal = |signal| {
        if let Some(group) = group.and_then(|id| i32::try_from(id).ok()) {
            let _ = killpg(Pid::from_raw(group), signal);
        }
    };
    let mut status = None;
    for next in [None, Some(Signal::SIGTERM), Some(Signal::SIGKILL)] {
        if let Some(next) = next {
            signal(next);
        }
        if let Ok(ended) = tokio::time::timeout(PATIENCE, child.inner_mut().wait()).await {
            status = ended.ok();
            break;
        }
    }
    // The program may be gone while children of its live on.
    signal(Signal::SIGKILL);
    status.map_or_else(|| "unknown".into(), |status| status.to_string())
}

async fn write_lines(
    mut stdin: ChildStdin,
    mut queue: mpsc::Receiver<Bytes>,
    stop: tokio_util::sync::CancellationToken,
) {
    loop {
        let text = tokio::select! {
            biased;
            text = queue.recv() => text,
            () = stop.cancelled() => return,
        };
        let Some(text) = text else { return };
        let line = one_line(&text);
        let written = tokio::select! {
            written = async {
                stdin.write_all(&line).await?;
                stdin.flush().await
            } => written,
            () = stop.cancelled() => return,
        };
        if written.is_err() {
            return;
        }
    }
}

async fn read_lines(
    server: &str,
    pipe: &Pipe,
    lines: &mut Lines<impl AsyncRead + Unpin>,
    bounds: &Bounds,
    mut flow: Flow,
) -> Failure {
    loop {
        let line = match lines.next(bounds.message).await {
            Ok(Some(line)) => line,
            Ok(None) | Err(Broken::Io(_)) => return ended(),
            Err(Broken::TooLong) => {
                return Failure::new(Kind::TooLarge, "A message of the server is too large");
            }
        };
        flow.passed(line.len()).await;
        if line.trim_ascii().is_empty() {
            continue;
        }
        match bounds.parse(&line) {
            Ok(message) => pipe.receive(message).await,
            // Programs greet and log on their standard output; what would have been an answer costs its call.
            Err(failure) => {
                bounds.note(Deviation::Noise);
                if let Some(id) = lenient::answered_id(&line) {
                    pipe.inbound.calls.cut_off(id, failure);
                }
                let line = String::from_utf8_lossy(&line[..line.len().min(LOG_LINE)]);
                tracing::warn!(
                    server,
                    line = %line.escape_debug(),
                    "the server's program wrote a line that is not a message"
                );
            }
        }
    }
}

fn ended() -> Failure {
    Failure::new(Kind::StreamEnded, "The server's program ended before it answered")
}

/// How fast output is read.
struct Flow {
    most: Option<usize>,
    since: tokio::time::Instant,
    passed: usize,
}

impl Flow {
    fn new(most: Option<usize>) -> Self {
        Self { most, since: tokio::time::Instant::now(), passed: 0 }
    }

    /// Waits until more may be read: meanwhile the pipe is full, and the program waits, too.
    async fn passed(&mut self, bytes: usize) {
        let Some(most) = self.most else { return };
        let second = Duration::from_secs(1);
        if self.since.elapsed() >= second {
            *self = Self::new(self.most);
        }
        self.passed += bytes;
        if self.passed >= most {
            let seconds = self.passed as f64 / most as f64;
            tokio::time::sleep_until(self.since + second.mul_f64(seconds)).await;
            *self = Self::new(self.most);
        }
    }
}

/// What a program has said last on its stderr, for whoever asks why it has ended.
#[derive(Debug, Default)]
struct LastLines(VecDeque<String>);

impl LastLines {
    fn add(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        if self.0.len() == LAST_LINES {
            self.0.pop_front();
        }
        self.0.push_back(line.chars().take(LAST_LINE).collect());
    }

    fn text(&self) -> Option<String> {
        let lines: Vec<_> = self.0.iter().map(String::as_str).collect();
        (!lines.is_empty()).then(|| format!("its last lines on stderr: {}", lines.join(" / ")))
    }
}

async fn log_lines(
    server: Arc<str>,
    stderr: ChildStderr,
    mut flow: Flow,
    last: Arc<Mutex<LastLines>>,
) {
    let mut lines = Lines::new(stderr);
    let mut cleaning = written::Lines::default();
    loop {
        match lines.next(LOG_LINE).await {
            Ok(Some(line)) => {
                flow.passed(line.len()).await;
                let text = String::from_utf8_lossy(&line);
                // Before anything is cut off: a part of a secret is not recognized.
                let text = cleaning.clean(&text, Keep::Nothing);
                let said = harmless_line(&text);
                last.lock().add(&said);
                tracing::info!(server = &*server, stderr = &*said,);
            }
            Ok(None) | Err(Broken::Io(_)) => return,
            Err(Broken::TooLong) => {
                tracing::info!(
                    server = &*server,
                    "a line of the server's stderr is too long to log"
                );
                lines.skip_line();
            }
        }
    }
}
