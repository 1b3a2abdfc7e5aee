//! The gateway as a separate process, and the resources that it uses.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A running gateway; stopped when dropped.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    /// Where clients connect, without a path.
    pub address: String,
    config: PathBuf,
}

/// The resources that a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub cpu: Duration,
    /// The CPU time spent in the kernel.
    pub system: Duration,
    pub resident_kib: u64,
}

impl Gateway {
    /// Starts a gateway with a configuration, on ports that the system chooses.
    pub fn start(program: &Path, config: &str) -> Result<Self, String> {
        Self::start_with(program, config, "none")
    }

    /// The same with a store.
    pub fn start_with(program: &Path, config: &str, store: &str) -> Result<Self, String> {
        Self::start_by(Command::new(program), config, store)
    }

    /// The same with a command that runs the gateway's program, such as one that counts its instructions.
    pub fn start_by(mut command: Command, config: &str, store: &str) -> Result<Self, String> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("doorward-bench-{}-{number}.yaml", std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, config).map_err(|error| error.to_string())?;
        let mut child = command
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "off",
                "--log",
                "warn",
                "--store",
                store,
                "--config",
            ])
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        let out = child.stdout.take().ok_or("no output")?;
        let mut address = None;
        let mut lines = BufReader::new(out).lines();
        for line in lines.by_ref() {
            let line = line.map_err(|error| error.to_string())?;
            if let Some((_, rest)) = line.split_once("MCP endpoint") {
                address = rest
                    .trim()
                    .strip_prefix("http://")
                    .map(|rest| rest.trim_end_matches("/mcp").to_owned());
                break;
            }
        }
        // Keep reading, so that the gateway never blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let address = address.ok_or("the gateway did not say where it is")?;
        Ok(Self { child, address, config: file })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn usage(&self) -> Usage {
        usage(self.id())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.config);
    }
}

/// Reads `/proc` (proc_pid_stat(5)); zeros when the process is gone.
pub fn usage(pid: u32) -> Usage {
    let ticks =
        nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let field = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let time = |spent: u64| Duration::from_secs_f64(spent as f64 / ticks as f64);
    Usage {
        cpu: time(field(11) + field(12)),
        system: time(field(12)),
        resident_kib: resident
            .split_whitespace()
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
    }
}

/// The output of a gateway command.
pub fn output(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().map_err(|it| it.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}
