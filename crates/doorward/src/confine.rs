//! `doorward confine`: becomes a server's program after having given up what the program must not have. The
//! gateway starts confined programs by it; nothing of it is left when the program runs.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use doorward_gateway::settings::Confinement;
use doorward_gateway::upstream::cgroup;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, User, setgid, setgroups, setuid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use crate::commands::{Exit, Failed};

/// What programs need to run at all: none of it is anybody's secret.
const SYSTEM: [&str; 22] = [
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
    "/proc/cpuinfo",
    "/proc/meminfo",
];
/// The program's own, and no other process's.
const OWN: [&str; 1] = ["/proc/self"];
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Gives up what is not allowed, and becomes the program. Returns only if that failed.
pub fn run(allowed: &str, program: &[OsString]) -> Result<(), Failed> {
    let wrong = |why: String| Failed::new(Exit::Config, format!("cannot confine: {why}"));
    let allowed: Confinement =
        serde_json::from_str(allowed).map_err(|error| wrong(error.to_string()))?;
    let (name, arguments) = program.split_first().ok_or_else(|| wrong("no program".into()))?;
    let found = find(name).ok_or_else(|| wrong(format!("there is no {}", name.display())))?;
    bound(&allowed).map_err(|error| wrong(format!("its limits: {error}")))?;
    bound_together(&allowed).map_err(wrong)?;
    become_user(&allowed).map_err(wrong)?;
    close_files(&allowed, &found).map_err(wrong)?;
    close_calls(allowed.network).map_err(|error| wrong(format!("its system calls: {error}")))?;
    let failed = Command::new(&found).arg0(name).args(arguments).exec();
    Err(wrong(format!("{}: {failed}", found.display())))
}

/// A program by its name, as a shell finds it.
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
        // What it knew when it died is nobody's to read.
        (Resource::RLIMIT_CORE, Some(0)),
    ] {
        if let Some(most) = most {
            setrlimit(resource, most, most)?;
        }
    }
    Ok(())
}

/// What all processes of the program have together, where there are control groups.
fn bound_together(allowed: &Confinement) -> Result<(), String> {
    let bounded = cgroup::enter(allowed).map_err(|error| format!("its control group: {error}"))?;
    match allowed.memory_in_all {
        Some(_) if !bounded.contains(&"memory") => {
            Err("'memory_in_all': there are no control groups here that the gateway may make"
                .into())
        }
        _ => Ok(()),
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

/// Landlock: what is not named here cannot be opened, connected to or signalled any more.
fn close_files(allowed: &Confinement, program: &Path) -> Result<(), String> {
    // Known since Linux 6.12; what an older kernel does not know of it is left out, but files are closed.
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
        let mut rules = rules
            .create()
            .and_then(|rules| {
                let system = SYSTEM.iter().chain(&OWN);
                rules.add_rules(path_beneath_rules(system, AccessFs::from_read(abi)))
            })
            .and_then(|rules| {
                let devices = AccessFs::ReadFile | AccessFs::WriteFile;
                rules.add_rules(path_beneath_rules(DEVICES, devices))
            })
            .map_err(|error| failed(&error))?;
        let read = allowed.read.iter().map(PathBuf::as_path).chain([program]);
        let read = read.map(|path| (path, AccessFs::from_read(abi)));
        let write = allowed.write.iter().map(|path| (path.as_path(), AccessFs::from_all(abi)));
        for (path, access) in read.chain(write) {
            let opened =
                PathFd::new(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(abi) };
            rules =
                rules.add_rule(PathBeneath::new(opened, access)).map_err(|error| failed(&error))?;
        }
        rules.restrict_self().map_err(|error| failed(&error))
    };
    match restricted()?.ruleset {
        RulesetStatus::NotEnforced => {
            Err("this kernel has no Landlock, without which nothing is confined".into())
        }
        _ => Ok(()),
    }
}

/// seccomp: system calls that lead out of what Landlock knows of.
fn close_calls(network: bool) -> Result<(), Box<dyn std::error::Error>> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let install = |rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32| {
        let action = SeccompAction::Errno(errno.unsigned_abs());
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch)?;
        let program: BpfProgram = filter.try_into()?;
        apply_filter(&program)?;
        Ok::<(), Box<dyn std::error::Error>>(())
    };
    // Programs that find these absent do without.
    let absent = [
        libc::SYS_clone3,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
    ];
    install(absent.map(|call| (call, Vec::new())).into(), libc::ENOSYS)?;
    let forbidden = [
        libc::SYS_acct,
        libc::SYS_add_key,
        libc::SYS_bpf,
        libc::SYS_chroot,
        libc::SYS_clock_settime,
        libc::SYS_delete_module,
        libc::SYS_finit_module,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fsopen,
        libc::SYS_init_module,
        libc::SYS_kexec_load,
        libc::SYS_keyctl,
        libc::SYS_mount,
        libc::SYS_mount_setattr,
        libc::SYS_move_mount,
        libc::SYS_name_to_handle_at,
        libc::SYS_open_by_handle_at,
        libc::SYS_open_tree,
        libc::SYS_perf_event_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pivot_root,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_ptrace,
        libc::SYS_quotactl,
        libc::SYS_reboot,
        libc::SYS_request_key,
        libc::SYS_setns,
        libc::SYS_settimeofday,
        libc::SYS_swapoff,
        libc::SYS_swapon,
        libc::SYS_umount2,
        libc::SYS_unshare,
        libc::SYS_userfaultfd,
    ];
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        forbidden.map(|call| (call, Vec::new())).into();
    // A name space of its own would be a way around.
    let name_spaces = (libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP) as u64;
    let flags = (0..64).map(|bit| 1_u64 << bit).filter(|bit| name_spaces & bit != 0);
    let with_flag = flags.map(|bit| {
        let set = SeccompCmpOp::MaskedEq(bit);
        rule(vec![SeccompCondition::new(0, SeccompCmpArgLen::Qword, set, bit)?])
    });
    rules.insert(libc::SYS_clone, with_flag.collect::<Result<_, _>>()?);
    let sockets = if network {
        // Of sockets, those of the internet, and what tells of interfaces: no local ones, behind which
        // other programs listen.
        let others = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK].map(|family| {
            let other = SeccompCmpOp::Ne;
            SeccompCondition::new(0, SeccompCmpArgLen::Dword, other, family as u64)
        });
        vec![rule(others.into_iter().collect::<Result<_, _>>()?)?]
    } else {
        Vec::new()
    };
    rules.insert(libc::SYS_socket, sockets);
    install(rules, libc::EPERM)
}

fn rule(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(conditions)
}
