//! The machine's Node: asked once for what it is.

use std::path::{Path, PathBuf};

use nodejs_semver::Version;
use serde::Deserialize;

use super::resolve::Machine;
use crate::error::{Error, Result};
use crate::pypi::answer;

const QUESTION: &str = "JSON.stringify({version: process.versions.node, \
executable: require('fs').realpathSync(process.execPath), os: process.platform, cpu: process.arch, \
libc: process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl', \
flag: process.allowedNodeEnvironmentFlags.has('--disable-wasm-trap-handler')})";

#[derive(Debug, Deserialize)]
struct Answer {
    version: String,
    executable: PathBuf,
    os: String,
    cpu: String,
    libc: String,
    flag: bool,
}

/// A Node and what it is.
#[derive(Debug, Clone)]
pub struct Node {
    pub executable: PathBuf,
    pub machine: Machine,
    /// It can be told to reserve no address space for WebAssembly, which is bounded in a sandbox.
    pub saves_space: bool,
}

impl Node {
    /// # Errors
    /// If there is no Node, or none that can be used.
    pub async fn ask(program: &Path) -> Result<Self> {
        let missing = |why: String| {
            let program = program.display();
            Error::Missing(format!(
                "packages of npm need Node on this machine: {program}: {why}; set 'packages.node' to another"
            ))
        };
        let text = answer(program, &["-p", QUESTION]).await.map_err(missing)?;
        let found: Answer =
            serde_json::from_slice(&text).map_err(|error| missing(error.to_string()))?;
        let node = Version::parse(&found.version).map_err(|error| missing(error.to_string()))?;
        let Answer { executable, os, cpu, libc, flag, .. } = found;
        Ok(Self { executable, machine: Machine { node, os, cpu, libc }, saves_space: flag })
    }

    /// The command line of a program, a file.
    pub fn arguments(&self, file: &Path) -> Vec<String> {
        let flag = self.saves_space.then(|| "--disable-wasm-trap-handler".to_owned());
        flag.into_iter().chain([file.display().to_string()]).collect()
    }
}

impl Machine {
    /// In one word, for the lock file: `linux-x64-glibc`.
    pub fn name(&self) -> String {
        format!("{}-{}-{}", self.os, self.cpu, self.libc)
    }
}
