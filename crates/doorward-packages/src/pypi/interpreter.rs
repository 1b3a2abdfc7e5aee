//! The machine's Python: asked once for what it is.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use super::requirement::Markers;
use super::tags::Target;
use crate::error::{Error, Result};

const PATIENCE: Duration = Duration::from_secs(20);

/// Isolated, so that nothing of the operator's own packages is looked at.
const QUESTION: &str = r#"
import json, os, platform, sys
v = sys.version_info
libc, number = platform.libc_ver()
glibc = [int(part) for part in number.split(".")[:2]] if libc == "glibc" else None
musl = None
if glibc is None:
    import glob
    if glob.glob("/lib/ld-musl-*"):
        musl = [1, 2]
full = platform.python_version()
print(json.dumps({
    "executable": os.path.realpath(sys.executable),
    "prefix": os.path.realpath(sys.base_prefix),
    "exec_prefix": os.path.realpath(sys.base_exec_prefix),
    "target": {
        "implementation": sys.implementation.name, "major": v[0], "minor": v[1], "patch": v[2],
        "abiflags": getattr(sys, "abiflags", ""), "machine": platform.machine(), "glibc": glibc, "musl": musl,
    },
    "markers": {
        "implementation_name": sys.implementation.name,
        "implementation_version": full if sys.implementation.name == "cpython" else "0",
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "platform_python_implementation": platform.python_implementation(),
        "python_full_version": full,
        "python_version": "%d.%d" % v[:2],
        "sys_platform": sys.platform,
    },
}))
"#;

/// A Python and what it is.
#[derive(Debug, Clone, Deserialize)]
pub struct Interpreter {
    pub executable: PathBuf,
    prefix: PathBuf,
    exec_prefix: PathBuf,
    pub target: Target,
    pub markers: Markers,
}

impl Interpreter {
    /// # Errors
    /// If there is no Python, or none that can be used.
    pub async fn ask(program: &Path) -> Result<Self> {
        let text = answer(program, &["-I", "-S", "-c", QUESTION]).await.map_err(|why| {
            Error::Missing(format!(
                "packages of PyPI need Python 3 on this machine: {}: {why}; set 'packages.python' to another",
                program.display()
            ))
        })?;
        let found: Self = serde_json::from_slice(&text).map_err(|error| {
            Error::Missing(format!("{} is not a Python 3: {error}", program.display()))
        })?;
        if found.target.major != 3 {
            return Err(Error::Missing(format!("{} is not a Python 3", program.display())));
        }
        Ok(found)
    }

    /// What it reads to run at all.
    pub fn folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.prefix.clone()];
        if self.exec_prefix != self.prefix {
            folders.push(self.exec_prefix.clone());
        }
        // The system's own are allowed for all programs.
        folders.retain(|folder| !folder.starts_with("/usr") && folder.parent().is_some());
        folders
    }
}

/// What a program prints.
pub(crate) async fn answer(program: &Path, arguments: &[&str]) -> Result<Vec<u8>, String> {
    let running = Command::new(program)
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, running).await;
    let output = output.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?;
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("{} ({})", last.chars().take(200).collect::<String>(), output.status))
}
