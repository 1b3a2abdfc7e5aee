//! seccomp: the system calls that a confined program may make, by name. What is not named here is refused, and so is
//! every number of another interface (x32's begin at `0x4000_0000`; 32-bit calls end the program).
//!
//! A call that this list does not know fails as one that the kernel has not got (`ENOSYS`), since programs then do without;
//! one that is refused on purpose says so (`EPERM`).

use std::collections::BTreeMap;

use seccompiler::SeccompCmpOp::{MaskedEq, Ne};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter, sock_filter,
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

/// `SYS_fchmodat2` and others that `libc` does not name on every architecture: these numbers are the same everywhere.
const CACHESTAT: i64 = 451;
const FCHMODAT2: i64 = 452;
const MAP_SHADOW_STACK: i64 = 453;

const ALWAYS: &[i64] = &[
    // Files that are open, or that Landlock lets open.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_mkdirat,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_readahead,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_syncfs,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_pipe2,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_tee,
    libc::SYS_vmsplice,
    libc::SYS_copy_file_range,
    libc::SYS_umask,
    libc::SYS_getxattr,
    libc::SYS_lgetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_flistxattr,
    libc::SYS_memfd_create,
    CACHESTAT,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_eventfd2,
    libc::SYS_signalfd4,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_rm_watch,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_getitimer,
    libc::SYS_setitimer,
    libc::SYS_timer_create,
    libc::SYS_timer_settime,
    libc::SYS_timer_gettime,
    libc::SYS_timer_getoverrun,
    libc::SYS_timer_delete,
    libc::SYS_restart_syscall,
    // Memory.
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_msync,
    libc::SYS_brk,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_munlock,
    libc::SYS_mlockall,
    libc::SYS_munlockall,
    libc::SYS_membarrier,
    libc::SYS_pkey_alloc,
    libc::SYS_pkey_free,
    libc::SYS_pkey_mprotect,
    libc::SYS_get_mempolicy,
    libc::SYS_set_mempolicy,
    libc::SYS_mbind,
    libc::SYS_mseal,
    MAP_SHADOW_STACK,
    // Its own processes. Signals to others are closed by Landlock and the name space of processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getpgid,
    libc::SYS_setpgid,
    libc::SYS_getsid,
    libc::SYS_setsid,
    libc::SYS_set_tid_address,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_rseq,
    libc::SYS_getrusage,
    libc::SYS_getrlimit,
    libc::SYS_setrlimit,
    libc::SYS_times,
    libc::SYS_getcpu,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_getattr,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_rr_get_interval,
    libc::SYS_getpriority,
    libc::SYS_ioprio_get,
    // Who it is. It has no privilege by which it could be somebody else.
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getgroups,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capget,
    libc::SYS_capset,
    // Giving up more.
    libc::SYS_seccomp,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_restrict_self,
    // The machine, as everybody sees it.
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrandom,
    // Sockets that it has: pairs, and those of the internet where it may.
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
];

/// Calls of the first days that other architectures have not got.
#[cfg(target_arch = "x86_64")]
const OLD: &[i64] = &[
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_getdents,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_unlink,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_signalfd,
    libc::SYS_inotify_init,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_getpgrp,
    libc::SYS_arch_prctl,
    libc::SYS_alarm,
    libc::SYS_pause,
    libc::SYS_time,
];
#[cfg(target_arch = "aarch64")]
const OLD: &[i64] = &[libc::SYS_renameat];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const OLD: &[i64] = &[];

/// What is around a network.
const NETWORK: &[i64] =
    &[libc::SYS_connect, libc::SYS_bind, libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4];

/// What changes a file that need not be open for writing.
const METADATA: &[i64] = &[
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    // Tells what happens in folders that cannot be listed.
    libc::SYS_inotify_add_watch,
];
#[cfg(target_arch = "x86_64")]
const OLD_METADATA: &[i64] =
    &[libc::SYS_chown, libc::SYS_lchown, libc::SYS_utime, libc::SYS_utimes, libc::SYS_futimesat];
#[cfg(not(target_arch = "x86_64"))]
const OLD_METADATA: &[i64] = &[];

/// Modes, with the argument that has them.
#[cfg(target_arch = "x86_64")]
const MODES: &[(i64, u8)] =
    &[(libc::SYS_fchmod, 1), (libc::SYS_fchmodat, 2), (FCHMODAT2, 2), (libc::SYS_chmod, 1)];
#[cfg(not(target_arch = "x86_64"))]
const MODES: &[(i64, u8)] = &[(libc::SYS_fchmod, 1), (libc::SYS_fchmodat, 2), (FCHMODAT2, 2)];

/// Refused on purpose: what leads to other processes, to the kernel, or out of what Landlock knows.
const REFUSED: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_memfd_secret,
    libc::SYS_migrate_pages,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_move_pages,
    libc::SYS_mq_getsetattr,
    libc::SYS_mq_notify,
    libc::SYS_mq_open,
    libc::SYS_mq_timedreceive,
    libc::SYS_mq_timedsend,
    libc::SYS_mq_unlink,
    libc::SYS_msgctl,
    libc::SYS_msgget,
    libc::SYS_msgrcv,
    libc::SYS_msgsnd,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_semctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_setdomainname,
    libc::SYS_setgroups,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_shmdt,
    libc::SYS_shmget,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_sync,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];
#[cfg(target_arch = "x86_64")]
const OLD_REFUSED: &[i64] = &[
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_modify_ldt,
    libc::SYS_sysfs,
    libc::SYS_uselib,
    libc::SYS_ustat,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_REFUSED: &[i64] = &[];

/// What is allowed with some arguments only.
const SOMETIMES: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_mknodat,
    libc::SYS_clone,
    libc::SYS_ioctl,
    libc::SYS_personality,
    libc::SYS_prctl,
    libc::SYS_prlimit64,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_socketpair,
];
#[cfg(target_arch = "x86_64")]
const OLD_SOMETIMES: &[i64] = &[libc::SYS_open, libc::SYS_creat, libc::SYS_mknod];
#[cfg(not(target_arch = "x86_64"))]
const OLD_SOMETIMES: &[i64] = &[];

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
