//! Runs the gateway under valgrind's callgrind, which counts the instructions it executes. Unlike times, the count
//! does not depend on other load on the machine. Debian's package `valgrind` contains the tool, and `vgdb`, which
//! controls it while it runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::gateway::Gateway;

/// A gateway whose instructions are counted; stopped when dropped.
#[derive(Debug)]
pub struct Counted {
    pub gateway: Gateway,
    folder: PathBuf,
}

/// Whether both programs are installed.
pub fn is_installed() -> bool {
    let runs = |program: &str, argument: &str| {
        let mut command = Command::new(program);
        let command = command.arg(argument).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    runs("valgrind", "--version") && runs("vgdb", "--help")
}

impl Counted {
    /// Starts a gateway. Callgrind writes to `folder`, which must be empty and is not removed.
    pub fn start(
        program: &Path,
        config: &str,
        store: &str,
        folder: PathBuf,
    ) -> Result<Self, String> {
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let mut command = Command::new("valgrind");
        command
            // On processors that copy with `rep movsb`, valgrind counts one instruction per byte: nearly half of a
            // call. Without it glibc copies with vector instructions, as it does for small copies anyway.
            .env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-ERMS")
            .args(["--tool=callgrind", "--quiet"])
            .arg(format!("--vgdb-prefix={}", prefix(&folder)))
            .arg(format!("--callgrind-out-file={}", folder.join("out").display()))
            .arg(program);
        Ok(Self { gateway: Gateway::start_by(command, config, store)?, folder })
    }

    /// Resets the count to zero.
    pub fn zero(&self) -> Result<(), String> {
        self.send("zero")
    }

    /// The instructions of all threads in user mode since `zero`. Can be called once.
    pub fn instructions(&self) -> Result<u64, String> {
        self.send("dump")?;
        let file = self.folder.join("out.1");
        let profile = std::fs::read_to_string(&file)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        let total = profile.lines().rev().find_map(|line| line.strip_prefix("totals:"));
        total
            .and_then(|total| total.trim().parse().ok())
            .ok_or_else(|| format!("{}: no total", file.display()))
    }

    fn send(&self, order: &str) -> Result<(), String> {
        let output = Command::new("vgdb")
            .arg(format!("--vgdb-prefix={}", prefix(&self.folder)))
            .arg(format!("--pid={}", self.gateway.id()))
            .args(["--cmd-time-out=60", order])
            .output()
            .map_err(|error| format!("vgdb: {error}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("vgdb {order}: {}", String::from_utf8_lossy(&output.stderr))),
        }
    }
}

/// The prefix of the pipes through which valgrind is controlled.
fn prefix(folder: &Path) -> String {
    folder.join("vgdb").display().to_string()
}
