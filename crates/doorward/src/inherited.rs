//! File descriptors that this process inherited: programs that it starts do not receive them.

use std::fs;
use std::os::fd::RawFd;

use crate::commands::{Exit, Failed};

const OPEN: &str = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };

/// File descriptors other than standard input, output and error.
pub struct Inherited(Vec<RawFd>);

impl Inherited {
    /// Lists them. Must run before this process opens any of its own.
    pub fn list() -> Result<Self, Failed> {
        let failed = |error| {
            let why = format!("cannot list inherited open files: {OPEN}: {error}");
            Failed::new(Exit::Failure, why)
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(OPEN).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            found.extend(name.to_str().and_then(|name| name.parse::<RawFd>().ok()));
        }
        // Without the one used for listing, which is closed by now.
        found.retain(|number| {
            *number > 2 && fs::symlink_metadata(format!("{OPEN}/{number}")).is_ok()
        });
        Ok(Self(found))
    }

    /// Closes them.
    pub fn close(self) {
        for number in self.0 {
            // One that cannot be closed is not open.
            let _ = nix::unistd::close(number);
        }
    }
}
