//! `doorward confine`: drops everything that a server's program must not have, and then runs it.
//! The gateway starts confined programs with it.
//!
//! It has two steps. The first process stays and watches (`watch`): when the program or the gateway
//! ends, it ends all remaining processes of the program. It starts the second one, in separate
//! namespaces if the system allows them (`spaces`), which gives up files (Landlock), system calls
//! (`calls`) and privileges, and then starts the program.

use std::ffi::OsStr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use doorward_config::{Confinement, Namespaces};
use doorward_packages::{Digest, tree};
use doorward_process::{calls, cgroup};
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, User, setgid, setgroups, setuid};

use crate::options::{Confine, Step};
use crate::spaces::{self, Spaces};
use crate::watch;

const OWN: &str = "/proc/self/exe";
/// What every message of a failure begins with.
const FAILED: &str = "cannot start the sandbox: ";
/// Files that programs need in order to run; none of them is secret.
const SYSTEM: [&str; 23] = [
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/sbin",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki",
    "/etc/resolv.conf",
    "/etc/ssl/certs",
    // Node exits if it cannot read this.
    "/etc/ssl/openssl.cnf",
    "/proc/cpuinfo",
    "/proc/meminfo",
];
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Runs the program. Returns when it has ended, or why it could not be confined.
pub fn run(options: &Confine) -> Result<(), String> {
    let wrong = |why: String| format!("{FAILED}{why}");
    let allowed: Confinement =
        serde_json::from_str(&options.allowed).map_err(|error| wrong(error.to_string()))?;
    match options.step {
        None => start(options, &allowed).map_err(wrong),
        Some(step) => enter(options, &allowed, step).map_err(wrong),
    }
}

/// The first step: determines what the system supports, starts the second step, and watches it.
fn start(options: &Confine, allowed: &Confinement) -> Result<(), String> {
    for path in allowed.read.iter().chain(&allowed.write) {
        path.metadata().map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if allowed.user.is_none() && Uid::effective().is_root() {
        return Err(
            "the gateway runs as root, and so would the program: set 'user' in 'confine' to \
                    the user that it runs as, such as 'nobody', with access to the listed files; \
                    or run the gateway as another user"
                .into(),
        );
    }
    if let Some(package) = &allowed.package {
        let digest = package.digest.parse::<Digest>().map_err(|error| error.to_string())?;
        tree::verify(&package.path, &digest).map_err(|error| error.to_string())?;
    }
    let watched = watch::Watched::new(options.parent)?;
    let groups = bound_together(allowed)?;
    let (spaces, why_not) = match allowed.namespaces {
        Namespaces::Never => (Spaces::None, Some("the settings say so".to_owned())),
        Namespaces::Prefer | Namespaces::Require => match try_spaces(options) {
            Ok(spaces) => (spaces, None),
            Err(why) if allowed.namespaces == Namespaces::Require => {
                return Err(format!("namespaces are required and cannot be created: {why}"));
            }
            Err(why) => (Spaces::None, Some(why)),
        },
    };
    report(allowed, spaces, &groups, why_not.as_deref());
    unshare(allowed, spaces)?;
    let step = if spaces == Spaces::None { Step::Bare } else { Step::Inside };
    let child = second(options, step).spawn().map_err(|error| format!("{OWN}: {error}"))?;
    watch::leave_streams()?;
    watched.attend(&child, spaces != Spaces::None)
}

/// The allocator reserves address space, of which a limited program may have little.
const RESERVE: &str = "MIMALLOC_ARENA_RESERVE";

fn second(options: &Confine, step: Step) -> Command {
    let mut command = Command::new(OWN);
    command.env(RESERVE, "8MiB");
    command.arg("confine").args(["--step", step.name()]);
    command.args(["--parent", &std::process::id().to_string()]);
    command.arg(&options.allowed).arg("--").args(&options.program);
    command
}

/// Tries to create the namespaces in short-lived processes, because an attempt cannot be undone.
fn try_spaces(options: &Confine) -> Result<Spaces, String> {
    let spaces = spaces::kind();
    let step = match spaces {
        Spaces::User => Step::TryUser,
        _ => Step::Try,
    };
    let output = second(options, step)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{OWN}: {error}"))?;
    if output.status.success() {
        return Ok(spaces);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().rsplit(FAILED).next().unwrap_or_default().to_owned();
    Err(if said.is_empty() { output.status.to_string() } else { said })
}

/// Creates the namespaces for the second step.
fn unshare(allowed: &Confinement, spaces: Spaces) -> Result<(), String> {
    if spaces == Spaces::User {
        become_user(allowed)?;
    }
    spaces::unshare(spaces)
}

/// The second step: gives up what is not allowed, and starts the program, or replaces itself by it.
fn enter(options: &Confine, allowed: &Confinement, step: Step) -> Result<(), String> {
    if let Step::Try | Step::TryUser = step {
        let spaces = if step == Step::Try { Spaces::Whole } else { Spaces::User };
        unshare(allowed, spaces)?;
        let output = second(options, Step::TryInside)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("{OWN}: {error}"))?;
        return output.status.success().then_some(()).ok_or_else(String::new);
    }
    let parent = watch::Parent::new(options.parent)?;
    let is_inside = step != Step::Bare;
    let (name, arguments) = options.program.split_first().ok_or("no program")?;
    let found = find(name).ok_or_else(|| format!("there is no {}", name.display()))?;
    if is_inside {
        spaces::close(&allowed.write)?;
    }
    if step == Step::TryInside {
        return Ok(());
    }
    bound(allowed).map_err(|error| format!("its limits: {error}"))?;
    spaces::drop_bounding()?;
    become_user(allowed)?;
    spaces::drop_capabilities()?;
    // After changing the user, which resets it.
    parent.end_with()?;
    let abi = close_files(allowed, &found, is_inside)?;
    let open = calls::Open {
        network: allowed.network,
        metadata: is_inside,
        truncate: is_inside || abi >= ABI::V3,
    };
    calls::close(open).map_err(|error| format!("its system calls: {error}"))?;
    watch::unblock()?;
    let mut command = Command::new(&found);
    command.arg0(name).args(arguments).env_remove(RESERVE);
    if !is_inside {
        let failed = command.exec();
        return Err(format!("{}: {failed}", found.display()));
    }
    // The first process of its PID namespace, which adopts orphans.
    let child = command.spawn().map_err(|error| format!("{}: {error}", found.display()))?;
    watch::leave_streams()?;
    let status = watch::take_in(&child)?;
    // The exit code that shells use for signals: this process cannot end by one.
    std::process::exit(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)));
}

/// Reports which restrictions are in force, and which are not.
fn report(allowed: &Confinement, spaces: Spaces, groups: &[&str], why_not: Option<&str>) {
    let user = allowed.user.clone().unwrap_or_else(|| Uid::effective().to_string());
    let spaces = match spaces {
        Spaces::Whole => ", namespaces (mounts, processes)",
        Spaces::User => ", namespaces (user, mounts, processes)",
        Spaces::None => "",
    };
    let groups = match groups {
        [] => String::new(),
        groups => format!(", control groups ({})", groups.join(", ")),
    };
    eprintln!("confined as user {user}: Landlock, seccomp, no capabilities{spaces}{groups}");
    if let Some(why) = why_not {
        eprintln!(
            "not active: namespaces ({why}); the program cannot change modes, owners and times of \
                any file, including its own"
        );
    }
}

/// Finds a program by its name in `PATH`, as shells do.
fn find(name: &OsStr) -> Option<PathBuf> {
    if Path::new(name).components().count() > 1 {
        return Path::new(name).canonicalize().ok();
    }
    let path = std::env::var_os("PATH")?;
    let mut found = std::env::split_paths(&path).map(|folder| folder.join(name));
    found.find(|path| path.is_file())?.canonicalize().ok()
}

fn bound(allowed: &Confinement) -> nix::Result<()> {
    let cpu = allowed.cpu.map(|cpu| cpu.0.as_secs().max(1));
    for (resource, most) in [
        (Resource::RLIMIT_AS, Some(allowed.memory.0 as u64)),
        (Resource::RLIMIT_CPU, cpu),
        (Resource::RLIMIT_NPROC, Some(allowed.processes)),
        (Resource::RLIMIT_NOFILE, Some(allowed.files)),
        (Resource::RLIMIT_FSIZE, Some(allowed.file_size.0 as u64)),
        // No core dump: memory may contain secrets.
        (Resource::RLIMIT_CORE, Some(0)),
    ] {
        if let Some(most) = most {
            setrlimit(resource, most, most)?;
        }
    }
    Ok(())
}

/// Limits for all processes of the program together, if control groups are available.
fn bound_together(allowed: &Confinement) -> Result<Vec<&'static str>, String> {
    let bounded = cgroup::enter(allowed).map_err(|error| format!("its control group: {error}"))?;
    match allowed.memory_in_all {
        Some(_) if !bounded.contains(&"memory") => {
            Err("'memory_in_all': the gateway cannot create control groups here".into())
        }
        _ => Ok(bounded),
    }
}

fn become_user(allowed: &Confinement) -> Result<(), String> {
    let Some(name) = &allowed.user else { return Ok(()) };
    let (user, group) = match name.parse::<u32>() {
        Ok(number) => (Uid::from_raw(number), Gid::from_raw(number)),
        Err(_) => {
            let found = User::from_name(name).map_err(|error| error.to_string())?;
            let found = found.ok_or_else(|| format!("there is no user '{name}'"))?;
            (found.uid, found.gid)
        }
    };
    setgroups(&[])
        .and_then(|()| setgid(group))
        .and_then(|()| setuid(user))
        .map_err(|error| format!("it cannot run as '{name}': {error}"))
}

/// Landlock: everything not listed here can no longer be opened, connected to or signalled.
fn close_files(allowed: &Confinement, program: &Path, is_inside: bool) -> Result<ABI, String> {
    // Available since Linux 6.12. An older kernel omits what it does not support, but files are
    // always restricted.
    let abi = ABI::V6;
    let failed = |error: &dyn std::fmt::Display| format!("its files: {error}");
    let restricted = || -> Result<_, String> {
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))
            .map_err(|error| failed(&error))?;
        if !allowed.network {
            rules =
                rules.handle_access(AccessNet::from_all(abi)).map_err(|error| failed(&error))?;
        }
        let rules = rules.scope(Scope::from_all(abi)).map_err(|error| failed(&error))?;
        // In a separate PID namespace, all visible processes are the program's own.
        let own = if is_inside { "/proc" } else { "/proc/self" };
        let mut rules = rules
            .create()
            .and_then(|rules| {
                let system = SYSTEM.iter().copied().chain([own]);
                rules.add_rules(path_beneath_rules(system, AccessFs::from_read(abi)))
            })
            .and_then(|rules| {
                let devices = AccessFs::ReadFile | AccessFs::WriteFile;
                rules.add_rules(path_beneath_rules(DEVICES, devices))
            })
            .map_err(|error| failed(&error))?;
        let devices = AccessFs::MakeChar | AccessFs::MakeBlock;
        let read = allowed.read.iter().map(PathBuf::as_path).chain([program]);
        let read = read.map(|path| (path, AccessFs::from_read(abi)));
        let write =
            allowed.write.iter().map(|path| (path.as_path(), AccessFs::from_all(abi) & !devices));
        for (path, access) in read.chain(write) {
            let opened =
                PathFd::new(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(abi) };
            rules =
                rules.add_rule(PathBeneath::new(opened, access)).map_err(|error| failed(&error))?;
        }
        rules.restrict_self().map_err(|error| failed(&error))
    };
    let status = restricted()?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => {
            Err("this kernel does not support Landlock, which the sandbox requires".into())
        }
        (_, LandlockStatus::Available { effective_abi, .. }) => Ok(effective_abi),
        _ => Ok(ABI::V1),
    }
}
