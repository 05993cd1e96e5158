//! One window: its memory, and what the system is asked to do with it.

use std::io;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farcall_arch::Machine;
use farcall_image::ARENA_STRIDE;

use super::host::{self, INDEX_SIZE};
use super::probe;
use super::space::{self, CHUNK, GRANULE, N_ARENAS};
use super::state::{self, Extent, Site, State};
use super::{MAPPED, Request, Slot, TEXT, is_mapped, pointer, to_usize};
use crate::fork;
use crate::source::Source;
use crate::sys::code;
use crate::sys::host::{HostError, UnwoundSpace};
use crate::sys::memory::{self, Protection};

/// The arenas whose memory is the window's file: the first ones.
const N_SHARED: usize = 3;

/// Memory is taken from the system in steps of this many bytes, or of a page if that is more.
const STEP: u64 = 1 << 14;
/// Zeroes that are written where there was an image; more of them come from the system.
pub(super) const FEW_ZEROES: u64 = 1 << 16;

#[derive(Debug)]
pub(super) struct Window {
    /// Where the first arena is.
    arenas: NonNull<u8>,
    /// Where the file is mapped writable.
    alias: NonNull<u8>,
    /// The process that allocates here.
    pub(super) generation: u32,
    /// Locked after the lock of all windows, if that is.
    state: Mutex<State>,
    /// The file, and what tells it from others: programs close files that they do not know.
    file: ManuallyDrop<OwnedFd>,
    identity: (u64, u64),
    /// Whether new code is seen only in new mappings.
    maps_code_again: bool,
    /// Keeps the addresses, and tells the host of them.
    #[expect(dead_code, reason = "held open")]
    space: UnwoundSpace,
}

// SAFETY: the memory belongs to no thread; who may touch which part is said by `Slot` and the lock.
unsafe impl Send for Window {}
// SAFETY: as above.
unsafe impl Sync for Window {}

/// Why there is no window.
#[derive(Debug)]
#[expect(dead_code, reason = "for people who read logs")]
pub(super) enum WindowError {
    Space(HostError),
    System(&'static str, io::Error),
}

impl Window {
    pub(super) fn new(machine: Machine) -> Result<Self, WindowError> {
        let system = |call| move |error| WindowError::System(call, error);
        let space = host::space(machine).map_err(WindowError::Space)?;
        let start = space.room().map_err(WindowError::Space)?;
        let records = space.contents().map_err(WindowError::Space)?;
        let arenas = host::arenas_from(start);
        let stride = to_usize(ARENA_STRIDE);

        // SAFETY: the space has these addresses, and nobody uses them.
        unsafe { memory::protect(pointer(start), INDEX_SIZE, Protection::ReadWrite) }
            .map_err(system("mprotect"))?;
        let size = ARENA_STRIDE * N_SHARED as u64;
        let file =
            memory::memory_file(c"farcall-code", true, size).map_err(system("memfd_create"))?;
        let identity = memory::identity(&file).map_err(system("fstat"))?;
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
        let mut window = Self {
            arenas: NonNull::new(pointer(arenas)).expect("no space is at null"),
            alias,
            generation: fork::generation(),
            // SAFETY: the memory is this table's, was made writable, and goes with the space.
            state: Mutex::new(State::new(unsafe { host::index(start, records) })),
            file: ManuallyDrop::new(file),
            identity,
            maps_code_again: false,
            space,
        };
        // SAFETY: nobody uses the addresses.
        unsafe {
            memory::map_shared(
                alias.as_ptr(),
                to_usize(size),
                Protection::ReadWrite,
                &*window.file,
                0,
            )
        }
        .map_err(system("mmap"))?;
        // SAFETY: a child does not allocate in this window.
        unsafe { memory::keep_from_children(alias.as_ptr(), to_usize(size)) }
            .map_err(system("madvise"))?;
        let code = pointer(window.code());
        // SAFETY: they are the arena of code, in which there is no image yet.
        let is_seen = unsafe { probe::runs_what_is_written(window.writable(TEXT, 0), code) };
        window.maps_code_again = !is_seen;
        Ok(window)
    }

    /// Whether code must be published: a load is not to ask where it is for nothing.
    pub(super) fn publishes_code(&self) -> bool {
        code::IS_PUBLISHED || self.maps_code_again
    }

    /// Makes what has been written at these offsets of the arena of code the code that runs there.
    pub(super) fn publish_code(&self, bytes: &Range<u64>) -> io::Result<()> {
        let written = self.writable(TEXT, bytes.start);
        let executed = pointer(self.address(TEXT, bytes.start));
        // SAFETY: the window has both mappings of the arena, and both are readable.
        unsafe { code::publish(written, executed, to_usize(bytes.end - bytes.start)) };
        if !self.maps_code_again {
            return Ok(());
        }
        if !self.has_file() {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        let pages = state::pages(bytes);
        let address = pointer(self.address(TEXT, pages.start));
        let length = to_usize(pages.end - pages.start);
        let offset = ARENA_STRIDE * TEXT as u64 + pages.start;
        // SAFETY: the pages stay what they are, also for those who run other code of them.
        unsafe {
            memory::map_shared(
                address,
                length,
                Protection::ReadExecute,
                &*self.file,
                offset,
            )
        }
    }

    pub(super) fn take(self: &Arc<Self>, request: &Request<'_>) -> Option<Slot> {
        let Some((shape, density)) = &request.small else {
            let extent = self.state().extent_for(request, self.code())?;
            return self.take_extent(request, extent);
        };
        let mut state = self.state();
        let (index, place) = state.take(shape, *density, self.code())?;
        let part = &mut state.chunks[usize::from(index)];
        let start = CHUNK * u64::from(part.number);
        for arena in 0..N_ARENAS {
            let end = shape.granules(arena, place).end as u64 * GRANULE;
            let populated = part.populated[arena];
            if shape.is_in(arena) && end > populated {
                let end = end.next_multiple_of(STEP.max(page_size())).min(CHUNK);
                if let Err(error) = self.populate(arena, start + populated..start + end) {
                    tracing::debug!(%error, "no memory for a window");
                    part.chunk.give_back(shape, place);
                    return None;
                }
                // What was written before is not written again, mostly.
                self.forget_alias(arena, start..start + populated);
                part.populated[arena] = end;
            }
        }
        state.n_images += 1;
        Some(Slot {
            window: Arc::clone(self),
            bias: self.address(0, shape.bias(start, place)),
            site: Site::Chunk {
                index,
                place,
                shape: *shape,
            },
            forks: fork::count(),
            is_used: true,
            has_source: false,
        })
    }

    /// Takes a free extent for an image, if it is large enough.
    pub(super) fn take_extent(self: &Arc<Self>, request: &Request<'_>, index: u16) -> Option<Slot> {
        let mut state = self.state();
        let extent = &mut state.extents[usize::from(index)];
        let (n_chunks, bias) = space::extent(&request.parts, request.align)?;
        if !extent.fits(n_chunks, request.n_functions) {
            return None;
        }
        let start = CHUNK * u64::from(extent.first);
        let bias = start.wrapping_add(bias);
        if request.zeroes() > FEW_ZEROES {
            self.discard_extent(extent);
        }
        // Also when the system did not take the memory back, as it does not where memory is locked.
        let is_used = extent.has_memory();
        for (arena, part) in request.parts.iter().enumerate() {
            let bytes = bias.wrapping_add(part.start)..bias.wrapping_add(part.end);
            let file = &request.file[arena];
            let result = match request.source.filter(|_| is_mapped(arena)) {
                Some(source) => self.map(extent, arena, &bytes, source, file.start),
                None => {
                    let end = bytes.start + (file.end - file.start);
                    let result = self.populate_extent(extent, arena, bytes.start..end);
                    extent.touch(arena, bytes);
                    result
                }
            };
            if let Err(error) = result {
                tracing::debug!(%error, "no memory for a window");
                self.restore(extent);
                self.discard_extent(extent);
                return None;
            }
        }
        extent.is_free = false;
        extent.digest = request.digest;
        extent.zeroes = request.zeroes();
        state.n_images += 1;
        Some(Slot {
            window: Arc::clone(self),
            bias: self.address(0, bias),
            site: Site::Extent(index),
            forks: fork::count(),
            is_used,
            has_source: request.source.is_some(),
        })
    }

    /// Takes a small image out; its place can be used `again` or is lost.
    pub(super) fn give_back(&self, site: &Site, again: bool) {
        let mut state = self.state();
        state.forget_functions(site, self.code());
        if !again {
            return;
        }
        if let Some(part) = state.give_back(site) {
            let start = CHUNK * u64::from(part.number);
            // So that an image that comes and goes costs no system call.
            let kept = page_size();
            for (arena, populated) in part.populated.iter_mut().enumerate() {
                if *populated > kept && self.discard(arena, start + kept..start + *populated) {
                    *populated = kept;
                }
            }
        }
    }

    /// Maps an image's bytes from `offset` on into an extent. They are in the same place of a page there.
    fn map(
        &self,
        extent: &mut Extent,
        arena: usize,
        bytes: &Range<u64>,
        source: Source<'_>,
        offset: u64,
    ) -> io::Result<()> {
        let found = MAPPED.iter().find(|(each, _)| *each == arena);
        let Some(&(_, protection)) = found.filter(|_| !bytes.is_empty()) else {
            return Ok(());
        };
        let pages = state::pages(bytes);
        let address = pointer(self.address(arena, pages.start));
        let length = to_usize(pages.end - pages.start);
        let offset = source.offset + offset - (bytes.start - pages.start);
        // Before the call: one that fails may have taken out what was there.
        extent.mapped[arena] = pages;
        // SAFETY: the pages are a free extent's. That the file stays as it is is for who gave it to say.
        unsafe { memory::map_private(address, length, protection, source.file, offset) }
    }

    /// Gives an extent's pages back to the window's file that another one was mapped into.
    pub(super) fn restore(&self, extent: &mut Extent) {
        for (arena, protection) in MAPPED {
            let pages = std::mem::replace(&mut extent.mapped[arena], 0..0);
            if pages.is_empty() {
                continue;
            }
            let address = pointer(self.address(arena, pages.start));
            let length = to_usize(pages.end - pages.start);
            let offset = ARENA_STRIDE * arena as u64 + pages.start;
            let mapped = self.has_file().then(|| {
                // SAFETY: no image has the pages.
                unsafe { memory::map_shared(address, length, protection, &*self.file, offset) }
            });
            if !matches!(mapped, Some(Ok(()))) {
                // The file was closed by someone who did not know it: what was there is given back, and
                // nobody gets the extent again.
                extent.is_lost = true;
                // SAFETY: no image has the pages.
                let result = unsafe { memory::map_nothing(address, length) };
                tracing::warn!(?result, length, "a window's file is gone");
            }
        }
    }

    /// Whether the file's number is the file's still.
    fn has_file(&self) -> bool {
        memory::identity(&*self.file).is_ok_and(|identity| identity == self.identity)
    }

    /// Sees to it that bytes of an extent have memory.
    fn populate_extent(&self, extent: &Extent, arena: usize, bytes: Range<u64>) -> io::Result<()> {
        let pages = state::pages(&bytes);
        let has = &extent.memory[arena];
        if bytes.is_empty() || (has.start <= pages.start && pages.end <= has.end) {
            return Ok(());
        }
        self.populate(arena, pages)
    }

    /// Returns the memory of an extent without an image.
    pub(super) fn discard_extent(&self, extent: &mut Extent) {
        for arena in 0..N_ARENAS {
            let bytes = extent.memory[arena].clone();
            if !bytes.is_empty() && self.discard(arena, bytes) {
                extent.memory[arena] = 0..0;
            }
        }
    }

    /// Sees to it that bytes of an arena have memory, at their pages.
    fn populate(&self, arena: usize, bytes: Range<u64>) -> io::Result<()> {
        let length = to_usize(bytes.end - bytes.start);
        // SAFETY: the memory is the window's.
        unsafe { memory::populate(self.writable(arena, bytes.start), length) }
    }

    /// Takes pages out of where the loader writes, where they count a second time.
    fn forget_alias(&self, arena: usize, bytes: Range<u64>) {
        if arena < N_SHARED && !bytes.is_empty() {
            let length = to_usize(bytes.end - bytes.start);
            // SAFETY: the pages are the window's, and a file keeps what they hold.
            let result = unsafe { memory::discard(self.writable(arena, bytes.start), length) };
            if let Err(error) = result {
                tracing::warn!(%error, length, "madvise");
            }
        }
    }

    /// Returns the memory of an arena's pages, which no image has; gives whether that worked.
    fn discard(&self, arena: usize, bytes: Range<u64>) -> bool {
        let start = self.writable(arena, bytes.start);
        let length = to_usize(bytes.end - bytes.start);
        let result = match arena < N_SHARED {
            // SAFETY: no image has the pages, so that nobody uses them.
            true => unsafe { memory::discard_shared(start, length) },
            // SAFETY: as above.
            false => unsafe { memory::discard(start, length) },
        };
        if let Err(error) = &result {
            tracing::warn!(%error, length, "madvise");
        }
        result.is_ok()
    }

    /// Where the loader writes what is at this offset of an arena.
    pub(super) fn writable(&self, arena: usize, offset: u64) -> *mut u8 {
        let memory = match arena < N_SHARED {
            true => self.alias,
            false => self.arenas,
        };
        let offset = ARENA_STRIDE * arena as u64 + offset;
        memory.as_ptr().wrapping_add(to_usize(offset))
    }

    /// The address of this offset of an arena, wrapping.
    pub(super) fn address(&self, arena: usize, offset: u64) -> u64 {
        let arenas = self.arenas.as_ptr().expose_provenance() as u64;
        arenas
            .wrapping_add(ARENA_STRIDE * arena as u64)
            .wrapping_add(offset)
    }

    /// The address of the code's arena.
    pub(super) fn code(&self) -> u64 {
        self.address(TEXT, 0)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.generation == fork::generation() && self.state().n_images == 0
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if self.has_file() {
            // SAFETY: dropped here only.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
        let size = to_usize(ARENA_STRIDE) * N_SHARED;
        // SAFETY: no slot is left, as each holds the window.
        if let Err(error) = unsafe { memory::release(self.alias.as_ptr(), size) } {
            tracing::warn!(%error, "munmap");
        }
    }
}

/// The size of a page in bytes, of which a chunk is a multiple.
fn page_size() -> u64 {
    memory::page_size() as u64
}
