//! What a server's program may do on this machine.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ByteSize, Period};

/// A program that is confined reads what programs need to run (`/usr`, `/lib`, `/etc/ssl` and their like) and
/// what is named here, and nothing else; it writes what is named here. By Landlock and seccomp; where the
/// kernel has not got them, the program is not started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Confinement {
    /// Files and folders it may read and run, all below them included.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<PathBuf>,
    /// Files and folders it may read and write.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub write: Vec<PathBuf>,
    /// Whether it may use the network. Local sockets it never may.
    pub network: bool,
    /// The user it runs as, by name or number, where the gateway runs as root; it must be named then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether it gets name spaces of its own, in which it sees no other process, and all that it may not write is
    /// read-only to it. Where it gets none, it cannot change modes, owners and times of any file.
    pub namespaces: Namespaces,
    /// The most address space of a process.
    pub memory: ByteSize,
    /// The most memory of all its processes together. Needs control groups that the gateway may make; where there are
    /// none, the program is not started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_in_all: Option<ByteSize>,
    /// The processor time of a process, all in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Period>,
    /// Processes and threads: the program's, where there are control groups that the gateway may make; else those of all
    /// programs of the same user, where that is not root.
    pub processes: u64,
    /// Open files of a process.
    pub files: u64,
    /// The largest file it may write.
    pub file_size: ByteSize,
    /// What is read of its output in a second, messages and lines for the log each; it waits meanwhile.
    pub output: ByteSize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Namespaces {
    /// Where the machine allows them.
    #[default]
    Prefer,
    /// Where the machine does not allow them, the program is not started.
    Require,
    Never,
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
            problems.push("'processes', 'files' (16) and 'output' must leave something".into());
        }
        problems
    }
}
