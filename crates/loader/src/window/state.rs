//! Which parts of a window have which images.

use std::ops::Range;

use farcall_image::{ARENA_STRIDE, Digest};

use super::space::{self, CHUNK, Chunk, GRANULE, N_ARENAS, Shape};
use super::unwind_index::{self, Entries, Lines, UnwindIndex};
use super::{Request, TEXT};
use crate::sys::memory::page_size;

/// How many functions may start in a line of a chunk. Most code has one in 16 bytes at the most;
/// where an instruction has four, there may be 16.
const DENSITIES: [usize; 2] = [4, 16];

const N_CHUNKS: u64 = ARENA_STRIDE / CHUNK;

/// How many chunks are tried before there is a new one.
const TRIES: usize = 8;
/// An image of no more granules that finds no place says that a chunk is full.
const SMALL: usize = 16;

/// Where in a window an image is.
#[derive(Debug)]
pub(super) enum Site {
    /// With others, in the chunk of this index.
    Chunk {
        index: u16,
        place: u16,
        shape: Shape,
    },
    /// In the extent of this index.
    Extent(u16),
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) chunks: Vec<Part>,
    pub(super) extents: Vec<Extent>,
    /// How many chunks of the arenas these take.
    n_taken: u64,
    /// How many images there are.
    pub(super) n_images: usize,
    /// For each density the chunks that are not full, the last one to be used at the end.
    open: [Vec<u16>; DENSITIES.len()],
    index: UnwindIndex,
}

/// A chunk that images share, and the memory that it has.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) chunk: Chunk,
    /// Which chunk of the arenas it is.
    pub(super) number: u16,
    /// For each arena the bytes, from the start on, that have memory.
    pub(super) populated: [u64; N_ARENAS],
    lines: Lines,
    /// The index in [`DENSITIES`].
    density: usize,
    /// Whether it is not among the open ones, because a small image did not fit.
    is_full: bool,
}

/// Chunks for one large image at a time.
#[derive(Debug)]
pub(super) struct Extent {
    /// Which chunk of the arenas is the first.
    pub(super) first: u16,
    pub(super) is_free: bool,
    /// Whether its memory is gone for ever.
    pub(super) is_lost: bool,
    /// Of the image that is there, or was.
    pub(super) digest: Digest,
    /// How many bytes of it were not in its file.
    pub(super) zeroes: u64,
    /// The offsets in each arena that may have memory, in whole pages.
    pub(super) memory: [Range<u64>; N_ARENAS],
    /// The offsets in each arena into which a file is mapped.
    pub(super) mapped: [Range<u64>; N_ARENAS],
    n_chunks: u64,
    entries: Entries,
}

/// The index of the density for functions at these addresses, in order; `None` when there are too many
/// in one line.
pub(super) fn density(functions: impl Iterator<Item = u64>) -> Option<usize> {
    let largest = unwind_index::largest_line(functions);
    DENSITIES.iter().position(|&density| largest <= density)
}

/// The whole pages that cover `bytes`.
pub(super) fn pages(bytes: &Range<u64>) -> Range<u64> {
    let page = page_size() as u64;
    bytes.start / page * page..bytes.end.next_multiple_of(page)
}

impl Extent {
    /// Whether an image can be put here.
    pub(super) fn fits(&self, n_chunks: u64, n_functions: usize) -> bool {
        let is_there = self.is_free && !self.is_lost;
        is_there && n_chunks <= self.n_chunks && n_functions <= self.entries.count
    }

    /// Bytes of all arenas that may have memory.
    pub(super) fn size(&self) -> u64 {
        self.memory
            .iter()
            .map(|bytes| bytes.end - bytes.start)
            .sum()
    }

    pub(super) fn has_memory(&self) -> bool {
        self.size() != 0
    }

    /// Notes that bytes of an arena are about to be written.
    pub(super) fn touch(&mut self, arena: usize, bytes: Range<u64>) {
        if bytes.is_empty() {
            return;
        }
        let pages = pages(&bytes);
        let memory = &mut self.memory[arena];
        *memory = match memory.is_empty() {
            true => pages,
            false => memory.start.min(pages.start)..memory.end.max(pages.end),
        };
    }
}

impl State {
    pub(super) fn new(index: UnwindIndex) -> Self {
        Self {
            chunks: Vec::new(),
            extents: Vec::new(),
            n_taken: 0,
            n_images: 0,
            open: [const { Vec::new() }; DENSITIES.len()],
            index,
        }
    }

    /// The offsets in an arena that an image has, half-open.
    pub(super) fn range(&self, site: &Site, arena: usize) -> Range<u64> {
        match site {
            Site::Chunk {
                index,
                place,
                shape,
            } => {
                let start = CHUNK * u64::from(self.chunks[usize::from(*index)].number);
                let granules = shape.granules(arena, *place);
                start + GRANULE * granules.start as u64..start + GRANULE * granules.end as u64
            }
            Site::Extent(index) => {
                let extent = &self.extents[usize::from(*index)];
                let start = CHUNK * u64::from(extent.first);
                start..start + CHUNK * extent.n_chunks
            }
        }
    }

    /// Takes a place in a chunk, a new one if need be. `code` is the address of the arena of code.
    pub(super) fn take(&mut self, shape: &Shape, density: usize, code: u64) -> Option<(u16, u16)> {
        let open = &mut self.open[density];
        for _ in 0..TRIES.min(open.len()) {
            let index = *open.last()?;
            let part = &mut self.chunks[usize::from(index)];
            if let Some(place) = part.chunk.take(shape) {
                return Some((index, place));
            }
            open.pop();
            if shape.largest() <= SMALL {
                part.is_full = true;
            } else {
                // It has room for others, but is not what the next large one meets first.
                open.insert(0, index);
            }
        }
        let mut chunk = Chunk::new();
        let place = chunk.take(shape)?;
        let number = self.next(1)?;
        let code = code + CHUNK * u64::from(number);
        let lines = self
            .index
            .add_lines(code..code + CHUNK, DENSITIES[density])?;
        self.n_taken += 1;
        let index = u16::try_from(self.chunks.len()).ok()?;
        self.open[density].push(index);
        self.chunks.push(Part {
            chunk,
            number,
            populated: [0; N_ARENAS],
            lines,
            density,
            is_full: false,
        });
        Some((index, place))
    }

    /// The number of the next chunk, if there are so many.
    fn next(&self, count: u64) -> Option<u16> {
        let end = self.n_taken.checked_add(count)?;
        (end <= N_CHUNKS).then(|| u16::try_from(self.n_taken).ok())?
    }

    /// Gives the place of a small image back; gives its chunk if that is empty now.
    pub(super) fn give_back(&mut self, site: &Site) -> Option<&mut Part> {
        let Site::Chunk {
            index,
            place,
            shape,
        } = site
        else {
            return None;
        };
        let part = &mut self.chunks[usize::from(*index)];
        part.chunk.give_back(shape, *place);
        self.n_images -= 1;
        let open = &mut self.open[part.density];
        if std::mem::take(&mut part.is_full) {
            open.push(*index);
        }
        if !part.chunk.is_empty() {
            return None;
        }
        // What is empty is tried first, because only a few are.
        if let Some(position) = open.iter().position(|other| other == index) {
            open[position..].rotate_left(1);
        }
        Some(part)
    }

    /// A free extent for an image, a new one if need be. `code` is the address of the arena of code.
    pub(super) fn extent_for(&mut self, request: &Request<'_>, code: u64) -> Option<u16> {
        let (n_chunks, _) = space::extent(&request.parts, request.align)?;
        // Not one that is much too large: a larger image may come.
        let fits = |extent: &Extent| {
            extent.fits(n_chunks, request.n_functions) && extent.n_chunks / 2 <= n_chunks
        };
        if let Some(found) = self.extents.iter().position(fits) {
            return u16::try_from(found).ok();
        }
        let first = self.next(n_chunks)?;
        let index = u16::try_from(self.extents.len()).ok()?;
        let code = code + CHUNK * u64::from(first);
        // Room for another one that is alike.
        let count = request.n_functions + request.n_functions / 4 + 16;
        let entries = self.index.add_entries(code, count)?;
        self.n_taken += n_chunks;
        self.extents.push(Extent {
            first,
            is_free: true,
            is_lost: false,
            digest: request.digest,
            zeroes: 0,
            memory: [const { 0..0 }; N_ARENAS],
            mapped: [const { 0..0 }; N_ARENAS],
            n_chunks,
            entries,
        });
        Some(index)
    }

    /// Names the functions of an image, pairs of a function and its record.
    pub(super) fn name_functions(
        &self,
        site: &Site,
        code: u64,
        functions: impl Iterator<Item = (u64, u64)>,
    ) {
        let own = self.range(site, TEXT);
        let own = code + own.start..code + own.end;
        match site {
            Site::Chunk { index, .. } => {
                let lines = &self.chunks[usize::from(*index)].lines;
                self.index.fill(lines, own, functions);
            }
            Site::Extent(index) => {
                let entries = &self.extents[usize::from(*index)].entries;
                let functions = functions.filter(|(function, _)| own.contains(function));
                self.index.fill_entries(entries, own.start, functions);
            }
        }
    }

    /// Forgets the functions of the image that an extent had.
    pub(super) fn forget_extent(&self, index: u16, code: u64) {
        let own = self.range(&Site::Extent(index), TEXT);
        let entries = &self.extents[usize::from(index)].entries;
        self.index
            .fill_entries(entries, code + own.start, std::iter::empty());
    }

    /// Forgets the functions of a small image. Those of a large one are forgotten when there is another.
    pub(super) fn forget_functions(&self, site: &Site, code: u64) {
        if let Site::Chunk { index, .. } = site {
            let own = self.range(site, TEXT);
            let lines = &self.chunks[usize::from(*index)].lines;
            self.index.clear(lines, code + own.start..code + own.end);
        }
    }
}
