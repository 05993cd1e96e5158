//! Windows: address space in which images share pages.
//!
//! A window has an arena for each kind of segment, at the distance at which packed images have their
//! segments. Constants, code and relocated data are in a file in memory that is mapped twice: where
//! they are used, with their final protection, and once more, writable, where only the loader looks. So
//! an image is loaded with no system call, next to others, and no page is ever writable and
//! executable. Data is private memory.
//!
//! Small images share chunks of the arenas ([`space`]); a large one has chunks of its own, an extent.
//! Constants and code of a large one are mapped from a file where there is one. What has gone is given
//! back to the system, but for a page of each arena, and the extent of a large image that comes again and
//! again: getting memory costs more than filling it.
//!
//! A window's code has one table for the host's unwinder ([`unwind_index`]), which the host knows
//! because it takes the window for a shared object: one registration, however many images there are.
//!
//! Where a system refuses any of this, there are no windows, and each image has memory of its own.

mod address_space;
mod host;
mod probe;
mod space;
mod state;
mod unwind_index;

use std::any::Any;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farcall_image::{ARENA_STRIDE, Digest, Image, PackedSegment};

use self::address_space::{FEW_ZEROES, Window};
use self::space::{CHUNK, N_ARENAS, Parts, Shape};
use self::state::Site;
use crate::fork;
use crate::source::Source;
use crate::sys::memory::{self, Protection};

const TEXT: usize = PackedSegment::Text.arena();
/// The arenas into which a large image's file may be mapped, and what may be done with that.
const MAPPED: [(usize, Protection); 2] = [
    (PackedSegment::ReadOnly.arena(), Protection::Read),
    (TEXT, Protection::ReadExecute),
];

/// A part of more granules is for an image of its own extent.
const LARGEST: usize = space::CHUNK_GRANULES / 2;

/// The largest extent that is kept, in bytes of all arenas.
const KEPT_EXTENT: u64 = 4 << 20;

static WINDOWS: Mutex<Windows> = Mutex::new(Windows {
    all: Vec::new(),
    last_large: None,
    kept: None,
    refused: 0,
});

#[derive(Debug)]
struct Windows {
    /// Those of a process that this one was forked off stay as they are.
    all: Vec<Arc<Window>>,
    /// The large image that was the last one to go.
    last_large: Option<Digest>,
    /// The extent without an image that has its memory still: its window, and which it is there.
    kept: Option<(Arc<Window>, u16)>,
    /// How many images will have pages of their own, because the system refused a window.
    refused: u32,
}

/// So many images make do without a window before the system is asked again for what it refused.
const AFTER_REFUSAL: u32 = 1000;

impl Windows {
    /// Whether the system refused a window lately.
    fn is_refused(&mut self) -> bool {
        let is_refused = self.refused > 0;
        self.refused = self.refused.saturating_sub(1);
        is_refused
    }
}

/// A place for one image, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    window: Arc<Window>,
    bias: u64,
    site: Site,
    /// What [`fork::count`] was.
    forks: u32,
    /// Whether there was another image, whose bytes are there still.
    is_used: bool,
    /// Whether constants and code are mapped from the image's file.
    has_source: bool,
}

/// What is asked for.
#[derive(Debug)]
struct Request<'file> {
    parts: Parts,
    /// Where each part is in the image's file, for the bytes that are there.
    file: [Range<u64>; N_ARENAS],
    /// A file from which constants and code are mapped.
    source: Option<Source<'file>>,
    align: u64,
    /// For an image that can share a chunk, and the index of a density in [`state::DENSITIES`].
    small: Option<(Shape, usize)>,
    n_functions: usize,
    digest: Digest,
}

impl<'file> Request<'file> {
    /// `None` for an image that is not packed.
    fn new(image: &Image<'_>, source: Option<Source<'file>>) -> Option<Self> {
        if !image.is_packed() {
            return None;
        }
        let mut parts: Parts = [const { 0..0 }; N_ARENAS];
        let mut file: Parts = [const { 0..0 }; N_ARENAS];
        for segment in image.segments() {
            let arena = image.packed_segment(segment).arena();
            let start = ARENA_STRIDE * arena as u64;
            // What is mapped is there whole, with its tables.
            let is_mapped = source.is_some() && is_mapped(arena);
            let (memory, bytes) = match is_mapped {
                true => (segment.memory.clone(), segment.file.clone()),
                false => (segment.resident.clone(), segment.resident_file()),
            };
            parts[arena] = memory.start - start..memory.end - start;
            file[arena] = bytes.start as u64..bytes.end as u64;
        }
        let align = image.bias_align();
        let shape = Shape::new(&parts, align).filter(|shape| shape.largest() <= LARGEST);
        let shape = shape.filter(|_| source.is_none());
        let functions = || image.unwind_functions().map(|(function, _)| function);
        let small = shape.and_then(|shape| Some((shape, state::density(functions())?)));
        Some(Self {
            parts,
            file,
            source,
            // Of whole pages, for what is mapped.
            align: align.max(memory::page_size() as u64),
            small,
            n_functions: functions().len(),
            digest: image.digest(),
        })
    }
}

/// Holds the lock of all windows.
pub(crate) fn lock() -> impl Any {
    windows()
}

fn windows() -> MutexGuard<'static, Windows> {
    // A panic under the lock leaves a place taken, no more.
    WINDOWS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a place for an image; `None` when it is not one for windows, or there are none.
///
/// Constants and code are mapped from `source`, if there is one, and are there whole then.
pub(crate) fn take(image: &Image<'_>, source: Option<Source<'_>>) -> Option<Slot> {
    let request = Request::new(image, source)?;
    if let Some(slot) = take_in_any(&request) {
        return Some(slot);
    }
    if windows().is_refused() {
        return None;
    }
    // Not under the lock: the host's dynamic linker has locks of its own, and runs code of others.
    let window = Window::new(image.machine());
    windows().refused = if window.is_err() { AFTER_REFUSAL } else { 0 };
    let window = window.inspect_err(|error| tracing::debug!(?error, "no window"));
    windows().all.push(Arc::new(window.ok()?));
    let slot = take_in_any(&request);
    if slot.is_none() {
        drop_surplus(windows());
    }
    slot
}

/// Whether an image would get a place in a window without one having to be made, or is small enough for
/// that to be worth while.
pub(crate) fn is_worth_while(image: &Image<'_>) -> bool {
    let largest = image
        .segments()
        .iter()
        .map(|segment| segment.memory.end - segment.memory.start);
    largest.max().is_some_and(|largest| largest <= CHUNK) || {
        let windows = windows();
        windows
            .all
            .iter()
            .any(|window| window.generation == fork::generation())
    }
}

/// Notes that an image of no window went, which may be large; gives whether it was the last one that
/// went before too.
pub(crate) fn note_gone(digest: Digest) -> bool {
    windows().last_large.replace(digest) == Some(digest)
}

/// Whether an image with this digest was the last large one that went.
pub(crate) fn comes_again(digest: Digest) -> bool {
    windows().last_large == Some(digest)
}

fn is_mapped(arena: usize) -> bool {
    MAPPED.iter().any(|(each, _)| *each == arena)
}

fn take_in_any(request: &Request<'_>) -> Option<Slot> {
    let mut windows = windows();
    let Windows { all, kept, .. } = &mut *windows;
    let is_own = |window: &&Arc<Window>| window.generation == fork::generation();
    let wants_kept = request.small.is_none() && request.source.is_none();
    let found = kept
        .as_ref()
        .filter(|(window, _)| wants_kept && is_own(&window));
    let slot = found.and_then(|(window, extent)| window.take_extent(request, *extent));
    let slot = slot.or_else(|| {
        let mut all = all.iter().filter(is_own).rev();
        all.find_map(|window| window.take(request))
    })?;
    if let Site::Extent(index) = slot.site {
        // Whoever has an extent, its memory is not for others to take.
        kept.take_if(|(window, kept)| *kept == index && Arc::ptr_eq(window, &slot.window));
    }
    Some(slot)
}

impl Slot {
    /// The load bias.
    pub(crate) fn bias(&self) -> u64 {
        self.bias
    }

    /// Whether there was another image, whose bytes are there still. Else all is zero.
    pub(crate) fn is_used(&self) -> bool {
        self.is_used
    }

    /// Where the loader writes what is at `address` of the image, in the given arena.
    ///
    /// # Panics
    ///
    /// If the address is not the image's in this arena.
    pub(crate) fn writable(&self, segment: PackedSegment, address: u64) -> NonNull<u8> {
        let arena = segment.arena();
        let memory = self.window.writable(arena, self.offset(arena, address));
        NonNull::new(memory).expect("a window is not at null")
    }

    /// Where `address` of the image is in an arena.
    fn offset(&self, arena: usize, address: u64) -> u64 {
        let start = self.window.address(arena, 0);
        let offset = self.bias.wrapping_add(address).wrapping_sub(start);
        let own = self.window.state().range(&self.site, arena);
        assert!(
            own.start <= offset && offset <= own.end,
            "an image is written where it is"
        );
        offset
    }

    /// Makes what has been written at these addresses of the image the code that runs there.
    ///
    /// # Panics
    ///
    /// If they are not the image's in the arena of code.
    pub(crate) fn publish_code(&self, addresses: &Range<u64>) -> io::Result<()> {
        if !self.window.publishes_code() {
            return Ok(());
        }
        let start = self.offset(TEXT, addresses.start);
        let end = self.offset(TEXT, addresses.end);
        self.window.publish_code(&(start..end))
    }

    /// Whether the segment is mapped from the image's file, whole and with its final protection.
    pub(crate) fn is_mapped(&self, segment: PackedSegment) -> bool {
        self.has_source && is_mapped(segment.arena())
    }

    /// Tells the host's unwinder of the image's functions.
    pub(crate) fn name_functions(&self, image: &Image<'_>) {
        let at = |address: u64| self.bias.wrapping_add(address);
        let functions = image.unwind_functions();
        let functions = functions.map(|(function, record)| (at(function), at(record)));
        let _windows = windows();
        let state = self.window.state();
        state.name_functions(&self.site, self.window.code(), functions);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // A window that was inherited is left as it is: its memory is another process's too.
        if self.window.generation != fork::generation() {
            return;
        }
        let mut windows = windows();
        // A child may run the image still.
        let again = self.forks == fork::count();
        match self.site {
            Site::Chunk { .. } => self.window.give_back(&self.site, again),
            Site::Extent(extent) => give_back_extent(&mut windows, &self.window, extent, again),
        }
        drop_surplus(windows);
    }
}

/// Gives an extent back. An image that is the last one that went again is one that will come again: its
/// memory is kept.
fn give_back_extent(windows: &mut Windows, window: &Arc<Window>, index: u16, again: bool) {
    let mut state = window.state();
    let extent = &mut state.extents[usize::from(index)];
    window.restore(extent);
    if extent.is_lost {
        // Its records may be in no memory any more.
        state.forget_extent(index, window.code());
        return;
    }
    if !again {
        return;
    }
    extent.is_free = true;
    state.n_images -= 1;
    let extent = &mut state.extents[usize::from(index)];
    let is_kept = windows.last_large == Some(extent.digest)
        && extent.size() <= KEPT_EXTENT
        && extent.zeroes <= FEW_ZEROES;
    windows.last_large = Some(extent.digest);
    if !is_kept {
        window.discard_extent(extent);
        return;
    }
    drop(state);
    if let Some((other, index)) = windows.kept.replace((Arc::clone(window), index))
        && other.generation == fork::generation()
    {
        let mut state = other.state();
        let extent = &mut state.extents[usize::from(index)];
        assert!(extent.is_free, "what is kept has no image");
        other.discard_extent(extent);
    }
}

/// Drops a window that is empty while another is too.
fn drop_surplus(mut windows: MutexGuard<'_, Windows>) {
    if windows.all.len() < 2 {
        return;
    }
    let mut empty = (windows.all.iter().enumerate()).filter(|(_, window)| window.is_empty());
    if let (Some(_), Some((second, _))) = (empty.next(), empty.next()) {
        drop(empty);
        let surplus = windows.all.swap_remove(second);
        let is_surplus = |(window, _): &mut (Arc<Window>, u16)| Arc::ptr_eq(window, &surplus);
        let kept = windows.kept.take_if(is_surplus);
        // Not under the lock: the host's dynamic linker has locks of its own.
        drop(windows);
        drop((surplus, kept));
    }
}

impl Request<'_> {
    /// The bytes that are not in the image's file.
    fn zeroes(&self) -> u64 {
        let parts = self.parts.iter().zip(&self.file);
        let zeroes = |(part, file): (&Range<u64>, &Range<u64>)| {
            (part.end - part.start) - (file.end - file.start)
        };
        parts.map(zeroes).sum()
    }
}

fn pointer(address: u64) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(to_usize(address))
}

/// Lossless: the loader runs where an address has 64 bits.
fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
