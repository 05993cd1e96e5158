//! Thunks: code through which branches go that do not reach their destination.
//!
//! Only code that is longer than a branch reaches has any. It is cut into groups of whole input
//! sections, each shorter than the reach, with islands of thunks before and after each group: so a branch
//! reaches both, and in a section that is longer than the reach it reaches one. Islands take room, which may
//! put other destinations out of reach, so this goes on until nothing changes; islands only grow, so it ends.

use std::collections::HashMap;

use farcall_arch::{Expression, Range, Thunk};
use foldhash::fast::FixedState;
use object::endian::LittleEndian as LE;

use crate::error::Result;
use crate::layout::give_offsets;
use crate::output::{Content, OutputSection, Piece, SegmentKind, Synthetic};
use crate::resolve::{Resolved, Target};
use crate::scan::Scanned;
use crate::synthetic::is_identifier;

/// Thunks are aligned as instructions are.
const ALIGN: u64 = 4;
/// Of the reach this part is for groups, the rest for islands.
const GROUP_PART: (u64, u64) = (15, 16);

/// The thunks of an image, and which branches go through them.
#[derive(Debug, Default)]
pub(crate) struct Thunks {
    islands: Vec<Island>,
    /// The island, and the index in it.
    by_branch: HashMap<BranchPlace, (usize, usize), FixedState>,
    thunk_size: u64,
}

/// Thunks side by side.
#[derive(Debug, Default)]
struct Island {
    address: u64,
    destinations: Vec<Destination>,
    indices: HashMap<Destination, usize, FixedState>,
}

/// Where a thunk goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Destination {
    Plt {
        entry: usize,
        addend: i64,
    },
    Code {
        object: usize,
        section: usize,
        offset: u64,
    },
}

/// The object, the section, and the offset in it.
type BranchPlace = (usize, usize, u64);

#[derive(Debug)]
struct Branch {
    place: BranchPlace,
    destination: Destination,
}

impl Thunks {
    /// Adds islands to code that branches may not get across. The sections' offsets in their segment
    /// are valid afterwards.
    pub(crate) fn place(
        sections: &mut [OutputSection<'_>],
        resolved: &Resolved<'_>,
        scanned: &Scanned,
    ) -> Result<Self> {
        let size = give_offsets(sections, SegmentKind::Text, 0)?;
        let thunk = match resolved.machine.thunk() {
            Some(thunk) if size > thunk.reach => thunk,
            _ => return Ok(Self::default()),
        };
        let branches = branches(sections, resolved, scanned, thunk.branch);
        let mut thunks = Self {
            thunk_size: thunk.size,
            ..Self::default()
        };
        thunks.add_islands(sections, resolved, thunk.reach);
        loop {
            thunks.make_room(sections, resolved);
            give_offsets(sections, SegmentKind::Text, 0)?;
            let addresses = thunks.addresses(sections, resolved);
            let mut is_stable = true;
            for branch in &branches {
                is_stable &= !thunks.serve(branch, &addresses, thunk);
            }
            if is_stable {
                return Ok(thunks);
            }
        }
    }

    /// The address of the thunk that a branch goes through, if it has one.
    pub(crate) fn of_branch(&self, object: usize, section: usize, offset: u64) -> Option<u64> {
        let &(island, index) = self.by_branch.get(&(object, section, offset))?;
        Some(self.islands[island].address + self.thunk_size * index as u64)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_branch.is_empty()
    }

    /// Where the thunks of an island go, in their order.
    pub(crate) fn destinations(&self, island: usize) -> &[Destination] {
        &self.islands[island].destinations
    }

    pub(crate) fn set_address(&mut self, island: usize, address: u64) {
        self.islands[island].address = address;
    }

    /// The size of an island in bytes.
    pub(crate) fn size(&self, island: usize) -> u64 {
        self.thunk_size * self.islands[island].destinations.len() as u64
    }

    /// Puts an empty island before the first group of pieces and after each.
    fn add_islands(
        &mut self,
        sections: &mut [OutputSection<'_>],
        resolved: &Resolved<'_>,
        reach: u64,
    ) {
        let largest_group = reach / GROUP_PART.1 * GROUP_PART.0;
        let mut group_start = 0;
        let mut last = None;
        for (index, output) in sections.iter_mut().enumerate() {
            if !takes_islands(output) {
                continue;
            }
            let Content::Pieces(pieces) = &mut output.content else {
                continue;
            };
            let mut grouped = Vec::with_capacity(pieces.len() + 1);
            if last.is_none() {
                grouped.push((self.add_island(), 0));
            }
            for &(piece, offset) in &*pieces {
                let start = output.address + offset;
                let (size, _) = self.extent(piece, resolved);
                if start > group_start && start + size - group_start > largest_group {
                    grouped.push((self.add_island(), offset));
                    group_start = start;
                }
                grouped.push((piece, offset));
            }
            *pieces = grouped;
            last = Some(index);
        }
        if let Some(output) = last.map(|index| &mut sections[index])
            && let Content::Pieces(pieces) = &mut output.content
        {
            pieces.push((self.add_island(), output.size));
        }
    }

    fn add_island(&mut self) -> Piece {
        self.islands.push(Island::default());
        Piece::Thunks(self.islands.len() - 1)
    }

    /// Gives the pieces of the code their offsets, with islands of the size that they have now.
    fn make_room(&self, sections: &mut [OutputSection<'_>], resolved: &Resolved<'_>) {
        for output in code(sections) {
            let Content::Pieces(pieces) = &mut output.content else {
                continue;
            };
            let mut end = 0_u64;
            for (piece, offset) in pieces {
                let (size, align) = self.extent(*piece, resolved);
                // Saturates: what is too large is refused when the section gets its offset.
                *offset = end.checked_next_multiple_of(align).unwrap_or(u64::MAX);
                end = offset.saturating_add(size);
            }
            output.size = end;
            output.align = output.align.max(ALIGN);
        }
    }

    /// The size and the alignment of a piece of code in bytes.
    fn extent(&self, piece: Piece, resolved: &Resolved<'_>) -> (u64, u64) {
        match piece {
            Piece::Section { object, section } => {
                let section = &resolved.objects[object].sections[section];
                (section.size, section.align)
            }
            Piece::Thunks(island) => (self.size(island), ALIGN),
            // None of these is code.
            Piece::Unwind(_) | Piece::Common(_) | Piece::UnwindTerminator => (0, 1),
        }
    }

    /// Where the code of the inputs and the PLT are now; tells the islands where they are.
    fn addresses(
        &mut self,
        sections: &mut [OutputSection<'_>],
        resolved: &Resolved<'_>,
    ) -> Addresses {
        let sizes = resolved.objects.iter().map(|object| object.sections.len());
        let mut addresses = Addresses {
            sections: sizes.map(|n_sections| vec![0; n_sections]).collect(),
            plt: 0,
            plt_entry_size: resolved.plt_entry_size,
        };
        for output in code(sections) {
            let pieces = match &output.content {
                Content::Synthetic(Synthetic::Plt) => {
                    addresses.plt = output.address;
                    continue;
                }
                Content::Synthetic(_) => continue,
                Content::Pieces(pieces) => pieces,
            };
            for &(piece, offset) in pieces {
                match piece {
                    Piece::Section { object, section } => {
                        addresses.sections[object][section] = output.address + offset;
                    }
                    Piece::Thunks(island) => self.set_address(island, output.address + offset),
                    _ => {}
                }
            }
        }
        addresses
    }

    /// Finds a branch that does not reach a thunk that it reaches; tells whether anything changed.
    fn serve(&mut self, branch: &Branch, addresses: &Addresses, thunk: Thunk) -> bool {
        let (object, section, offset) = branch.place;
        let place = addresses.sections[object][section] + offset;
        let reaches = |address: u64| thunk.branch.check(address.wrapping_sub(place)).is_ok();
        if reaches(addresses.of(branch.destination))
            || self.of_branch(object, section, offset).is_some_and(reaches)
        {
            return false;
        }
        // An empty one at the place is before it.
        let after = self
            .islands
            .partition_point(|island| island.address <= place);
        let neighbours = [Some(after), after.checked_sub(1)];
        let near = |island: usize, index: usize| {
            let address = self.islands.get(island)?.address + self.thunk_size * index as u64;
            reaches(address).then_some((island, index))
        };
        let existing = neighbours.into_iter().flatten().find_map(|island| {
            let index = *self.islands.get(island)?.indices.get(&branch.destination)?;
            near(island, index)
        });
        let new = || {
            let mut islands = neighbours.into_iter().flatten();
            islands.find_map(|island| near(island, self.islands.get(island)?.destinations.len()))
        };
        let Some((island, index)) = existing.or_else(new) else {
            // Its section is longer than it reaches: applying the relocation says so.
            return false;
        };
        if existing.is_none() {
            self.islands[island].destinations.push(branch.destination);
            self.islands[island]
                .indices
                .insert(branch.destination, index);
        }
        self.by_branch.insert(branch.place, (island, index));
        true
    }
}

/// Where code is, in bytes from the start of its segment.
#[derive(Debug)]
struct Addresses {
    sections: Vec<Vec<u64>>,
    plt: u64,
    plt_entry_size: u64,
}

impl Addresses {
    fn of(&self, destination: Destination) -> u64 {
        match destination {
            Destination::Plt { entry, addend } => {
                let entry = self.plt + self.plt_entry_size * entry as u64;
                entry.wrapping_add_signed(addend)
            }
            Destination::Code {
                object,
                section,
                offset,
            } => self.sections[object][section].wrapping_add(offset),
        }
    }
}

/// Whether thunks may stand in a section: one of code with bytes in the file, and none that a
/// program walks from `__start_` to `__stop_`.
fn takes_islands(section: &OutputSection<'_>) -> bool {
    section.segment == SegmentKind::Text && !section.is_nobits() && !is_identifier(section.name)
}

/// The sections of the segment of code.
fn code<'a, 'data>(
    sections: &'a mut [OutputSection<'data>],
) -> impl Iterator<Item = &'a mut OutputSection<'data>> {
    let is_code = |section: &&mut OutputSection<'_>| section.segment == SegmentKind::Text;
    sections.iter_mut().filter(is_code)
}

/// The branches from code to code that may go through a thunk: those with this range.
fn branches(
    sections: &mut [OutputSection<'_>],
    resolved: &Resolved<'_>,
    scanned: &Scanned,
    range: Range,
) -> Vec<Branch> {
    let mut is_code: Vec<Vec<bool>> = (resolved.objects.iter())
        .map(|object| vec![false; object.sections.len()])
        .collect();
    let mut inputs = Vec::new();
    for output in code(sections) {
        let Content::Pieces(pieces) = &output.content else {
            continue;
        };
        for &(piece, _) in pieces {
            if let Piece::Section { object, section } = piece {
                is_code[object][section] = true;
                inputs.push((object, section));
            }
        }
    }
    let mut branches = Vec::new();
    for (object, section) in inputs {
        for relocation in &*resolved.objects[object].sections[section].relocations {
            let reloc = resolved.machine.reloc(relocation.r_type(LE, false).0);
            let is_branch = reloc
                .is_some_and(|reloc| reloc.expression == Expression::Plt && reloc.range == range);
            if !is_branch {
                continue;
            }
            let symbol = relocation.r_sym(LE, false) as usize;
            // Code out of line is a part of its function, where no register is free for a thunk.
            if resolved.objects[object].symbols[symbol].is_out_of_line() {
                continue;
            }
            let addend = relocation.r_addend.get(LE);
            let entry = scanned.slots(resolved, object, symbol).plt;
            let destination = match (entry, resolved.target(object, symbol)) {
                (Some(entry), _) => Destination::Plt { entry, addend },
                (
                    None,
                    Target::Section {
                        object,
                        section,
                        value,
                    },
                ) if is_code[object][section] => Destination::Code {
                    object,
                    section,
                    offset: value.wrapping_add_signed(addend),
                },
                _ => continue,
            };
            branches.push(Branch {
                place: (object, section, relocation.r_offset.get(LE)),
                destination,
            });
        }
    }
    branches
}
