//! Windows: address space in which small images share pages.
//!
//! A window has an arena for each kind of segment, at the distance at which packed images have their
//! segments. Constants, code and relocated data are in a file in memory that is mapped twice: where
//! they are used, with their final protection, and once more, writable, where only the loader looks. So
//! an image is loaded with no system call, next to others, and no page is ever writable and
//! executable. Data is private memory.
//!
//! A window's code has one table for the host's unwinder ([`unwind_index`]), which the host knows
//! because it takes the window for a shared object: one registration, however many images there are.
//!
//! Where a system refuses any of this, there are no windows, and each image has memory of its own.

mod space;
mod unwind_index;

use std::any::Any;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farcall_arch::Machine;
use farcall_image::{ARENA_STRIDE, Image, PackedSegment};

use self::space::{CHUNK, CHUNK_GRANULES, Chunk, GRANULE, N_ARENAS, Shape};
use self::unwind_index::{Lines, UnwindIndex};
use crate::fork;
use crate::host_object::{self, Header, HostObjectError};
use crate::sys::dynamic::Library;
use crate::sys::memory::{self, Protection};

/// The arenas whose memory is the window's file: the first ones.
const N_SHARED: usize = 3;
const TEXT: usize = PackedSegment::Text.arena();

/// Bytes of the unwind table's memory.
const INDEX_SIZE: usize = 16 << 20;
const N_CHUNKS: usize = (ARENA_STRIDE / CHUNK) as usize;

/// How many functions may start in a line of a chunk. Most code has one in 16 bytes at the most;
/// where an instruction has four, there may be 16.
const DENSITIES: [usize; 2] = [4, 16];

/// How many chunks are tried before there is a new one.
const TRIES: usize = 8;
/// An image of no more granules that finds no place says that a chunk is full.
const SMALL: usize = 16;

/// Memory is taken from the system in steps of this many granules: four pages of 4 KiB.
const STEP: usize = 256;
/// What an empty chunk keeps of each arena, so that an image that comes and goes costs no system call.
const KEPT: usize = 64;

/// All windows. Those of a process that this one was forked off stay as they are.
static WINDOWS: Mutex<Vec<Arc<Window>>> = Mutex::new(Vec::new());

/// A place for one image, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    window: Arc<Window>,
    shape: Shape,
    chunk: u16,
    place: u16,
    /// What [`fork::count`] was.
    forks: u32,
}

#[derive(Debug)]
struct Window {
    /// Where the first arena is.
    arenas: NonNull<u8>,
    /// Where the file is mapped writable.
    alias: NonNull<u8>,
    /// The process that allocates here.
    generation: u32,
    /// Under the lock of all windows.
    state: Mutex<State>,
    /// Keeps the addresses, and tells the host of them.
    #[expect(dead_code, reason = "held open")]
    object: Library,
}

#[derive(Debug)]
struct State {
    chunks: Vec<Part>,
    /// For each density the chunks that are not full, the last one to be used at the end.
    open: [Vec<u16>; DENSITIES.len()],
    index: UnwindIndex,
}

/// A chunk and the memory that it has.
#[derive(Debug)]
struct Part {
    chunk: Chunk,
    lines: Lines,
    /// The index in [`DENSITIES`].
    density: usize,
    /// For each arena the granules, from the start on, that have memory.
    populated: [usize; N_ARENAS],
    /// Whether it is not among the open ones, because a small image did not fit.
    is_full: bool,
}

// SAFETY: the memory belongs to no thread; who may touch which part is said by `Slot` and the lock.
unsafe impl Send for Window {}
// SAFETY: as above.
unsafe impl Sync for Window {}

/// Holds the lock of all windows.
pub(crate) fn lock() -> impl Any {
    windows()
}

fn windows() -> MutexGuard<'static, Vec<Arc<Window>>> {
    // A panic under the lock leaves a place taken, no more.
    WINDOWS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a place for an image; `None` when it is not one for windows, or there are none.
pub(crate) fn take(image: &Image<'_>) -> Option<Slot> {
    if !image.is_packed() {
        return None;
    }
    let mut parts: [Range<u64>; N_ARENAS] = [const { 0..0 }; N_ARENAS];
    for segment in image.segments() {
        let arena = image.packed_segment(segment).arena();
        let start = ARENA_STRIDE * arena as u64;
        parts[arena] = segment.resident.start - start..segment.resident.end - start;
    }
    let shape = Shape::new(parts, image.bias_align())?;
    let functions = image.unwind_functions().map(|(function, _)| function);
    let largest = unwind_index::largest_line(functions);
    let density = DENSITIES.iter().position(|&density| largest <= density)?;
    if let Some(slot) = take_in_any(&shape, density) {
        return Some(slot);
    }
    // Not under the lock: the host's dynamic linker has locks of its own, and runs code of others.
    let window = Window::new(image.machine());
    let window = window.inspect_err(|error| tracing::debug!(?error, "no window"));
    windows().push(Arc::new(window.ok()?));
    let slot = take_in_any(&shape, density);
    if slot.is_none() {
        drop_surplus(windows());
    }
    slot
}

fn take_in_any(shape: &Shape, density: usize) -> Option<Slot> {
    let windows = windows();
    let own = windows
        .iter()
        .filter(|it| it.generation == fork::generation());
    own.rev().find_map(|window| window.take(shape, density))
}

impl Slot {
    /// The load bias.
    pub(crate) fn bias(&self) -> u64 {
        let chunk = CHUNK * u64::from(self.chunk);
        let arenas = self.window.arenas.as_ptr().expose_provenance() as u64;
        arenas.wrapping_add(self.shape.bias(chunk, self.place.into()))
    }

    /// Where the loader writes what is at `address` of the image, in the given arena.
    ///
    /// # Panics
    ///
    /// If the address is not the image's in this arena.
    pub(crate) fn writable(&self, segment: PackedSegment, address: u64) -> NonNull<u8> {
        let arena = segment.arena();
        let start = self.window.arenas.as_ptr().expose_provenance() as u64;
        let offset = self.bias().wrapping_add(address).wrapping_sub(start);
        let granules = self.shape.granules(arena, self.place.into());
        let first = ARENA_STRIDE * arena as u64 + CHUNK * u64::from(self.chunk);
        let own = first + GRANULE * granules.start as u64..=first + GRANULE * granules.end as u64;
        assert!(own.contains(&offset), "an image is written where it is");
        let memory = match arena < N_SHARED {
            true => self.window.alias,
            false => self.window.arenas,
        };
        // SAFETY: the offset is in this arena, which is mapped there.
        unsafe { memory.add(to_usize(offset)) }
    }

    /// Tells the host's unwinder of the image's functions.
    pub(crate) fn name_functions(&self, image: &Image<'_>) {
        let bias = self.bias();
        let functions = image.unwind_functions();
        let functions = functions
            .map(|(function, record)| (bias.wrapping_add(function), bias.wrapping_add(record)));
        let code = self.code();
        if !code.is_empty() {
            let _windows = windows();
            let state = self.window.state();
            state.index.fill(
                &state.chunks[usize::from(self.chunk)].lines,
                code,
                functions,
            );
        }
    }

    /// The lines of the image's code.
    fn code(&self) -> Range<u64> {
        let granules = self.shape.granules(TEXT, self.place.into());
        let start = self.window.code() + CHUNK * u64::from(self.chunk);
        start + GRANULE * granules.start as u64..start + GRANULE * granules.end as u64
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // A window that was inherited is left as it is: its memory is another process's too.
        if self.window.generation != fork::generation() {
            return;
        }
        let windows = windows();
        // A child may run the image still.
        let again = self.forks == fork::count();
        self.window.give_back(self, again);
        drop_surplus(windows);
    }
}

/// Drops a window that is empty while another is too.
fn drop_surplus(mut windows: MutexGuard<'_, Vec<Arc<Window>>>) {
    if windows.len() < 2 {
        return;
    }
    let mut empty = (windows.iter().enumerate()).filter(|(_, window)| window.is_empty());
    if let (Some(_), Some((second, _))) = (empty.next(), empty.next()) {
        drop(empty);
        let surplus = windows.swap_remove(second);
        // Not under the lock: the host's dynamic linker has locks of its own.
        drop(windows);
        drop(surplus);
    }
}

/// Why there is no window.
#[derive(Debug)]
#[expect(dead_code, reason = "for people who read logs")]
enum WindowError {
    Object(HostObjectError),
    System(&'static str, io::Error),
}

impl Window {
    fn new(machine: Machine) -> Result<Self, WindowError> {
        let system = |call| move |error| WindowError::System(call, error);
        let page = machine.max_page_size();
        let object = host_object::open(&shared_object(machine)).map_err(WindowError::Object)?;
        let bias = object.load_bias();
        let bias = bias.map_err(|reason| WindowError::Object(HostObjectError::Refused(reason)))?;
        let start = bias + page;
        let arenas = arenas_from(start);
        let stride = to_usize(ARENA_STRIDE);

        // SAFETY: the object has these addresses, and nobody uses them.
        unsafe { memory::protect(pointer(start), INDEX_SIZE, Protection::ReadWrite) }
            .map_err(system("mprotect"))?;
        let file = memory::memory_file(c"farcall-code", true).map_err(system("memfd_create"))?;
        let size = ARENA_STRIDE * N_SHARED as u64;
        rustix::fs::ftruncate(&file, size)
            .map_err(io::Error::from)
            .map_err(system("ftruncate"))?;
        let protections = [Protection::Read, Protection::ReadExecute, Protection::Read];
        for (offset, protection) in (0..).step_by(stride).zip(protections) {
            let address = pointer(arenas + offset);
            // SAFETY: as above.
            unsafe { memory::map_shared(address, stride, protection, &file, offset) }
                .map_err(system("mmap"))?;
        }
        let data = pointer(arenas + size);
        // SAFETY: as above.
        unsafe { memory::protect(data, stride, Protection::ReadWrite) }
            .map_err(system("mprotect"))?;
        let alias = memory::reserve(to_usize(size)).map_err(system("mmap"))?;
        // From here on dropping the window returns it.
        let window = Self {
            arenas: NonNull::new(pointer(arenas)).expect("the object is not at null"),
            alias,
            generation: fork::generation(),
            state: Mutex::new(State {
                chunks: Vec::new(),
                open: [const { Vec::new() }; DENSITIES.len()],
                // SAFETY: the memory is this table's, was made writable, and goes with the object.
                index: unsafe { index(start, bias) },
            }),
            object,
        };
        // SAFETY: nobody uses the addresses.
        unsafe {
            memory::map_shared(
                alias.as_ptr(),
                to_usize(size),
                Protection::ReadWrite,
                &file,
                0,
            )
        }
        .map_err(system("mmap"))?;
        // SAFETY: a child does not allocate in this window.
        unsafe { memory::keep_from_children(alias.as_ptr(), to_usize(size)) }
            .map_err(system("madvise"))?;
        Ok(window)
    }

    fn take(self: &Arc<Self>, shape: &Shape, density: usize) -> Option<Slot> {
        let mut state = self.state();
        let (chunk, place) = match state.take(shape, density) {
            Some(found) => found,
            None => state.take_in_new(self.code(), shape, density)?,
        };
        let part = &mut state.chunks[usize::from(chunk)];
        if let Err(error) = self.populate(part, chunk, shape, place) {
            tracing::debug!(%error, "no memory for a window");
            part.chunk.give_back(shape, place);
            return None;
        }
        Some(Slot {
            window: Arc::clone(self),
            shape: *shape,
            chunk,
            place: u16::try_from(place).expect("a chunk has few granules"),
            forks: fork::count(),
        })
    }

    /// Takes the image out; its place can be used `again` or is lost.
    fn give_back(&self, slot: &Slot, again: bool) {
        let mut state = self.state();
        let State {
            chunks,
            open,
            index,
        } = &mut *state;
        let part = &mut chunks[usize::from(slot.chunk)];
        index.clear(&part.lines, slot.code());
        if !again {
            return;
        }
        part.chunk.give_back(&slot.shape, slot.place.into());
        if std::mem::take(&mut part.is_full) {
            open[part.density].push(slot.chunk);
        }
        if part.chunk.is_empty() {
            self.discard(part, slot.chunk);
        }
    }

    /// Sees to it that the granules of an image have memory.
    fn populate(&self, part: &mut Part, chunk: u16, shape: &Shape, place: usize) -> io::Result<()> {
        for arena in 0..N_ARENAS {
            let granules = shape.granules(arena, place);
            let populated = &mut part.populated[arena];
            if granules.is_empty() || granules.end <= *populated {
                continue;
            }
            let end = granules.end.next_multiple_of(STEP).min(CHUNK_GRANULES);
            let start = self.chunk_memory(arena, chunk, *populated);
            // SAFETY: the memory is the window's.
            unsafe { memory::populate(start, (end - *populated) * to_usize(GRANULE)) }?;
            *populated = end;
        }
        Ok(())
    }

    /// Returns the memory of an empty chunk, but for what is kept for the next image.
    fn discard(&self, part: &mut Part, chunk: u16) {
        for arena in 0..N_ARENAS {
            let populated = part.populated[arena];
            if populated <= KEPT {
                continue;
            }
            let start = self.chunk_memory(arena, chunk, KEPT);
            let length = (populated - KEPT) * to_usize(GRANULE);
            // SAFETY: the chunk is empty, so that nobody uses its memory.
            let result = match arena < N_SHARED {
                true => unsafe { memory::discard_shared(start, length) },
                // SAFETY: as above.
                false => unsafe { memory::discard(start, length) },
            };
            match result {
                Ok(()) => part.populated[arena] = KEPT,
                Err(error) => tracing::warn!(%error, length, "madvise"),
            }
        }
    }

    /// Where the loader writes a chunk's granules of an arena, from granule `from` on.
    fn chunk_memory(&self, arena: usize, chunk: u16, from: usize) -> *mut u8 {
        let memory = match arena < N_SHARED {
            true => self.alias,
            false => self.arenas,
        };
        let offset = ARENA_STRIDE * arena as u64 + CHUNK * u64::from(chunk) + GRANULE * from as u64;
        memory.as_ptr().wrapping_add(to_usize(offset))
    }

    /// The address of the code's arena.
    fn code(&self) -> u64 {
        self.arenas.as_ptr().expose_provenance() as u64 + ARENA_STRIDE * TEXT as u64
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        let is_own = self.generation == fork::generation();
        is_own && self.state().chunks.iter().all(|part| part.chunk.is_empty())
    }
}

impl State {
    /// Takes a place in a chunk that is there.
    fn take(&mut self, shape: &Shape, density: usize) -> Option<(u16, usize)> {
        let open = &mut self.open[density];
        let tried = open.len().saturating_sub(TRIES)..open.len();
        for position in tried.rev() {
            let number = open[position];
            let part = &mut self.chunks[usize::from(number)];
            if let Some(place) = part.chunk.take(shape) {
                return Some((number, place));
            }
            if shape.largest() <= SMALL {
                part.is_full = true;
                open.swap_remove(position);
            }
        }
        None
    }

    /// Takes a place in a new chunk of the window with this code.
    fn take_in_new(&mut self, code: u64, shape: &Shape, density: usize) -> Option<(u16, usize)> {
        let number = u16::try_from(self.chunks.len()).ok()?;
        if usize::from(number) == N_CHUNKS {
            return None;
        }
        let mut chunk = Chunk::new();
        let place = chunk.take(shape)?;
        let code = code + CHUNK * u64::from(number);
        let lines = self.index.add(code..code + CHUNK, DENSITIES[density])?;
        self.chunks.push(Part {
            chunk,
            lines,
            density,
            populated: [0; N_ARENAS],
            is_full: false,
        });
        self.open[density].push(number);
        Some((number, place))
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let size = to_usize(ARENA_STRIDE) * N_SHARED;
        // SAFETY: no slot is left, as each holds the window.
        if let Err(error) = unsafe { memory::release(self.alias.as_ptr(), size) } {
            tracing::warn!(%error, "munmap");
        }
    }
}

/// Where the arenas start of a window whose table is at this address. Chunks are aligned to their size.
fn arenas_from(index: u64) -> u64 {
    (index + INDEX_SIZE as u64).next_multiple_of(CHUNK)
}

/// What the host takes a window for: a shared object with records for no code, and room.
fn shared_object(machine: Machine) -> Vec<u8> {
    let page = machine.max_page_size();
    let room = INDEX_SIZE as u64 + CHUNK + ARENA_STRIDE * N_ARENAS as u64;
    let contents = [&[0; STRINGS_SIZE + SYMBOLS_SIZE][..], &NO_RECORDS].concat();
    let file_size = CONTENTS + contents.len() as u64;
    let index = page + UnwindIndex::header_start() as u64;
    let header = |kind, flags, start, file_size, memory_size, align| Header {
        kind,
        flags,
        start,
        file_size,
        memory_size,
        align,
    };
    let headers = [
        header(
            host_object::PT_LOAD,
            host_object::READ_WRITE,
            0,
            file_size,
            file_size,
            page,
        ),
        // Nothing may be done with it until it is given memory.
        header(host_object::PT_LOAD, 0, page, 0, room, page),
        header(
            host_object::PT_GNU_EH_FRAME,
            host_object::READ,
            index,
            0,
            INDEX_SIZE as u64 - UnwindIndex::header_start() as u64,
            4,
        ),
    ];
    let dynamic = [
        (5, CONTENTS + SYMBOLS_SIZE as u64), // DT_STRTAB
        (6, CONTENTS),                       // DT_SYMTAB
        (10, 1),                             // DT_STRSZ
        (11, 24),                            // DT_SYMENT
    ];
    host_object::file(machine, &headers, &dynamic, &contents)
}

const CONTENTS: u64 = host_object::contents_start(3, 4);
const SYMBOLS_SIZE: usize = 24;
const STRINGS_SIZE: usize = 8;
const RECORDS: u64 = CONTENTS + (SYMBOLS_SIZE + STRINGS_SIZE) as u64;
const NO_RECORD: u64 = RECORDS + 20;
const RECORDS_END: u64 = NO_RECORD + 20;

/// Unwind records (LSB Core 5.0, "The .eh_frame section"): one for no code, as table entries have it
/// that stand for nothing.
const NO_RECORDS: [u8; 44] = [
    16, 0, 0, 0, 0, 0, 0, 0, // a CIE
    1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b, // augmentation, factors, return address, encoding
    0, 0, 0, //                                nothing
    16, 0, 0, 0, 24, 0, 0, 0, // an FDE of that CIE
    0, 0, 0, 0, 0, 0, 0, 0, // no bytes of code
    0, 0, 0, 0, //             nothing
    0, 0, 0, 0, // the end
];

/// The unwind table of the window whose object has this bias.
///
/// # Safety
///
/// As [`UnwindIndex::new`], for the memory at `start`.
unsafe fn index(start: u64, bias: u64) -> UnwindIndex {
    let memory = NonNull::new(pointer(start)).expect("the object is not at null");
    let memory = NonNull::slice_from_raw_parts(memory, INDEX_SIZE);
    // SAFETY: the caller's contract; the object is smaller than 2 GiB.
    unsafe { UnwindIndex::new(memory, bias + NO_RECORD, bias + RECORDS_END) }
}

fn pointer(address: u64) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(to_usize(address))
}

/// Lossless: the loader runs where an address has 64 bits.
fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
