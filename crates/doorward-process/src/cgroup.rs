//! Control groups (cgroups(7)), if the gateway can create them. They limit the resources of a program and all its
//! children together, whichever user they run as, and end all of them with the program.
//!
//! A group is named after the process it was created for. The process enters the group before it becomes the
//! program, and the gateway removes the group when the program has ended.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use doorward_config::Confinement;

const MOUNT: &str = "/sys/fs/cgroup";
const PREFIX: &str = "doorward-";
/// Number of checks whether all processes of a group have ended, and the interval between them.
const ATTEMPTS: usize = 40;
const PAUSE: Duration = Duration::from_millis(25);

/// A directory in which groups can be created, and the controllers that are available there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Base {
    folder: PathBuf,
    /// Version 2 (unified hierarchy) rather than version 1.
    unified: bool,
    controllers: Vec<&'static str>,
}

/// Where this process may create groups, according to `/proc/self/cgroup`.
fn bases(mount: &Path, own: &str) -> Vec<Base> {
    let mut found = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(names), Some(path)) = (parts.next(), parts.next()) else { continue };
        let path = path.trim_start_matches('/');
        if names.is_empty() {
            // A group that contains processes cannot delegate controllers to a child. Then a sibling of this group is
            // created.
            let here = mount.join(path);
            let around = here.parent().filter(|parent| parent.starts_with(mount));
            let lends = |folder: &Path| {
                let lent = fs::read_to_string(folder.join("cgroup.subtree_control"));
                let lent = lent.unwrap_or_default();
                let has = |name: &&'static str| lent.split_whitespace().any(|it| it == *name);
                ["pids", "memory"].into_iter().filter(has).collect::<Vec<_>>()
            };
            let folders = [Some(here.as_path()), around].into_iter().flatten();
            for folder in folders.filter(|folder| folder.join("cgroup.controllers").exists()) {
                let mut controllers = lends(folder);
                if controllers.len() < 2 {
                    let _ = fs::write(folder.join("cgroup.subtree_control"), "+pids +memory");
                    controllers = lends(folder);
                }
                if !controllers.is_empty() {
                    found.push(Base { folder: folder.to_owned(), unified: true, controllers });
                    break;
                }
            }
        } else {
            let of_interest = |name: &&'static str| names.split(',').any(|it| it == *name);
            let controllers: Vec<_> = ["pids", "memory"].into_iter().filter(of_interest).collect();
            let folder = mount.join(names).join(path);
            if !controllers.is_empty() && folder.is_dir() {
                found.push(Base { folder, unified: false, controllers });
            }
        }
    }
    found
}

fn own() -> Vec<Base> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    bases(Path::new(MOUNT), &own)
}

/// Moves this process into new groups with the configured limits. Returns the controllers that apply; none if
/// control groups are unavailable.
pub fn enter(allowed: &Confinement) -> io::Result<Vec<&'static str>> {
    let name = format!("{PREFIX}{}", std::process::id());
    let mut bounded = Vec::new();
    for base in own() {
        sweep(&base.folder);
        let folder = base.folder.join(&name);
        let wanted = |controller: &&'static str| match *controller {
            "memory" => allowed.memory_in_all.is_some(),
            _ => true,
        };
        let controllers: Vec<_> = base.controllers.iter().copied().filter(wanted).collect();
        if controllers.is_empty() {
            continue;
        }
        match fs::create_dir(&folder) {
            Ok(()) => {}
            // Control groups are not permitted here. The limits per process still apply.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        }
        let entering = || {
            for controller in &controllers {
                let (file, most) = match (*controller, base.unified) {
                    ("pids", _) => ("pids.max", allowed.processes),
                    (_, true) => ("memory.max", in_all(allowed)),
                    (_, false) => ("memory.limit_in_bytes", in_all(allowed)),
                };
                fs::write(folder.join(file), most.to_string())?;
            }
            if controllers.contains(&"memory") && base.unified {
                // Without swap, the program is ended when it reaches its memory limit.
                let _ = fs::write(folder.join("memory.swap.max"), "0");
            }
            fs::write(folder.join("cgroup.procs"), std::process::id().to_string())
        };
        if let Err(error) = entering() {
            let _ = fs::remove_dir(&folder);
            return Err(error);
        }
        bounded.extend(controllers);
    }
    Ok(bounded)
}

fn in_all(allowed: &Confinement) -> u64 {
    allowed.memory_in_all.map_or(u64::MAX, |memory| memory.0 as u64)
}

/// Ends programs left by a gateway that ended before them, and removes their groups.
pub fn sweep_all() {
    for base in own() {
        sweep(&base.folder);
    }
}

fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let leader = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let Some(leader) = leader.and_then(|pid| pid.parse::<i32>().ok()) else { continue };
        let inside = fs::read_to_string(entry.path().join("cgroup.procs")).unwrap_or_default();
        let inside: Vec<i32> = inside.lines().filter_map(|line| line.parse().ok()).collect();
        // The process a group was created for stays in it while its gateway runs. If the group is empty, that process
        // may be about to enter it.
        let is_led = match inside.is_empty() {
            true => kill(Pid::from_raw(leader), None) != Err(nix::errno::Errno::ESRCH),
            false => inside.contains(&leader),
        };
        if is_led {
            continue;
        }
        for process in inside {
            let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
        }
        // Fails while ended processes still exist; the next sweep removes the group.
        let _ = fs::remove_dir(entry.path());
    }
}

/// Ends all remaining processes in the groups created for a process, and removes the groups.
pub async fn end(process: u32) {
    for base in own() {
        let folder = base.folder.join(format!("{PREFIX}{process}"));
        if !folder.is_dir() {
            continue;
        }
        for _ in 0..ATTEMPTS {
            if base.unified {
                let _ = fs::write(folder.join("cgroup.kill"), "1");
            }
            let left = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            for process in left.lines().filter_map(|line| line.parse().ok()) {
                let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
            }
            if fs::remove_dir(&folder).is_ok() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        if folder.is_dir() {
            tracing::warn!(group = %folder.display(), "a control group cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_created_where_the_kernel_allows_it() {
        let mount = tempfile::tempdir().unwrap();
        let at = |path: &str| mount.path().join(path);
        for folder in ["pids/a", "memory/b", "unified/c", "slice/unit/gateway"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        let found = bases(
            mount.path(),
            "8:pids:/a\n5:cpu,cpuacct:/\n4:memory:/b\n3:name=systemd:/\n0::/\n",
        );
        let one = |folder: &str, controllers: &[&'static str]| Base {
            folder: at(folder),
            unified: false,
            controllers: controllers.to_vec(),
        };
        assert_eq!(found, [one("pids/a", &["pids"]), one("memory/b", &["memory"])]);
        // Version 2: the group contains the gateway's process, and its parent delegates controllers.
        for folder in ["slice/unit", "slice/unit/gateway"] {
            fs::write(at(folder).join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        }
        fs::create_dir(at("slice/unit/gateway/cgroup.subtree_control")).unwrap();
        fs::write(at("slice/unit/cgroup.subtree_control"), "cpu memory pids\n").unwrap();
        let found = bases(mount.path(), "0::/slice/unit/gateway\n");
        let [base] = &found[..] else { panic!("{found:?}") };
        assert_eq!((&base.folder, base.unified), (&at("slice/unit"), true));
    }
}
