//! The system calls that workers may not make.
//!
//! To refuse another one, add it to `REFUSED`; to refuse it for some arguments, to `CONDITIONAL`. `crates/executor/tests/sandbox.rs` tries each.

use std::collections::BTreeMap;
use std::io;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

/// Filters, which are all asked: the strictest counts.
pub(super) type Filters = Vec<BpfProgram>;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Calls, and when they are refused: where one of these rules holds, or always if there are none.
type Refused = BTreeMap<c_long, Vec<SeccompRule>>;

/// Stands for the process in a filter that is made before there is one. No process has this number (proc(5), `pid_max`).
const ITS_PROCESS: u32 = 0x7fff_fffe;

/// Calls that reach beyond the process whatever is passed to them. Those that open files are Landlock's to judge.
const REFUSED: &[c_long] = &[
    // Other programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // The network, and other processes' sockets.
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_kcmp,
    libc::SYS_setpgid,
    libc::SYS_setsid,
    libc::SYS_tkill,
    // What leads around all of this: calls that are not made by the instruction, and other views of files.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_inotify_add_watch,
    libc::SYS_userfaultfd,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    // The machine.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    STATMOUNT,
    LISTMOUNT,
    OPEN_TREE_ATTR,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Files that Landlock does not judge.
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_chdir,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    SETXATTRAT,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    REMOVEXATTRAT,
    FILE_SETATTR,
    libc::SYS_utimensat,
    // System V's memory and queues, and POSIX's queues, which other processes see and may have made.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utimes,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_futimesat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_setrlimit,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

// Those that the C library's headers do not have on every machine. Since Linux 5.12 a new call has one number on all (kernel, `scripts/syscall.tbl`).
const FCHMODAT2: c_long = 452;
const STATMOUNT: c_long = 457;
const LISTMOUNT: c_long = 458;
const SETXATTRAT: c_long = 463;
const REMOVEXATTRAT: c_long = 466;
const OPEN_TREE_ATTR: c_long = 467;
const FILE_SETATTR: c_long = 469;

/// Puts this process under filters, for good.
pub(super) fn enter(filters: &[BpfProgram]) -> bool {
    filters.iter().all(|filter| {
        let names_process = filter.iter().any(|it| it.k == ITS_PROCESS);
        let entered = if names_process {
            enter_own(filter)
        } else {
            apply_filter(filter).map_err(Into::into)
        };
        entered.is_ok()
    })
}

/// Puts this process under a filter that names it.
fn enter_own(filter: &[sock_filter]) -> Result<()> {
    let own = std::process::id();
    // On the stack, which has been written to: allocating would write to pages that the process shares with its template.
    let mut named = [const { instruction(0, 0, 0) }; MOST_NAMED];
    let named = named
        .get_mut(..filter.len())
        .ok_or("a filter that is too long")?;
    named.clone_from_slice(filter);
    for instruction in named.iter_mut().filter(|it| it.k == ITS_PROCESS) {
        instruction.k = own;
    }
    Ok(apply_filter(named)?)
}

/// The most instructions of a filter that names the process: that of `OTHER` and its like has about half as many.
const MOST_NAMED: usize = 256;

/// Filters for a process whose memory is limited or not.
pub(super) fn filters(is_limited: bool) -> Result<Filters> {
    let target: TargetArch = std::env::consts::ARCH.try_into()?;
    let always = REFUSED.iter().map(|&call| (call, &[][..]));
    let conditional = CONDITIONAL.iter().copied();
    let uncounted = UNCOUNTED_MEMORY.iter().copied().filter(|_| is_limited);
    let [mut refused, mut to_others] = [const { Refused::new() }; 2];
    for (call, conditions) in always.chain(conditional).chain(uncounted) {
        // What knows the process is small, because each worker has a copy of its own.
        let names_process = conditions
            .iter()
            .any(|(_, it)| matches!(it, IsNot(ITS_PROCESS)));
        let refused = if names_process {
            &mut to_others
        } else {
            &mut refused
        };
        let rules = refused.entry(call).or_default();
        if !conditions.is_empty() {
            rules.push(rule(conditions)?);
        }
    }
    let not_there = Refused::from([(libc::SYS_clone3, Vec::new())]);
    let mut filters = vec![
        filter(refused, libc::EPERM, target)?,
        filter(to_others, libc::EPERM, target)?,
        // Its flags are in memory, where no filter looks: the C library uses `clone` where this one is not there.
        filter(not_there, libc::ENOSYS, target)?,
    ];
    if matches!(target, TargetArch::x86_64) {
        filters.push(other_numbers());
    }
    Ok(filters)
}

/// Which argument, and what it is compared with: its lower half, as the kernel takes no more of it.
type Condition = (u8, Compared);

#[derive(Clone, Copy)]
enum Compared {
    Is(u32),
    IsNot(u32),
    /// These bits are so.
    Has(u32, u32),
    /// All of it is something else than null.
    IsAddress,
}

use Compared::{Has, Is, IsAddress, IsNot};

/// Refused where all conditions of one row hold.
type Row = (c_long, &'static [Condition]);

/// What is done to a process, by its number, that is not this one.
const OTHER: [Condition; 2] = [(0, IsNot(0)), (0, IsNot(ITS_PROCESS))];
const OTHER_BY_SECOND: [Condition; 2] = [(1, IsNot(0)), (1, IsNot(ITS_PROCESS))];

/// Calls that reach beyond the process with some arguments.
const CONDITIONAL: &[Row] = &[
    // Signals are for itself.
    (libc::SYS_kill, &[(0, IsNot(ITS_PROCESS))]),
    (libc::SYS_tgkill, &[(0, IsNot(ITS_PROCESS))]),
    (libc::SYS_rt_sigqueueinfo, &[(0, IsNot(ITS_PROCESS))]),
    (libc::SYS_rt_tgsigqueueinfo, &[(0, IsNot(ITS_PROCESS))]),
    // So are the ways by which the system sends them: a file's owner gets what the file's user chooses (fcntl(2), "Managing signals").
    (libc::SYS_fcntl, &[(1, Is(F_SETOWN))]),
    (libc::SYS_fcntl, &[(1, Is(F_SETSIG))]),
    (libc::SYS_fcntl, &[(1, Is(F_SETOWN_EX))]),
    (libc::SYS_ioctl, &[(1, Is(FIOSETOWN))]),
    (libc::SYS_ioctl, &[(1, Is(SIOCSPGRP))]),
    // And what is typed into a terminal.
    (libc::SYS_ioctl, &[(1, Is(TIOCSTI))]),
    (libc::SYS_ioctl, &[(1, Is(TIOCLINUX))]),
    // It does not outlive its template.
    (libc::SYS_prctl, &[(0, Is(PR_SET_PDEATHSIG))]),
    // Threads are, and no processes.
    (libc::SYS_clone, &[(0, Has(CLONE_THREAD, 0))]),
    // Limits can be asked for, of itself.
    (libc::SYS_prlimit64, &OTHER),
    (libc::SYS_prlimit64, &[(2, IsAddress)]),
    (libc::SYS_sched_setaffinity, &OTHER),
    (libc::SYS_sched_setattr, &OTHER),
    (libc::SYS_sched_setparam, &OTHER),
    (libc::SYS_sched_setscheduler, &OTHER),
    (libc::SYS_get_robust_list, &OTHER),
    (libc::SYS_migrate_pages, &OTHER),
    (libc::SYS_move_pages, &OTHER),
    (libc::SYS_setpriority, &[(0, IsNot(PRIO_PROCESS))]),
    (libc::SYS_setpriority, &OTHER_BY_SECOND),
    (libc::SYS_ioprio_set, &[(0, IsNot(IOPRIO_WHO_PROCESS))]),
    (libc::SYS_ioprio_set, &OTHER_BY_SECOND),
    // A socket of a pair sends to its other end, unless it is for datagrams, which go to whomever they are addressed (unix(7)).
    (libc::SYS_socketpair, &[(0, IsNot(AF_UNIX))]),
    (
        libc::SYS_socketpair,
        &[(1, Has(SOCK_TYPE_MASK, SOCK_DGRAM))],
    ),
    (libc::SYS_socketpair, &[(1, Has(SOCK_TYPE_MASK, SOCK_RAW))]),
    // What it is can be asked for.
    (libc::SYS_personality, &[(0, IsNot(u32::MAX))]),
];

/// Memory that no limit of a process counts: files in memory, and what is shared, of which the addresses count only.
const UNCOUNTED_MEMORY: &[Row] = &[
    (libc::SYS_memfd_create, &[]),
    (libc::SYS_memfd_secret, &[]),
    (libc::SYS_mmap, &[(3, Has(SHARED_MEMORY, SHARED_MEMORY))]),
];

// The same on both machines, as filters compare them: fcntl(2), ioctl_tty(2), prctl(2), clone(2), setpriority(2), ioprio_set(2), socket(2), mmap(2).
const F_SETOWN: u32 = 8;
const F_SETSIG: u32 = 10;
const F_SETOWN_EX: u32 = 15;
const FIOSETOWN: u32 = 0x8901;
const SIOCSPGRP: u32 = 0x8902;
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;
const PR_SET_PDEATHSIG: u32 = 1;
const CLONE_THREAD: u32 = libc::CLONE_THREAD.cast_unsigned();
const PRIO_PROCESS: u32 = 0;
const IOPRIO_WHO_PROCESS: u32 = 1;
const AF_UNIX: u32 = libc::AF_UNIX.cast_unsigned();
const SOCK_TYPE_MASK: u32 = 0xf;
const SOCK_DGRAM: u32 = libc::SOCK_DGRAM.cast_unsigned();
const SOCK_RAW: u32 = libc::SOCK_RAW.cast_unsigned();
const SHARED_MEMORY: u32 = (libc::MAP_SHARED | libc::MAP_ANONYMOUS).cast_unsigned();

fn rule(conditions: &[Condition]) -> Result<SeccompRule> {
    let mut all = Vec::new();
    for &(argument, compared) in conditions {
        let half = SeccompCmpArgLen::Dword;
        let (length, operator, value) = match compared {
            Is(value) => (half, SeccompCmpOp::Eq, value),
            IsNot(value) => (half, SeccompCmpOp::Ne, value),
            Has(mask, value) => (half, SeccompCmpOp::MaskedEq(mask.into()), value),
            IsAddress => (SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0),
        };
        let value = value.into();
        all.push(SeccompCondition::new(argument, length, operator, value)?);
    }
    Ok(SeccompRule::new(all)?)
}

fn filter(refused: Refused, error: i32, target: TargetArch) -> Result<BpfProgram> {
    let error = u32::try_from(error).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let filter = SeccompFilter::new(
        refused,
        SeccompAction::Allow,
        SeccompAction::Errno(error),
        target,
    )?;
    Ok(filter.try_into()?)
}

/// Refuses the calls of the x32 ABI, which have the same architecture and other numbers (kernel, `arch/x86/include/uapi/asm/unistd.h`).
/// Those of the 32-bit ABI have another architecture, for which the other filters end the process.
fn other_numbers() -> BpfProgram {
    const X32_SYSCALL_BIT: u32 = 0x4000_0000;
    // linux/seccomp.h, `struct seccomp_data`: the number of the call is its first word.
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_NOT_BELOW: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const ERROR: u32 = 0x0005_0000;
    vec![
        instruction(LOAD_NUMBER, 0, 0),
        instruction(JUMP_IF_NOT_BELOW, 1, X32_SYSCALL_BIT),
        instruction(RETURN, 0, ALLOW),
        instruction(RETURN, 0, ERROR | libc::ENOSYS.cast_unsigned()),
    ]
}

const fn instruction(code: u16, jt: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf: 0, k }
}
