//! Stubs: functions of a few instructions that jump to where their slot leads, which can change while
//! threads call them.
//!
//! A stub is 16 bytes of code, its slot two words. Blocks of stubs are written once, then made executable
//! and never changed; their slots are writable, at one distance from the code, and never executable.
//! Both are this process's alone, so that a forked child's stubs lead where the child says.
//!
//! A stub may lead to Rust code first, which is asked at a call where to go ([`Stub::on_first_call`]).
//! Threads that come before there is an answer ask too, and the first answer is everyone's: none waits for
//! another, so that answering may take locks, load images, and call the same stub. Or the Rust code is what the
//! function does ([`Stub::calling`]).
//!
//! Tried and rejected: blocks that map one file in memory, written once for all of them. It saves 64 KiB
//! for 4096 stubs, and takes a descriptor that the host may close and a second way where there are no such
//! files.

use std::fmt;
use std::io;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use farcall_arch::Machine;

use crate::callback::Body;
use crate::fork;
use crate::sys::code;
use crate::sys::machine::{callback, first_call};
use crate::sys::memory;
use crate::sys::memory::Protection;
use crate::sys::saved_arguments::SavedArguments;

/// A stub of one's own. Dropping it gives its place to the next.
///
/// Whoever has it sees to it that nobody calls it any more when it is dropped.
pub(crate) struct Stub {
    slot: NonNull<Slot>,
}

/// Says where calls of a stub go. It may unwind: then the call has not happened.
pub(crate) type Resolver = Box<dyn Fn() -> u64 + Send + Sync>;

/// Rust code that a stub leads to.
enum Attached {
    Resolver(Resolver),
    Body(Body),
}

/// What a stub reads.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Slot {
    /// Where the stub jumps to.
    target: AtomicU64,
    /// Whom the code for first calls asks, or that for callbacks calls: a box of the stub's, if it has one.
    attached: AtomicPtr<Attached>,
}

/// The size in bytes of a block's code, and of its slots: whole pages on every machine.
const BLOCK_SIZE: usize = 64 << 10;
const _: () = assert!(size_of::<Slot>() == Machine::STUB_SIZE);

/// The slots that no stub has. The blocks stay to the end of the process.
static FREE: Mutex<Vec<FreeSlot>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct FreeSlot(NonNull<Slot>);

// SAFETY: whoever has it is the only one that writes to the slot, and a slot is atomic.
unsafe impl Send for FreeSlot {}

// SAFETY: the slot is atomic; what is attached is `Send` and `Sync`.
unsafe impl Send for Stub {}
// SAFETY: as above.
unsafe impl Sync for Stub {}

impl Stub {
    /// A stub that leads to the code at `target`.
    pub(crate) fn to(target: u64) -> io::Result<Self> {
        let stub = Self { slot: take_slot()? };
        stub.redirect(target);
        Ok(stub)
    }

    /// A stub of which `resolver` says where it leads when it is first called. Any thread that calls the stub
    /// may call it, several at a time; what it gives first holds for all of them, and from then on.
    pub(crate) fn on_first_call(resolver: Resolver) -> io::Result<Self> {
        Self::attached(Attached::Resolver(resolver), first_call::entry())
    }

    /// A stub of a function that does what `body` does.
    pub(crate) fn calling(body: Body) -> io::Result<Self> {
        Self::attached(Attached::Body(body), callback::entry())
    }

    fn attached(attached: Attached, entry: u64) -> io::Result<Self> {
        let stub = Self { slot: take_slot()? };
        let attached = Box::into_raw(Box::new(attached));
        stub.slot().attached.store(attached, Ordering::Relaxed);
        stub.redirect(entry);
        Ok(stub)
    }

    /// Its address: that of a function.
    pub(crate) fn address(&self) -> u64 {
        (self.slot.as_ptr().expose_provenance() - BLOCK_SIZE) as u64
    }

    /// Has it lead to the code at `target`, for all calls that come to it from now on.
    pub(crate) fn redirect(&self, target: u64) {
        // What was written before, the code above all, is seen by who jumps there.
        self.slot().target.store(target, Ordering::Release);
    }

    fn slot(&self) -> &Slot {
        // SAFETY: slots are never unmapped, and all zero to begin with.
        unsafe { self.slot.as_ref() }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        // Who calls it still, which is wrong, jumps to null.
        self.redirect(0);
        let null = std::ptr::null_mut();
        let attached = self.slot().attached.swap(null, Ordering::Relaxed);
        if !attached.is_null() {
            // SAFETY: the stub was made with a box, and nobody is in it any more.
            drop(unsafe { Box::from_raw(attached) });
        }
        fork::lock(&FREE).push(FreeSlot(self.slot));
    }
}

impl fmt::Debug for Stub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stub")
            .field("address", &format_args!("{:#x}", self.address()))
            .field("target", &self.slot().target)
            .finish_non_exhaustive()
    }
}

/// What the code for first calls calls: gives where the call of the slot's stub goes.
///
/// # Safety
///
/// The slot's stub was made by [`Stub::on_first_call`] and has not been dropped.
pub(crate) unsafe extern "C-unwind" fn first_call(slot: *const Slot) -> u64 {
    // A call changes no `errno` before it begins.
    let errno = errno();
    // SAFETY: the caller's contract.
    let slot = unsafe { &*slot };
    // SAFETY: as above.
    let Attached::Resolver(resolver) = (unsafe { slot.attached() }) else {
        unreachable!("only stubs with a resolver lead here");
    };
    let target = resolver();
    let entry = first_call::entry();
    let order = (Ordering::AcqRel, Ordering::Acquire);
    let bound = (slot.target).compare_exchange(entry, target, order.0, order.1);
    set_errno(errno);
    bound.err().unwrap_or(target)
}

/// What the code for callbacks calls: does what the function of the slot's stub does, and gives its result as a
/// register holds it.
///
/// # Safety
///
/// The slot's stub was made by [`Stub::calling`] and has not been dropped; it was called with these arguments, as a
/// function of the body's type.
pub(crate) unsafe extern "C-unwind" fn call_body(
    slot: *const Slot,
    arguments: *const SavedArguments,
) -> u64 {
    // SAFETY: the caller's contract.
    let slot = unsafe { &*slot };
    // SAFETY: as above.
    let Attached::Body(body) = (unsafe { slot.attached() }) else {
        unreachable!("only stubs with a body lead here");
    };
    // SAFETY: the caller's frame has them, and waits.
    let arguments = unsafe { &*arguments };
    // SAFETY: the caller's contract.
    unsafe { body.call(arguments) }
}

impl Slot {
    /// # Safety
    ///
    /// The slot's stub was made with something attached and has not been dropped.
    unsafe fn attached(&self) -> &Attached {
        let attached = self.attached.load(Ordering::Relaxed);
        // SAFETY: the stub owns it, and the slot had it before it led anywhere.
        unsafe { &*attached }
    }
}

/// A slot whose stub is there to be called.
fn take_slot() -> io::Result<NonNull<Slot>> {
    let mut free = fork::lock(&FREE);
    if free.is_empty() {
        let slots = new_block()?;
        // The first one is taken first.
        free.extend(slots.rev());
    }
    let FreeSlot(slot) = free.pop().expect("a block has slots");
    Ok(slot)
}

/// The slots of a new block.
fn new_block() -> io::Result<impl DoubleEndedIterator<Item = FreeSlot>> {
    let block = Reserved(memory::reserve(2 * BLOCK_SIZE)?);
    let start = block.0.as_ptr();
    let slots = start.wrapping_add(BLOCK_SIZE);
    // SAFETY: the pages are new, and nothing refers to them.
    unsafe { memory::protect(start, 2 * BLOCK_SIZE, Protection::ReadWrite) }?;
    // SAFETY: they are writable, zero and this function's.
    let bytes = unsafe { std::slice::from_raw_parts_mut(start, BLOCK_SIZE) };
    let machine = Machine::host().expect("the loader runs on machines that are known");
    let (stubs, _) = bytes.as_chunks_mut::<{ Machine::STUB_SIZE }>();
    for stub in stubs {
        let address = stub.as_ptr().expose_provenance() as u64;
        let fits = machine.write_stub(stub, address, address + BLOCK_SIZE as u64);
        assert!(fits, "a block is smaller than the distance may be");
    }
    // SAFETY: the bytes are readable where they were written, which is where they run.
    unsafe { code::publish(start, start, BLOCK_SIZE) };
    // SAFETY: the pages are this function's, and the reference to them is not used any more.
    unsafe { memory::protect(start, BLOCK_SIZE, Protection::ReadExecute) }?;
    std::mem::forget(block);
    let offsets = (0..BLOCK_SIZE).step_by(size_of::<Slot>());
    Ok(offsets.map(move |offset| {
        let slot = slots.wrapping_add(offset).cast();
        FreeSlot(NonNull::new(slot).expect("the system maps nothing at null"))
    }))
}

/// A block's address space, given back if it does not become a block.
struct Reserved(NonNull<u8>);

impl Drop for Reserved {
    fn drop(&mut self) {
        // SAFETY: no slot of it was given to anyone. What the system does not take back stays reserved.
        let _ = unsafe { memory::release(self.0.as_ptr(), 2 * BLOCK_SIZE) };
    }
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn set_errno(value: i32) {
    // SAFETY: it takes nothing and always succeeds.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: a variable of this thread's.
    unsafe { errno.write(value) };
}
