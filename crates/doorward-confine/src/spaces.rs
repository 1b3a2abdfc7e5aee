//! Separate namespaces of a program, if the system allows them: the program sees no other process, and all files that
//! it may not write are read-only to it, including their modes, owners and times, which Landlock does not cover.

use std::fs;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use nix::unistd::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spaces {
    None,
    /// Created with the gateway's privileges.
    Whole,
    /// In a user namespace, in which unprivileged users may create others.
    User,
}

/// The kind of namespaces to try.
pub fn kind() -> Spaces {
    let has = rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
    if has { Spaces::Whole } else { Spaces::User }
}

/// The next child process is the first one of the new PID namespace.
pub fn unshare(spaces: Spaces) -> Result<(), String> {
    let some = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC;
    let flags = match spaces {
        Spaces::None => return Ok(()),
        Spaces::Whole => some,
        Spaces::User => some | CloneFlags::CLONE_NEWUSER,
    };
    let (user, group) = (Uid::effective(), Gid::effective());
    let failed = |what: &'static str| move |error| format!("{what}: {error}");
    if spaces == Spaces::User {
        // After a change of user, a process may otherwise not write its own id maps.
        nix::sys::prctl::set_dumpable(true).map_err(|error| error.to_string())?;
    }
    nix::sched::unshare(flags).map_err(|error| format!("unshare: {error}"))?;
    if spaces == Spaces::User {
        for (file, text) in [
            ("/proc/self/setgroups", "deny".to_owned()),
            ("/proc/self/uid_map", format!("{user} {user} 1")),
            ("/proc/self/gid_map", format!("{group} {group} 1")),
        ] {
            fs::write(file, text).map_err(failed(file))?;
        }
        // For the process that mounts, which drops it afterwards.
        let admin = CapabilitySet::SYS_ADMIN;
        let given = |error: rustix::io::Errno| format!("capabilities: {error}");
        let mut sets = rustix::thread::capabilities(None).map_err(given)?;
        sets.inheritable = admin;
        rustix::thread::set_capabilities(None, sets).map_err(given)?;
        rustix::thread::configure_capability_in_ambient_set(admin, true).map_err(given)?;
        // No other capability can be regained by executing a file.
        drop_bounding()?;
    }
    Ok(())
}

/// Makes everything read-only that must not be written, and mounts a `/proc` of this PID namespace.
pub fn close(write: &[PathBuf]) -> Result<(), String> {
    const NONE: Option<&str> = None;
    let folder = std::env::current_dir();
    let failed = |at: &Path, error: Errno| format!("mount {}: {error}", at.display());
    let root = Path::new("/");
    mount(NONE, root, NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .map_err(|error| failed(root, error))?;
    let mut kept = Vec::new();
    for path in write {
        let path = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
        mount(Some(&path), &path, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)
            .map_err(|error| failed(&path, error))?;
        kept.push(path);
    }
    let processes = Path::new("/proc");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
    mount(Some("proc"), processes, Some("proc"), flags, NONE)
        .map_err(|error| failed(processes, error))?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
    for (path, mut flags) in mounts.lines().filter_map(mounted) {
        if !kept.iter().any(|kept| path.starts_with(kept)) {
            flags |= MsFlags::MS_RDONLY;
        }
        flags |= MsFlags::MS_NOSUID | MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
        match mount(NONE, &path, NONE, flags, NONE) {
            // Mounts that are hidden by another one, or inaccessible to this user, cannot be
            // reached anyway.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT | Errno::EACCES | Errno::ENOTDIR) => {}
            Err(error) => return Err(failed(&path, error)),
        }
    }
    // Enter what was mounted there, if anything.
    if let Ok(folder) = folder {
        let _ = std::env::set_current_dir(folder);
    }
    Ok(())
}

/// Parses a line of `/proc/self/mountinfo`: the mount point and its flags.
fn mounted(line: &str) -> Option<(PathBuf, MsFlags)> {
    let mut parts = line.split(' ').skip(4);
    let (path, options) = (parts.next()?, parts.next()?);
    let path =
        ["\\040 ", "\\011\t", "\\012\n", "\\134\\"].iter().fold(path.to_owned(), |path, pair| {
            let (code, character) = pair.split_at(4);
            path.replace(code, character)
        });
    let flags = options.split(',').filter_map(|option| {
        Some(match option {
            "ro" => MsFlags::MS_RDONLY,
            "nosuid" => MsFlags::MS_NOSUID,
            "nodev" => MsFlags::MS_NODEV,
            "noexec" => MsFlags::MS_NOEXEC,
            "noatime" => MsFlags::MS_NOATIME,
            "nodiratime" => MsFlags::MS_NODIRATIME,
            "relatime" => MsFlags::MS_RELATIME,
            _ => return None,
        })
    });
    Some((path.into(), flags.collect()))
}

/// No executed program gains a capability, whatever its user and file.
pub fn drop_bounding() -> Result<(), String> {
    let may = rustix::thread::capabilities(None).map_err(|error| error.to_string())?;
    if !may.effective.contains(CapabilitySet::SETPCAP) {
        return Ok(());
    }
    for bit in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        // The first unknown capability ends the list.
        if rustix::thread::remove_capability_from_bounding_set(one).is_err() {
            break;
        }
    }
    Ok(())
}

pub fn drop_capabilities() -> Result<(), String> {
    let failed = |error: rustix::io::Errno| format!("its capabilities: {error}");
    rustix::thread::set_no_new_privs(true).map_err(failed)?;
    rustix::thread::clear_ambient_capability_set().map_err(failed)?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).map_err(failed)
}
