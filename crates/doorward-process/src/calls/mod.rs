//! seccomp: the system calls that a confined program may make, by name. All others (`names`) are refused, and so are
//! all numbers of other interfaces (those of x32 begin at `0x4000_0000`; 32-bit calls end the program).
//!
//! A call that this list does not contain fails as if the kernel did not have it (`ENOSYS`), since programs then do
//! without it. One that is refused on purpose fails with `EPERM`.

mod names;

use std::collections::BTreeMap;

use seccompiler::SeccompCmpOp::{MaskedEq, Ne};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter, sock_filter,
};

use names::{
    ALWAYS, METADATA, MODES, NETWORK, OLD, OLD_METADATA, OLD_REFUSED, OLD_SOMETIMES, REFUSED,
    SOMETIMES,
};

type Failed = Box<dyn std::error::Error>;
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// What system calls are about that depend on how the program is confined.
#[derive(Debug, Clone, Copy)]
pub struct Open {
    pub network: bool,
    /// Whether all that the program may not write is read-only to it, so that modes, owners and times of it cannot be
    /// changed. System calls name files by paths, which no filter sees.
    pub metadata: bool,
    /// Whether Landlock knows of files that are cut off (since Linux 6.2), or all is read-only that is not to be written.
    pub truncate: bool,
}

/// Bits by which whoever runs a file becomes its owner, or of its group.
const BORROWING: [u64; 2] = [0o4000, 0o2000];
const NAME_SPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;
/// Input that is put into a terminal as if somebody had typed it.
const TERMINAL: [u64; 2] = [0x5412, 0x541c];
const PR_SET_MM: u64 = 35;
const PR_SCHED_CORE: u64 = 62;
/// Where x32's numbers begin.
const X32: u32 = 0x4000_0000;

/// Makes all but these calls fail, for this process and what it starts. The last thing that is given up.
pub fn close(open: Open) -> Result<(), Failed> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let mut allowed: Vec<i64> = [ALWAYS, OLD, SOMETIMES, OLD_SOMETIMES].concat();
    let mut refused = with_other_arguments(open.network)?;
    let modes = MODES.iter().map(|(call, _)| *call);
    let metadata = METADATA.iter().chain(OLD_METADATA).copied().chain(modes);
    let truncate = [libc::SYS_truncate];
    for (calls, is_open) in [
        (metadata.collect::<Vec<_>>(), open.metadata),
        (truncate.to_vec(), open.truncate),
        ([NETWORK, &[libc::SYS_socket]].concat(), open.network),
    ] {
        match is_open {
            true => allowed.extend(calls),
            false => refused.extend(calls.into_iter().map(|call| (call, Vec::new()))),
        }
    }
    refused.extend(REFUSED.iter().chain(OLD_REFUSED).map(|call| (*call, Vec::new())));
    let allowed: Rules =
        allowed.into_iter().chain(refused.keys().copied()).map(|call| (call, Vec::new())).collect();
    let errno = |errno: i32| SeccompAction::Errno(errno.unsigned_abs());
    let allow = SeccompAction::Allow;
    let unknown = SeccompFilter::new(allowed, errno(libc::ENOSYS), allow.clone(), arch)?;
    let known = SeccompFilter::new(refused, allow, errno(libc::EPERM), arch)?;
    for filter in [BpfProgram::try_from(unknown)?, BpfProgram::try_from(known)?, other_interfaces()]
    {
        apply_filter(&filter)?;
    }
    Ok(())
}

/// Arguments with which a call is refused: of each call, any of the rules.
fn with_other_arguments(network: bool) -> Result<Rules, BackendError> {
    let mut rules = Rules::new();
    let mut refuse = |call: i64, conditions: Vec<SeccompCondition>| -> Result<(), BackendError> {
        rules.entry(call).or_default().push(SeccompRule::new(conditions)?);
        Ok(())
    };
    // A file that lends its owner's rights to others, made so or changed to it.
    for bit in BORROWING {
        for (call, argument) in MODES {
            refuse(*call, vec![set(*argument, bit)?])?;
        }
        for making in [libc::O_CREAT as u64, (libc::O_TMPFILE & !libc::O_DIRECTORY) as u64] {
            refuse(libc::SYS_openat, vec![set(2, making)?, set(3, bit)?])?;
            #[cfg(target_arch = "x86_64")]
            refuse(libc::SYS_open, vec![set(1, making)?, set(2, bit)?])?;
        }
        refuse(libc::SYS_mknodat, vec![set(2, bit)?])?;
        #[cfg(target_arch = "x86_64")]
        for call in [libc::SYS_creat, libc::SYS_mknod] {
            refuse(call, vec![set(1, bit)?])?;
        }
    }
    // Devices.
    for device in [libc::S_IFBLK, libc::S_IFCHR] {
        let is = MaskedEq(u64::from(libc::S_IFMT));
        refuse(libc::SYS_mknodat, vec![word(2, is.clone(), u64::from(device))?])?;
        #[cfg(target_arch = "x86_64")]
        refuse(libc::SYS_mknod, vec![word(1, is, u64::from(device))?])?;
    }
    // A name space of its own would be a way around.
    for bit in (0..32).map(|bit| 1_u64 << bit).filter(|bit| NAME_SPACES as u64 & bit != 0) {
        refuse(libc::SYS_clone, vec![set(0, bit)?])?;
    }
    for request in TERMINAL {
        refuse(libc::SYS_ioctl, vec![word(1, SeccompCmpOp::Eq, request)?])?;
    }
    for option in [PR_SET_MM, PR_SCHED_CORE] {
        refuse(libc::SYS_prctl, vec![word(0, SeccompCmpOp::Eq, option)?])?;
    }
    refuse(libc::SYS_personality, vec![word(0, Ne, 0)?, word(0, Ne, 0xffff_ffff)?])?;
    // Its own limits and turns at the processor, and no other process's.
    let given = SeccompCondition::new(2, SeccompCmpArgLen::Qword, Ne, 0)?;
    refuse(libc::SYS_prlimit64, vec![word(0, Ne, 0)?, given])?;
    for call in [
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setattr,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setscheduler,
    ] {
        refuse(call, vec![word(0, Ne, 0)?])?;
    }
    // Of one process (0, or 1 of `ioprio_set`), not of a group or a user.
    for (call, process) in [(libc::SYS_setpriority, 0), (libc::SYS_ioprio_set, 1)] {
        refuse(call, vec![word(0, Ne, process)?])?;
        refuse(call, vec![word(1, Ne, 0)?])?;
    }
    // A pair of datagram sockets could send to any other local socket.
    let stream = MaskedEq(0xf);
    refuse(libc::SYS_socketpair, vec![word(1, stream.clone(), libc::SOCK_DGRAM as u64)?])?;
    refuse(libc::SYS_socketpair, vec![word(1, stream, libc::SOCK_RAW as u64)?])?;
    if network {
        // Of sockets, those of the internet, and what tells of interfaces: no local ones, behind which
        // other programs listen.
        let families = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
        let others = families.map(|family| word(0, Ne, family as u64));
        refuse(libc::SYS_socket, others.into_iter().collect::<Result<_, _>>()?)?;
        let netlink = word(0, SeccompCmpOp::Eq, libc::AF_NETLINK as u64)?;
        refuse(libc::SYS_socket, vec![netlink, word(2, Ne, libc::NETLINK_ROUTE as u64)?])?;
    }
    Ok(rules)
}

fn word(argument: u8, is: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, is, value)
}

fn set(argument: u8, bit: u64) -> Result<SeccompCondition, BackendError> {
    word(argument, MaskedEq(bit), bit)
}

/// Refuses all numbers from x32's on: `A = number; if A >= X32 then refuse, else allow`.
fn other_interfaces() -> BpfProgram {
    let one = |code: u32, jt: u8, jf: u8, k: u32| sock_filter { code: code as u16, jt, jf, k };
    vec![
        one(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        one(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, X32),
        one(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        one(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}
