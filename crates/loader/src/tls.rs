//! Thread-local variables of images.
//!
//! Code asks for a variable by a pair: a module's identity and an offset in its block. The pair is in
//! the image's GOT, or a TLS descriptor there names it. The identity is either the host's, which its own `__tls_get_addr` serves, or one that
//! [`Slot`] hands out, told apart by the top bit. Each thread has a table of the blocks that it
//! has used, by slot; a block is allocated at its first use. The table's entry carries the
//! generation of the slot, so that a slot that is used again never shows the old block.
//!
//! The fast path reads this thread's table and takes no lock. The first use of a block by a thread,
//! the end of a thread, and the load and unload of an image with thread-local variables take one
//! lock for all.
//!
//! Code of the initial-exec model knows no pairs. The variables of an image that has such code are
//! the host's to keep, see `sys::host`.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::any::Any;
use std::collections::HashSet;
use std::ffi::c_void;
use std::io;
use std::ptr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::sys::host::{self, StaticBlock};
use crate::sys::tls_descriptor::{ThreadBlocks, thread_blocks};

/// Set in the identities that are ours. The host numbers its libraries from 1.
const OURS: u64 = 1 << 63;

/// The upper half of the identities that are ours: with the generation, a block's tag.
const OURS_TAG: u32 = 1 << 31;

/// A pair: what code hands to `__tls_get_addr`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct TlsIndex {
    pub(crate) module: u64,
    pub(crate) offset: u64,
}

/// What each thread's block starts as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Template {
    /// The address of the bytes that it starts with; the rest is zero.
    pub(crate) address: u64,
    /// How many those are.
    pub(crate) initialized: usize,
    /// Its size and alignment.
    pub(crate) layout: Layout,
}

/// Where an image has its thread-local variables.
#[derive(Debug)]
pub(crate) enum ThreadLocals {
    /// In blocks that threads get when they first use them.
    Dynamic(Slot),
    /// At one distance from the thread pointer, in every thread.
    Static(StaticBlock),
}

impl ThreadLocals {
    /// The identity that the image's pairs hold.
    pub(crate) fn identity(&self) -> u64 {
        match self {
            Self::Dynamic(slot) => slot.identity(),
            Self::Static(block) => block.module,
        }
    }
}

/// Whether an identity is that of one of our images' slots, not the host's.
pub(crate) fn is_ours(identity: u64) -> bool {
    identity & OURS != 0
}

/// An image's identity among those with thread-local variables. Dropping it frees the blocks of all
/// threads.
#[derive(Debug)]
pub(crate) struct Slot {
    index: u32,
    generation: u32,
}

/// The images that have thread-local variables, by slot.
#[derive(Debug)]
struct Table {
    entries: Vec<Entry>,
    /// The slots that no image has.
    free: Vec<u32>,
}

/// A slot of the table of all images.
#[derive(Debug)]
struct Entry {
    /// Counts the uses of the slot, in 31 bits. The first is 1.
    generation: u32,
    live: Option<Live>,
}

/// An image that has the slot.
#[derive(Debug)]
struct Live {
    /// `None` until the image is published.
    template: Option<Template>,
    /// The blocks of all threads, by address.
    blocks: HashSet<usize>,
}

static TABLE: Mutex<Table> = Mutex::new(Table {
    entries: Vec::new(),
    free: Vec::new(),
});

/// A thread's block of one slot. Assembly reads it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    /// The upper half of the identity; 0 for no block.
    tag: u32,
    address: *mut u8,
}

const NO_BLOCK: Block = Block {
    tag: 0,
    address: ptr::null_mut(),
};

impl Slot {
    /// Takes a slot.
    pub(crate) fn new() -> io::Result<Self> {
        thread_end_key()?;
        let mut table = table();
        let index = match table.free.pop() {
            Some(index) => index,
            None => {
                let index = u32::try_from(table.entries.len());
                let index = index.map_err(|_| io::ErrorKind::OutOfMemory)?;
                table.entries.push(Entry {
                    generation: 0,
                    live: None,
                });
                index
            }
        };
        let entry = &mut table.entries[to_usize(index)];
        // Generation 0 stands for no block, so it is skipped after 2^31 uses.
        entry.generation = (entry.generation % (u32::MAX >> 1)) + 1;
        entry.live = Some(Live {
            template: None,
            blocks: HashSet::new(),
        });
        Ok(Self {
            index,
            generation: entry.generation,
        })
    }

    /// The identity that the image's pairs hold.
    pub(crate) fn identity(&self) -> u64 {
        OURS | u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// Says what each thread's block starts as.
    ///
    /// # Safety
    ///
    /// The template's bytes are readable as long as the slot lives.
    pub(crate) unsafe fn publish(&self, template: Template) {
        if let Some(live) = table().live(self.index, self.generation) {
            live.template = Some(template);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let live = {
            let mut table = table();
            table.free.push(self.index);
            table.entries[to_usize(self.index)].live.take()
        };
        let Some(Live {
            template: Some(template),
            blocks,
        }) = live
        else {
            return;
        };
        for address in blocks {
            free(ptr::with_exposed_provenance_mut(address), template);
        }
    }
}

/// The `__tls_get_addr` of images.
///
/// # Safety
///
/// `index` is a pair whose identity is the host's or that of a published, loaded image, and whose
/// offset is that of one of its variables.
pub(crate) unsafe extern "C" fn tls_get_addr(pair: *const TlsIndex) -> *mut c_void {
    // SAFETY: the caller's contract.
    let TlsIndex { module, offset } = unsafe { *pair };
    if !is_ours(module) {
        // SAFETY: the identity is the host's.
        return unsafe { host::tls_get_addr(pair) };
    }
    let (slot, tag) = split(module);
    let block = match cached(slot, tag) {
        Some(block) => block,
        None => first_use(slot, tag),
    };
    block.wrapping_add(to_usize(offset)).cast()
}

/// This thread's block of the slot, if it has been used.
fn cached(slot: u32, tag: u32) -> Option<*mut u8> {
    // SAFETY: the only result here.
    let block = unsafe { own_blocks() }.get(to_usize(slot))?;
    (block.tag == tag).then_some(block.address)
}

/// This thread's blocks by slot.
///
/// They have no destructor of their own, because C++ destructors that still use them run in an order
/// among Rust's that nobody controls; `end_thread` frees them.
///
/// # Safety
///
/// No other result is in use in this thread, and this one is used neither after the blocks are
/// replaced nor in another thread.
unsafe fn own_blocks<'a>() -> &'a mut [Block] {
    // SAFETY: the words are this thread's own.
    let table = unsafe { thread_blocks().read() };
    if table.blocks.is_null() {
        return &mut [];
    }
    // SAFETY: `grow` made a slice of this length, and nothing else refers to it now.
    unsafe { std::slice::from_raw_parts_mut(table.blocks, table.length) }
}

/// Replaces this thread's blocks; the old ones are the caller's to free.
fn set_own_blocks(blocks: &'static mut [Block]) {
    let table = ThreadBlocks {
        length: blocks.len(),
        blocks: blocks.as_mut_ptr(),
    };
    // SAFETY: the words are this thread's own.
    unsafe { thread_blocks().write(table) };
}

/// Gives this thread's table room for `length` blocks, and sees to its end.
fn grow(length: usize) {
    // SAFETY: the only result here, and not used after it is freed.
    let old = unsafe { own_blocks() };
    let mut blocks = Vec::with_capacity(length.max(2 * old.len()));
    blocks.extend_from_slice(old);
    blocks.resize(blocks.capacity(), NO_BLOCK);
    if old.is_empty() {
        if let Ok(key) = thread_end_key() {
            // SAFETY: the key exists. If there is no memory, the table is not freed, no more.
            unsafe { libc::pthread_setspecific(key, ptr::without_provenance(FIRST_ROUND)) };
        }
        set_own_blocks(Box::leak(blocks.into_boxed_slice()));
        return;
    }
    let old: *mut [Block] = old;
    set_own_blocks(Box::leak(blocks.into_boxed_slice()));
    // SAFETY: this made it too, and nothing refers to it any more.
    drop(unsafe { Box::from_raw(old) });
}

/// Allocates this thread's block of the slot.
#[cold]
fn first_use(slot: u32, tag: u32) -> *mut u8 {
    let mut table = table();
    let Some(live) = table.live(slot, tag & !OURS_TAG) else {
        // Only code of an image that is not loaded any more can come here.
        std::process::abort();
    };
    let Some(template) = live.template else {
        std::process::abort();
    };
    let block = allocate(template);
    live.blocks.insert(block.expose_provenance());
    drop(table);

    let slot = to_usize(slot);
    // SAFETY: used for this question alone.
    if unsafe { own_blocks() }.len() <= slot {
        grow(slot + 1);
    }
    // SAFETY: the only result.
    let blocks = unsafe { own_blocks() };
    blocks[slot] = Block {
        tag,
        address: block,
    };
    block
}

fn allocate(template: Template) -> *mut u8 {
    if template.layout.size() == 0 {
        return ptr::without_provenance_mut(template.layout.align());
    }
    // SAFETY: the size is not zero.
    let block = unsafe { alloc_zeroed(template.layout) };
    if block.is_null() {
        handle_alloc_error(template.layout);
    }
    let bytes = ptr::with_exposed_provenance::<u8>(to_usize(template.address));
    // SAFETY: the image's form says that a block is at least as large as what it starts with;
    // `Slot::publish` that those bytes are readable.
    unsafe { ptr::copy_nonoverlapping(bytes, block, template.initialized) };
    block
}

fn free(block: *mut u8, template: Template) {
    if template.layout.size() == 0 {
        return;
    }
    // SAFETY: `allocate` made the block with this layout; each block is removed from its image's
    // set before it is freed, so this happens once.
    unsafe { dealloc(block, template.layout) };
}

/// The C library calls destructors of keys in at least this many rounds (POSIX,
/// `PTHREAD_DESTRUCTOR_ITERATIONS`), as long as they set their keys again.
///
/// ThreadSanitizer knows nothing of a thread any more once it has seen the last one: `cargo xtask tsan` says
/// `tsan`.
const ROUNDS: usize = if cfg!(tsan) { 3 } else { 4 };
const FIRST_ROUND: usize = 1;

/// The key whose destructor frees a thread's blocks.
fn thread_end_key() -> io::Result<libc::pthread_key_t> {
    static KEY: OnceLock<Result<libc::pthread_key_t, i32>> = OnceLock::new();
    let key = KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: the destructor treats its argument as a number.
        match unsafe { libc::pthread_key_create(&raw mut key, Some(end_thread)) } {
            0 => Ok(key),
            error => Err(error),
        }
    });
    (*key).map_err(io::Error::from_raw_os_error)
}

/// Frees this thread's blocks, in the last round, so that destructors of other keys can use them.
unsafe extern "C" fn end_thread(round: *mut c_void) {
    let round = round.addr();
    if round < ROUNDS
        && let Ok(key) = thread_end_key()
    {
        // SAFETY: the key exists.
        unsafe { libc::pthread_setspecific(key, ptr::without_provenance(round + 1)) };
        return;
    }
    // SAFETY: the only result here.
    let blocks: *mut [Block] = unsafe { own_blocks() };
    set_own_blocks(&mut []);
    if blocks.is_empty() {
        return;
    }
    // SAFETY: `grow` made it, and this thread has forgotten it.
    let blocks = unsafe { Box::from_raw(blocks) };
    let mut table = table();
    for (slot, block) in (0..).zip(blocks.iter()) {
        if let Some(live) = table.live(slot, block.tag & !OURS_TAG)
            && let Some(template) = live.template
            && live.blocks.remove(&block.address.addr())
        {
            free(block.address, template);
        }
    }
}

/// Holds the lock of all images.
pub(crate) fn lock() -> impl Any {
    table()
}

fn table() -> MutexGuard<'static, Table> {
    // A panic under the lock leaves the table whole, so that poison means nothing.
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Table {
    /// The image that has the slot in this generation.
    fn live(&mut self, slot: u32, generation: u32) -> Option<&mut Live> {
        let entry = self.entries.get_mut(to_usize(slot))?;
        if entry.generation != generation {
            return None;
        }
        entry.live.as_mut()
    }
}

/// The slot and the tag of an identity of ours.
fn split(identity: u64) -> (u32, u32) {
    let [s0, s1, s2, s3, t0, t1, t2, t3] = identity.to_le_bytes();
    (
        u32::from_le_bytes([s0, s1, s2, s3]),
        u32::from_le_bytes([t0, t1, t2, t3]),
    )
}

/// Lossless: the loader runs where an address has 64 bits.
fn to_usize(value: impl Into<u64>) -> usize {
    usize::try_from(value.into()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(bytes: &'static [u8], size: usize, align: usize) -> Slot {
        let slot = Slot::new().unwrap();
        let template = Template {
            address: bytes.as_ptr().expose_provenance() as u64,
            initialized: bytes.len(),
            layout: Layout::from_size_align(size, align).unwrap(),
        };
        // SAFETY: the bytes are static.
        unsafe { slot.publish(template) };
        slot
    }

    fn address(slot: &Slot, offset: u64) -> *mut u8 {
        let pair = TlsIndex {
            module: slot.identity(),
            offset,
        };
        // SAFETY: the slot is published, and tests ask for offsets in the block.
        unsafe { tls_get_addr(&raw const pair) }.cast()
    }

    fn read(slot: &Slot, offset: u64) -> u8 {
        // SAFETY: the block is this thread's own.
        unsafe { *address(slot, offset) }
    }

    fn write(slot: &Slot, offset: u64, value: u8) {
        // SAFETY: the block is this thread's own.
        unsafe { *address(slot, offset) = value };
    }

    fn n_blocks(slot: &Slot) -> usize {
        table()
            .live(slot.index, slot.generation)
            .unwrap()
            .blocks
            .len()
    }

    #[test]
    fn each_thread_starts_with_the_template() {
        let slot = published(&[7, 8], 100, 64);
        assert_eq!(address(&slot, 0).addr() % 64, 0);
        assert_eq!([0, 1, 2, 99].map(|at| read(&slot, at)), [7, 8, 0, 0]);
        write(&slot, 1, 9);
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(read(&slot, 1), 8));
        });
        assert_eq!(read(&slot, 1), 9);
    }

    #[test]
    fn the_end_of_a_thread_frees_its_block() {
        let slot = published(&[1], 8, 8);
        std::thread::scope(|scope| {
            let used = scope.spawn(|| {
                read(&slot, 0);
                n_blocks(&slot)
            });
            assert_eq!(used.join().unwrap(), 1);
        });
        // A scope ends with its threads' closures; their keys' destructors may run after that.
        for _ in 0..1000 {
            if n_blocks(&slot) == 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("the block was not freed");
    }

    #[test]
    fn a_slot_used_again_shows_its_own_template() {
        let old = published(&[1], 8, 8);
        let identity = old.identity();
        assert_eq!(read(&old, 0), 1);
        write(&old, 0, 5);
        drop(old);
        // Other tests take slots too, so the same one comes again only sooner or later.
        for _ in 0..1000 {
            let new = published(&[2], 8, 8);
            assert_ne!(new.identity(), identity);
            assert_eq!(read(&new, 0), 2);
        }
    }

    #[test]
    fn identities_are_not_the_hosts() {
        let slot = Slot::new().unwrap();
        assert_ne!(slot.identity() & OURS, 0);
        assert_eq!(
            split(slot.identity()),
            (slot.index, OURS_TAG | slot.generation)
        );
    }
}
