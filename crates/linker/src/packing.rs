//! Whether an image is packed: its segments at one distance, so that a loader can put those of many images
//! into shared pages. See `farcall_image`.

use farcall_image::{ARENA_STRIDE, Machine, PackedSegment};

use crate::output::{OutputSection, SegmentKind};
use crate::resolve::{Definition, Resolved};
use crate::scan::Scanned;

/// The largest distance between two places of a packed image, in bytes.
pub(crate) const REACH: u64 = ARENA_STRIDE * PackedSegment::ALL.len() as u64;

/// Where the segment starts in a packed image, but for its place in its page.
pub(crate) fn start(kind: SegmentKind) -> u64 {
    let segment = match kind {
        SegmentKind::ReadOnly => PackedSegment::ReadOnly,
        SegmentKind::Text => PackedSegment::Text,
        SegmentKind::Relro => PackedSegment::Relro,
        SegmentKind::Data => PackedSegment::Data,
    };
    ARENA_STRIDE * segment.arena() as u64
}

/// The alignment of a segment of a packed image whose sections have this alignment. A page says nothing about
/// the sections, so that those that want more than any load bias has get more than a page.
pub(crate) fn segment_align(machine: Machine, align: u64) -> u64 {
    let page = machine.max_page_size();
    if align <= machine.bias_unit() {
        page
    } else {
        align.max(2 * page)
    }
}

/// Whether an image with these sections is packed. Their addresses are offsets in their segments.
pub(crate) fn is_packed(
    resolved: &Resolved<'_>,
    scanned: &Scanned,
    sections: &[OutputSection<'_>],
) -> bool {
    // The zeroes that follow its bytes cannot be told from the padding of its last page.
    let is_relro_zeroed = |section: &OutputSection<'_>| {
        section.segment == SegmentKind::Relro && section.takes_addresses() && section.is_nobits()
    };
    let is_for_loading = |global: &Definition| matches!(global, Definition::Linker(symbol) if symbol.is_for_loading());
    let mut sizes = [0_u64; SegmentKind::ALL.len()];
    for section in sections {
        let size = &mut sizes[section.segment as usize];
        // No less than what the section takes, wherever it comes to stand.
        *size = size
            .saturating_add(section.size)
            .saturating_add(section.align);
    }
    let page = resolved.machine.max_page_size();
    // The headers, what stands before a segment up to its alignment, and its last page.
    let slack = 2 * page + MAX_ALIGN.max(2 * page) + page;
    !scanned.needs_near_segments
        && !sections.iter().any(is_relro_zeroed)
        && !resolved
            .globals
            .iter()
            .any(|global| is_for_loading(&global.definition))
        && sizes.iter().all(|&size| size < ARENA_STRIDE - slack)
        && sections.iter().all(|section| section.align <= MAX_ALIGN)
}

/// What is aligned more would leave much of the arenas empty.
const MAX_ALIGN: u64 = 1 << 16;
