//! Ensures that nothing of a program outlives it or the gateway.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getppid};
use rustix::process::{PidfdFlags, pidfd_open};

/// How long a program may take to end after this process is asked to end: less than the gateway
/// waits before it kills it.
const GRACE: Duration = Duration::from_millis(1_500);
/// How often the parent is checked for, if the kernel does not report its end.
const LOOK: Duration = Duration::from_secs(1);

fn said(error: Errno) -> String {
    format!("watching it: {error}")
}

/// This process, while it watches: it adopts orphans of the program.
pub struct Watched {
    parent: Pid,
    signals: SignalFd,
}

impl Watched {
    pub fn new(parent: Option<i32>) -> Result<Self, String> {
        let parent = parent.map_or_else(getppid, Pid::from_raw);
        nix::sys::prctl::set_child_subreaper(true).map_err(said)?;
        let mut signals = SigSet::empty();
        for signal in
            [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT]
        {
            signals.add(signal);
        }
        signals.thread_block().map_err(said)?;
        let signals =
            SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
                .map_err(said)?;
        Ok(Self { parent, signals })
    }

    /// Waits for the end of the program or the parent, ends the remaining processes, and exits as
    /// the program did.
    pub fn attend(&self, child: &Child, is_told_by_code: bool) -> Result<(), String> {
        let program = Pid::from_raw(child.id().cast_signed());
        let parent = rustix::process::Pid::from_raw(self.parent.as_raw())
            .and_then(|parent| pidfd_open(parent, PidfdFlags::empty()).ok());
        let mut asked: Option<Instant> = None;
        let status = loop {
            if let Some(status) = reap(program)? {
                break Some(status);
            }
            if getppid() != self.parent || asked.is_some_and(|asked| asked.elapsed() > GRACE) {
                break None;
            }
            let mut watched = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            watched.extend(parent.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
            let most = match (&parent, asked) {
                (_, Some(_)) => PollTimeout::try_from(GRACE / 10),
                (None, None) => PollTimeout::try_from(LOOK),
                (Some(_), None) => Ok(PollTimeout::NONE),
            };
            match poll(&mut watched, most.unwrap_or(PollTimeout::ZERO)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(said(error)),
            }
            if watched.get(1).and_then(PollFd::revents).is_some_and(|seen| !seen.is_empty()) {
                break None;
            }
            while let Ok(Some(signal)) = self.signals.read_signal() {
                if signal.ssi_signo != Signal::SIGCHLD as u32 {
                    asked.get_or_insert_with(Instant::now);
                }
            }
        };
        if status.is_none() {
            // In a separate PID namespace, the remaining processes are not visible from here, and
            // end with its first process.
            let _ = kill(program, Signal::SIGKILL);
        }
        end_all()?;
        end_as(status, is_told_by_code)
    }
}

/// Reaps all ended children; returns the status of the given one.
fn reap(program: Pid) -> Result<Option<ExitStatus>, String> {
    let mut found = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(found),
            Ok(status) => {
                if status.pid() == Some(program) {
                    found = ended(status).or(found);
                }
            }
            Err(Errno::EINTR) => {}
            Err(error) => return Err(said(error)),
        }
    }
}

fn ended(status: WaitStatus) -> Option<ExitStatus> {
    match status {
        WaitStatus::Exited(_, code) => Some(ExitStatus::from_raw(code << 8)),
        WaitStatus::Signaled(_, signal, _) => Some(ExitStatus::from_raw(signal as i32)),
        _ => None,
    }
}

/// Ends all children, including newly adopted ones, until there are none.
fn end_all() -> Result<(), String> {
    loop {
        for child in children() {
            let _ = kill(child, Signal::SIGKILL);
        }
        match waitpid(None, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return Ok(()),
            Err(error) => return Err(said(error)),
        }
    }
}

fn children() -> HashSet<Pid> {
    let own = std::process::id().to_string();
    let mut found = HashSet::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // `pid (name) state parent …`; the name may contain any characters.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        if parent == Some(own.as_str()) {
            found.insert(Pid::from_raw(pid));
        }
    }
    found
}

fn end_as(status: Option<ExitStatus>, is_told_by_code: bool) -> ! {
    let signal = status.and_then(|status| match status.code() {
        Some(code) if is_told_by_code && code > 128 => Some(code - 128),
        _ => status.signal(),
    });
    if let Some(signal) = signal.and_then(|signal| Signal::try_from(signal).ok()) {
        let _ = SigSet::empty().thread_set_mask();
        let _ = nix::sys::signal::raise(signal);
    }
    std::process::exit(status.and_then(|status| status.code()).unwrap_or(1));
}

/// Waits for the program as the first process of its PID namespace: all others end with it.
pub fn take_in(child: &Child) -> Result<ExitStatus, String> {
    let program = Pid::from_raw(child.id().cast_signed());
    loop {
        match waitpid(None, None) {
            Ok(status) if status.pid() == Some(program) => {
                if let Some(status) = ended(status) {
                    return Ok(status);
                }
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(said(error)),
        }
    }
}

/// The parent process, identified before this process enters another PID namespace.
pub struct Parent {
    expected: Option<i32>,
    status: File,
}

impl Parent {
    pub fn new(expected: Option<i32>) -> Result<Self, String> {
        let status = File::open("/proc/self/status").map_err(|error| error.to_string())?;
        Ok(Self { expected, status })
    }

    /// From now on, this process ends with its parent. Fails if the parent has already ended.
    pub fn end_with(mut self) -> Result<(), String> {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(said)?;
        let mut text = String::new();
        let read = self.status.rewind().and_then(|()| self.status.read_to_string(&mut text));
        read.map_err(|error| error.to_string())?;
        let parent = text.lines().find_map(|line| line.strip_prefix("PPid:"));
        let parent = parent.and_then(|parent| parent.trim().parse().ok());
        if self.expected.is_some() && parent != self.expected {
            return Err("who started it has ended".into());
        }
        Ok(())
    }
}

/// The program has the streams; they must not be held open here.
pub fn leave_streams() -> Result<(), String> {
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.map_err(|error| format!("/dev/null: {error}"))?;
    rustix::stdio::dup2_stdin(&null)
        .and_then(|()| rustix::stdio::dup2_stdout(&null))
        .and_then(|()| rustix::stdio::dup2_stderr(&null))
        .map_err(|error| error.to_string())
}

/// The program decides which signals to block.
pub fn unblock() -> Result<(), String> {
    SigSet::empty().thread_set_mask().map_err(said)
}
