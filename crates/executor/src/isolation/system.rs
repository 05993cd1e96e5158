//! The unsafe steps: forking, and what a signal handler does.

#![allow(
    unsafe_code,
    reason = "a worker is forked off, and says why it crashes while it does"
)]

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use farcall_image::Digest;

use super::report::{Crash, Frame, MOST_FRAMES};

/// Which of two processes it is.
pub(super) enum Forked {
    Parent { child: u32 },
    Child,
}

/// Forks. In the child this thread is the only one.
pub(super) fn fork() -> io::Result<Forked> {
    // SAFETY: the template has this thread alone.
    match unsafe { libc::fork() } {
        0 => Ok(Forked::Child),
        child => match u32::try_from(child) {
            Ok(child) => Ok(Forked::Parent { child }),
            Err(_) => Err(io::Error::last_os_error()),
        },
    }
}

/// Closes what whoever started this program has left open for it by mistake, and workers would have: all but the standard streams that does not close when a
/// program is started, as everything does that this one has opened.
pub(super) fn close_inherited_files() {
    let Ok(files) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let names = files.filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok());
    let inherited: Vec<RawFd> = names
        // SAFETY: asking changes nothing.
        .filter(|&fd| fd > 2 && unsafe { libc::fcntl(fd, libc::F_GETFD) } == 0)
        .collect();
    for fd in inherited {
        // SAFETY: nothing here owns it.
        unsafe { libc::close(fd) };
    }
}

/// Signals that code dies of by its own fault.
const FATAL: [c_int; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGABRT,
    libc::SIGTRAP,
    libc::SIGSYS,
];

/// The stack that handlers run on, in bytes: unwinding takes some.
const HANDLER_STACK: usize = 64 << 10;

/// Where the handler writes, -1 for nowhere.
static REPORT: AtomicI32 = AtomicI32::new(-1);

/// The thread that writes, or 0.
static REPORTING: AtomicI32 = AtomicI32::new(0);

/// Opens what a handler unwinds by: it must not do so itself. What is opened before a fork, workers have.
pub(super) fn open_unwinder() {
    let mut frames = [ptr::null_mut(); 2];
    // SAFETY: the array is as long as it says.
    unsafe { libc::backtrace(frames.as_mut_ptr(), 2) };
}

/// Has this process write to `report` what it dies of.
pub(super) fn report_to(report: OwnedFd) -> io::Result<()> {
    // It is open to the end.
    let report = ManuallyDrop::new(report);
    REPORT.store(report.as_raw_fd(), Ordering::Relaxed);
    // SAFETY: all zeros are an empty set and no flags.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = on_crash as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    for signal in FATAL {
        // SAFETY: the handler is one of three arguments, as the flags say.
        if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// A stack for handlers, of a size that machines with many vector registers have room in.
#[repr(align(16))]
struct Stack(UnsafeCell<[u8; HANDLER_STACK]>);

// SAFETY: only the system uses it, as the stack of one thread.
unsafe impl Sync for Stack {}

/// Gives the first thread of a worker a stack for handlers, for the time when its own is used up.
pub(super) fn prepare_first_thread() -> io::Result<()> {
    // It takes no memory before it is used.
    static STACK: Stack = Stack(UnsafeCell::new([0; HANDLER_STACK]));
    use_stack(STACK.0.get().cast())
}

fn use_stack(start: *mut c_void) -> io::Result<()> {
    let stack = libc::stack_t {
        ss_sp: start,
        ss_flags: 0,
        ss_size: HANDLER_STACK,
    };
    // SAFETY: callers give memory of this size that stays to the end, and that nobody else uses.
    if unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Gives this thread such a stack if the process is a worker.
pub(crate) fn prepare_worker_thread() {
    if REPORT.load(Ordering::Relaxed) >= 0 {
        let mut stack = ManuallyDrop::new(Vec::<u8>::with_capacity(HANDLER_STACK));
        // Without one a crash is told with less.
        let _ = use_stack(stack.as_mut_ptr().cast());
    }
}

/// Writes what code has printed and the C library still has, if the process is a worker.
pub(crate) fn flush_output() {
    if REPORT.load(Ordering::Relaxed) >= 0 {
        // SAFETY: null stands for all streams.
        unsafe { libc::fflush(ptr::null_mut()) };
    }
}

/// A module's place in memory. Handlers walk these without a lock: each leads to those before it, and stays to the end.
struct Place {
    range: std::ops::Range<u64>,
    bias: u64,
    digest: Digest,
    next: *const Place,
}

static PLACES: AtomicPtr<Place> = AtomicPtr::new(ptr::null_mut());

/// Has crashes in a module be told by its image and the offset there. Takes a little memory for good.
pub(crate) fn remember_module(digest: Digest, range: std::ops::Range<u64>, bias: u64) {
    let place = Box::leak(Box::new(Place {
        range,
        bias,
        digest,
        next: ptr::null(),
    }));
    let mut first = PLACES.load(Ordering::Acquire);
    loop {
        place.next = first;
        match PLACES.compare_exchange(first, place, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return,
            Err(now) => first = now,
        }
    }
}

/// The place of an address, the newest if memory was used again.
fn place_of(address: u64) -> Frame {
    let mut place = PLACES.load(Ordering::Acquire).cast_const();
    // SAFETY: the places stay to the end, and only `next` of one that nobody could see was ever changed.
    while let Some(here) = unsafe { place.as_ref() } {
        if here.range.contains(&address) {
            return Frame {
                image: Some(here.digest),
                offset: address.wrapping_sub(here.bias),
            };
        }
        place = here.next;
    }
    Frame {
        image: None,
        offset: address,
    }
}

/// What runs when code has done what it must not. Only what a handler may do: no lock, no memory.
unsafe extern "C" fn on_crash(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let own = rustix::thread::gettid().as_raw_nonzero().get();
    let before = REPORTING.compare_exchange(0, own, Ordering::Relaxed, Ordering::Relaxed);
    if before.is_err_and(|other| other != own) {
        // The other ends the process when it is done.
        let _ = rustix::thread::nanosleep(&ENOUGH);
    }
    if before.is_ok() {
        // SAFETY: the system gives a context of this type.
        let (at, caller, stack) = unsafe { interrupted(context.cast()) };
        // SAFETY: the system gives what is known of the signal.
        let code = unsafe { (*info).si_code };
        // SAFETY: as above; for signals that have no address it is some other number.
        let address = unsafe { (*info).si_addr() };
        let mut crash = Crash::new(signal, code, address.addr() as u64, stack);
        crash.push(place_of(at));
        if place_of(at).image.is_none() && peek(at).is_none() {
            // There is no code: the way back is not known but for the first step.
            crash.push(place_of(caller.wrapping_sub(1)));
            write(crash.bytes(), 0);
        } else {
            // As far as it is known if going back fails.
            write(crash.bytes(), 0);
            let mut addresses = [ptr::null_mut::<c_void>(); MOST_FRAMES];
            let most = c_int::try_from(MOST_FRAMES).unwrap_or(0);
            // SAFETY: the array is as long as it says; the template has called `open_unwinder`.
            let n_frames = unsafe { libc::backtrace(addresses.as_mut_ptr(), most) };
            let n_frames = usize::try_from(n_frames).unwrap_or(0).min(MOST_FRAMES);
            let addresses = addresses[..n_frames].iter().map(|at| at.addr() as u64);
            // The first are this handler and how the system called it. A return address is after the call.
            let mut callers = addresses
                .skip_while(|&address| address != at)
                .skip(1)
                .peekable();
            if callers.peek().is_none() && place_of(caller.wrapping_sub(1)).image.is_some() {
                // What was jumped to is no code, though something is there.
                crash.push(place_of(caller.wrapping_sub(1)));
            }
            callers.for_each(|address| crash.push(place_of(address.wrapping_sub(1))));
            write(crash.bytes(), 0);
        }
    }
    end_by(signal, own);
}

/// Ends the process by a signal, in a handler of which this thread returns to what caused it. Nothing of the thread's own variables is used, as the C library's functions
/// do: code may have left it without them, and to crash here would be to come here again, for ever.
fn end_by(signal: c_int, thread: c_int) {
    // What the system takes for a `struct sigaction`: a handler, flags, and what else is zero here.
    let default = [0_u64; 4];
    // SAFETY: it only reads the array, which is as long as the system's structure, and the set in it is of 8 bytes.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal,
            default.as_ptr(),
            ptr::null_mut::<u64>(),
            8_usize,
        )
    };
    let process = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: numbers only. It ends the process, if what caused the signal does not come again first.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) };
}

/// Longer than a report takes.
const ENOUGH: rustix::thread::Timespec = rustix::thread::Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// Writes to the report.
fn write(bytes: &[u8], at: u64) {
    let report = REPORT.load(Ordering::Relaxed);
    if report >= 0 {
        // SAFETY: `report_to` keeps it open.
        let report = unsafe { BorrowedFd::borrow_raw(report) };
        let _ = rustix::io::pwrite(report, bytes, at);
    }
}

/// The word at an address, which may be none: the system writes it to the report, behind all else, and says when it cannot read it.
fn peek(address: u64) -> Option<u64> {
    let report = REPORT.load(Ordering::Relaxed);
    let from: *const u8 = ptr::with_exposed_provenance(usize::try_from(address).ok()?);
    // Not the C library's functions, which look at variables of the thread's.
    // SAFETY: the system only reads, and checks whether it can.
    let n_bytes = unsafe { libc::syscall(libc::SYS_pwrite64, report, from, 8_usize, BEHIND) };
    let mut word = [0; 8];
    let to = word.as_mut_ptr();
    // SAFETY: the word is as long as it says.
    let n_back = unsafe { libc::syscall(libc::SYS_pread64, report, to, 8_usize, BEHIND) };
    (n_bytes == 8 && n_back == 8).then(|| u64::from_le_bytes(word))
}

/// Behind what is written of a crash, in bytes from the start of the report.
const BEHIND: i64 = 4096;

/// Size of the report in bytes.
pub(super) const REPORT_SIZE: u64 = 2 * 4096;

/// Where a thread was when a signal came, if it was called there, where from, and its stack pointer.
#[cfg(target_arch = "x86_64")]
unsafe fn interrupted(context: *const libc::ucontext_t) -> (u64, u64, u64) {
    // SAFETY: the caller's contract.
    let registers = unsafe { &(*context).uc_mcontext.gregs };
    let at = registers[libc::REG_RIP as usize].cast_unsigned();
    let stack = registers[libc::REG_RSP as usize].cast_unsigned();
    (at, peek(stack).unwrap_or(0), stack)
}

#[cfg(target_arch = "aarch64")]
unsafe fn interrupted(context: *const libc::ucontext_t) -> (u64, u64, u64) {
    // SAFETY: the caller's contract.
    let registers = unsafe { &(*context).uc_mcontext };
    (registers.pc, registers.regs[30], registers.sp)
}
