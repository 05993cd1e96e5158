//! Images that can stand side by side in shared pages.
//!
//! Most images are much smaller than a page, and an image whose segments follow each other takes a
//! page for each of them, because pages are protected whole. So the linker puts the segments of an
//! image at one distance, [`ARENA_STRIDE`], and whoever loads many of them has an arena for each kind
//! of segment at that distance, in which the segments of many images share pages.
//!
//! What only loading needs is not in memory then: the tables at the start of the first segment, and
//! the dynamic table and the padding at the end of the relro one. An image whose code refers to these
//! is not packed: its segments follow each other.

use std::ops::Range;

use farcall_arch::Machine;

use crate::image::Segment;

/// The distance in bytes between the arenas of a packed image's segments, one for each of
/// [`PackedSegment::ALL`]: 16 MiB.
///
/// Small enough that four of them are within the reach of a branch on every machine, large enough for
/// nearly every image.
pub const ARENA_STRIDE: u64 = 1 << 24;

/// The segments of a packed image, in the order of their addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackedSegment {
    /// Tables and constants.
    ReadOnly,
    /// Code.
    Text,
    /// Data that is read-only once relocated.
    Relro,
    /// Data.
    Data,
}

impl PackedSegment {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::ReadOnly, Self::Text, Self::Relro, Self::Data];

    /// Which one a segment is.
    pub(crate) fn of(segment: &Segment, relro: &Range<u64>) -> Self {
        match (segment.executable, segment.writable) {
            (true, _) => Self::Text,
            (false, false) => Self::ReadOnly,
            (false, true) if relro.contains(&segment.memory.start) => Self::Relro,
            (false, true) => Self::Data,
        }
    }

    /// The index of its arena.
    #[must_use]
    pub const fn arena(self) -> usize {
        self as usize
    }
}

/// Whether segments stand as those of a packed image do: each within its own arena, with its last
/// page.
pub(crate) fn is_packed(machine: Machine, segments: &[Segment], relro: &Range<u64>) -> bool {
    let mut next = 0;
    segments.iter().all(|segment| {
        let arena = PackedSegment::of(segment, relro).arena();
        let start = ARENA_STRIDE * arena as u64;
        let end = start + ARENA_STRIDE - machine.max_page_size();
        let is_next = arena >= next;
        next = arena + 1;
        // Relro data is mapped read-only whole.
        let is_whole = arena != PackedSegment::Relro.arena() || segment.memory.end <= relro.end;
        is_next && is_whole && start <= segment.memory.start && segment.memory.end <= end
    })
}

/// Takes what only loading needs out of what a packed image's segments have to have in memory.
pub(crate) fn leave_out_tables(
    segments: &mut [Segment],
    relro: &Range<u64>,
    tables_end: u64,
    dynamic_table: &Range<u64>,
) {
    for segment in segments {
        let kind = PackedSegment::of(segment, relro);
        let resident = &mut segment.resident;
        match kind {
            PackedSegment::ReadOnly => resident.start = tables_end.min(resident.end),
            PackedSegment::Relro => {
                resident.end = resident.start + segment.file.len() as u64;
                if dynamic_table.end == resident.end && dynamic_table.start >= resident.start {
                    resident.end = dynamic_table.start;
                }
            }
            PackedSegment::Text | PackedSegment::Data => {}
        }
    }
}
