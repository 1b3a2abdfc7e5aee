//! The sandbox of a server's program.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ByteSize, Period};

/// Sandbox of a program. It can read what programs need to run (`/usr`, `/lib`, `/etc/ssl` and the like) and the
/// paths that are listed here; it can write only the listed paths. Uses Landlock and seccomp; if the kernel does
/// not support them, the program is not started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Confinement {
    /// Files and folders that it may read and execute, with everything below them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<PathBuf>,
    /// Files and folders that it may read and write.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub write: Vec<PathBuf>,
    /// Allow network access. Local (Unix) sockets are never allowed.
    pub network: bool,
    /// User that it runs as, by name or number. Required if the gateway runs as root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Use separate namespaces, in which it sees no other process and everything that it may not write is mounted
    /// read-only. Without namespaces, it cannot change mode, owner or times of any file.
    pub namespaces: Namespaces,
    /// Maximum address space of a process.
    pub memory: ByteSize,
    /// Maximum memory of all its processes together. Requires control groups that the gateway can create; if
    /// there are none, the program is not started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_in_all: Option<ByteSize>,
    /// Maximum total CPU time of a process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Period>,
    /// Maximum number of processes and threads: of the program if the gateway can create control groups;
    /// otherwise of all programs of the same user, unless that is root.
    pub processes: u64,
    /// Maximum number of open files of a process.
    pub files: u64,
    /// Maximum size of a file that it writes.
    pub file_size: ByteSize,
    /// Maximum output that is read in a second, for messages and log lines each. Beyond that, the program blocks.
    pub output: ByteSize,
    /// The folder of the package that is started, which is verified first. Set by the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub package: Option<VerifiedFolder>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Namespaces {
    /// Where the system supports them.
    #[default]
    Prefer,
    /// Required: if the system does not support them, the program is not started.
    Require,
    Never,
}

/// A folder that must not have changed when a program starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifiedFolder {
    pub path: PathBuf,
    /// The digest of all files below it: `sha256:…`.
    pub digest: String,
}

impl Default for Confinement {
    fn default() -> Self {
        Self {
            read: Vec::new(),
            write: Vec::new(),
            network: false,
            user: None,
            namespaces: Namespaces::Prefer,
            memory: ByteSize(4 << 30),
            memory_in_all: None,
            cpu: None,
            processes: 256,
            files: 1_024,
            file_size: ByteSize(1 << 30),
            output: ByteSize(16 << 20),
            package: None,
        }
    }
}

impl Confinement {
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for path in self.read.iter().chain(&self.write).filter(|path| !path.is_absolute()) {
            problems.push(format!("'{}' must be an absolute path", path.display()));
        }
        if self.write.iter().any(|path| path.parent().is_none()) {
            problems.push("'write' must not be all of the file system".into());
        }
        if self.processes == 0 || self.files < 16 || self.output.0 == 0 {
            problems.push(
                "'processes' and 'output' must not be 0, and 'files' must be at least 16".into(),
            );
        }
        problems
    }
}
