//! The table by which the host's unwinder finds the unwind records of a window's code.
//!
//! It is an `.eh_frame_hdr` (LSB Core 5.0, "The .eh_frame_hdr section") whose entries change. The
//! unwinder searches it by halves and takes no lock, so that it may be in the middle of a search
//! whenever an image comes or goes. This is why an entry has its place for ever:
//!
//! - Each line of code, a granule, has the same number of entries; a line's entries name functions
//!   that start there, by address. No entry moves when others come and go.
//! - Entries of a line that has fewer functions repeat what is before them of the same image, or name
//!   the line's start and a record for no code. So all entries of an image's lines name addresses of
//!   these lines, whatever they are about to become, and a search for other code takes the same turns.
//! - Nobody searches for code of an image that is coming or going.
//! - Lines are added at the end, before the number of entries says that they are there.
//!
//! A large image has entries of its own, one for each function, instead of lines: its code is nobody
//! else's, even when it has gone.

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::window::space::GRANULE;

/// The header before the entries: version and forms, a pointer to records, the number of entries.
const HEADER_SIZE: usize = 12;
/// The header starts here in its memory, so that entries are aligned and each is one store.
const HEADER_START: usize = 4;
const ENTRY_SIZE: usize = 8;

/// The table. It does not own its memory.
#[derive(Debug)]
pub(crate) struct UnwindIndex {
    /// Of the header: what distances in the table count from.
    header: u64,
    count: NonNull<AtomicU32>,
    entries: NonNull<AtomicU64>,
    n_entries: usize,
    capacity: usize,
    /// The address of a record that is for no code.
    no_record: u64,
}

// SAFETY: the pointers are to memory that the table alone writes, atomically.
unsafe impl Send for UnwindIndex {}

/// A part of the table: the entries of some lines that follow each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lines {
    /// The index of the first entry.
    first: usize,
    /// The address of the first line.
    address: u64,
    /// The number of entries a line.
    density: usize,
}

/// A part of the table: the entries for some code that only one image has at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entries {
    /// The index of the first entry.
    first: usize,
    /// How many there are.
    pub(crate) count: usize,
}

impl UnwindIndex {
    /// The address of the header in a table's memory.
    pub(crate) const fn header_start() -> usize {
        HEADER_START
    }

    /// An empty table. `no_record` is the address of a record for no code, `end` that of a word that
    /// ends records.
    ///
    /// # Safety
    ///
    /// The memory is writable, zero, aligned to 8 bytes, used by nobody else and stays as long as
    /// the table is used. It is within 2 GiB of all code and records that the table is to name.
    pub(crate) unsafe fn new(memory: NonNull<[u8]>, no_record: u64, end: u64) -> Self {
        let start = memory.cast::<u8>();
        // SAFETY: the memory is larger than that.
        let header = unsafe { start.add(HEADER_START) };
        let address = header.as_ptr().expose_provenance() as u64;
        // As the linker writes them: see `farcall_image`.
        let form = u64::from(u32::from_le_bytes([1, 0x1b, 0x03, 0x3b]));
        let pointer = distance(end, address + 4);
        let start = (form | u64::from(pointer) << 32).to_le_bytes();
        // SAFETY: the header is in the memory.
        unsafe { header.cast::<[u8; 8]>().write(start) };
        // SAFETY: as above.
        let count = unsafe { header.add(8) };
        // SAFETY: as above; entries follow the header.
        let entries = unsafe { header.add(HEADER_SIZE) };
        Self {
            header: address,
            count: count.cast(),
            entries: entries.cast(),
            n_entries: 0,
            capacity: (memory.len() - HEADER_START - HEADER_SIZE) / ENTRY_SIZE,
            no_record,
        }
    }

    /// Adds the lines of `code`, with `density` entries each; `None` when there is no room. The code
    /// comes after all that was added before.
    pub(crate) fn add_lines(&mut self, code: Range<u64>, density: usize) -> Option<Lines> {
        let n_lines = usize::try_from((code.end - code.start) / GRANULE).ok()?;
        let lines = Lines {
            first: self.grow(n_lines.checked_mul(density)?)?,
            address: code.start,
            density,
        };
        self.clear(&lines, code);
        self.publish();
        Some(lines)
    }

    /// Adds `count` entries for code that starts at an address; `None` when there is no room. The code
    /// comes after all that was added before.
    pub(crate) fn add_entries(&mut self, code: u64, count: usize) -> Option<Entries> {
        let first = self.grow(count)?;
        let entries = Entries { first, count };
        self.fill_entries(&entries, code, std::iter::empty());
        self.publish();
        Some(entries)
    }

    /// Makes room for `count` entries; gives the index of the first.
    fn grow(&mut self, count: usize) -> Option<usize> {
        let first = self.n_entries;
        let end = first.checked_add(count)?;
        if end > self.capacity {
            return None;
        }
        self.n_entries = end;
        Some(first)
    }

    /// Lets the unwinder see what was added.
    fn publish(&self) {
        let count = u32::try_from(self.n_entries).expect("the memory is smaller than that");
        // SAFETY: the table's memory stays as long as the table.
        unsafe { self.count.as_ref() }.store(count.to_le(), Ordering::Release);
        #[cfg(test)]
        tests::note_store(self);
    }

    /// Names the functions of the image that has these entries: pairs of a function and its record, by
    /// address, no more than entries. All are in the image's code, which starts at `code`.
    ///
    /// # Panics
    ///
    /// If there are more.
    pub(crate) fn fill_entries(
        &self,
        entries: &Entries,
        code: u64,
        mut functions: impl Iterator<Item = (u64, u64)>,
    ) {
        let mut last = (code, self.no_record);
        for index in entries.first..entries.first + entries.count {
            last = functions.next().unwrap_or(last);
            self.store(index, last.0, last.1);
        }
        assert!(
            functions.next().is_none(),
            "an image's functions were counted"
        );
    }

    /// Names the functions of an image whose code takes these whole lines: pairs of a function and its
    /// record, by address.
    ///
    /// # Panics
    ///
    /// If a line has more functions than entries.
    pub(crate) fn fill(
        &self,
        lines: &Lines,
        code: Range<u64>,
        functions: impl Iterator<Item = (u64, u64)>,
    ) {
        let Range { start, end } = code;
        let is_own = |(function, _): &(u64, u64)| (start..end).contains(function);
        let mut functions = functions.filter(is_own).peekable();
        let mut last = None;
        for line in (start..end).step_by(to_usize(GRANULE)) {
            for index in 0..lines.density {
                let is_here = |&(function, _): &(u64, u64)| function < line + GRANULE;
                last = functions.next_if(is_here).or(last);
                let (function, record) = last.unwrap_or((line, self.no_record));
                self.store(lines.entry(line) + index, function, record);
            }
            let is_left = functions
                .peek()
                .is_some_and(|(function, _)| *function < line + GRANULE);
            assert!(!is_left, "a line's functions were counted");
        }
    }

    /// Forgets the functions of an image whose code took these whole lines.
    pub(crate) fn clear(&self, lines: &Lines, code: Range<u64>) {
        self.fill(lines, code, std::iter::empty());
    }

    fn store(&self, index: usize, function: u64, record: u64) {
        assert!(index < self.n_entries, "lines are of this table");
        let function = u64::from(distance(function, self.header));
        let record = u64::from(distance(record, self.header));
        // SAFETY: the index is within what was added, and that within the memory.
        let entry = unsafe { self.entries.add(index) };
        // SAFETY: the table's memory stays as long as the table, and is written atomically only.
        unsafe { entry.as_ref() }.store((function | record << 32).to_le(), Ordering::Release);
        #[cfg(test)]
        tests::note_store(self);
    }
}

impl Lines {
    /// The index of the first entry of the line at this address.
    fn entry(&self, line: u64) -> usize {
        self.first + to_usize((line - self.address) / GRANULE) * self.density
    }
}

/// The most functions that start in one line, of those at these addresses, in order.
pub(crate) fn largest_line(functions: impl Iterator<Item = u64>) -> usize {
    let (mut largest, mut line, mut count) = (0, None, 0);
    for function in functions {
        let own = Some(function / GRANULE);
        count = if own == line { count + 1 } else { 1 };
        line = own;
        largest = largest.max(count);
    }
    largest
}

/// A distance in two's complement.
fn distance(to: u64, from: u64) -> u32 {
    let distance = i32::try_from(to.wrapping_sub(from).cast_signed());
    distance
        .expect("a window is smaller than 2 GiB")
        .cast_unsigned()
}

/// Lossless: the loader runs where an address has 64 bits.
fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashSet;

    use super::*;

    /// What a search may see: the number of entries, and all that there are.
    type Seen = (usize, Vec<(u64, u64)>);

    thread_local! {
        /// What was there after each store.
        static STORES: RefCell<Vec<Seen>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn note_store(index: &UnwindIndex) {
        // SAFETY: the table's memory stays as long as the table.
        let count = u32::from_le(unsafe { index.count.as_ref() }.load(Ordering::Relaxed));
        let seen = (usize::try_from(count).unwrap(), entries(index));
        STORES.with_borrow_mut(|stores| stores.push(seen));
    }

    /// How far a search is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    enum Search {
        Start,
        First {
            count: usize,
        },
        Last {
            count: usize,
        },
        Middle {
            low: usize,
            high: usize,
        },
        Next {
            low: usize,
            high: usize,
        },
        Found {
            at: usize,
        },
        /// The record, and where its function starts.
        End(Option<(u64, u64)>),
    }

    impl Search {
        /// The next word that libgcc reads (`unwind-dw2-fde-dip.c`): what it sees, and what it does then.
        fn step(self, pc: u64, (n_entries, entries): &Seen) -> Self {
            let start = |at: usize| entries.get(at).map_or(0, |entry| entry.0);
            match self {
                Self::Start if *n_entries == 0 => Self::End(None),
                Self::Start => Self::First { count: *n_entries },
                Self::First { .. } if pc < start(0) => Self::End(None),
                Self::First { count } => Self::Last { count },
                Self::Last { count } if pc < start(count - 1) => Self::Middle {
                    low: 0,
                    high: count - 1,
                },
                Self::Last { count } => Self::Found { at: count - 1 },
                Self::Middle { low, high } => {
                    assert!(low < high, "libgcc would end the process");
                    let middle = usize::midpoint(low, high);
                    match pc < start(middle) {
                        true => Self::Middle { low, high: middle },
                        false => Self::Next { low, high },
                    }
                }
                Self::Next { low, high } => {
                    let middle = usize::midpoint(low, high);
                    match pc >= start(middle + 1) {
                        true => Self::Middle {
                            low: middle + 1,
                            high,
                        },
                        false => Self::Found { at: middle },
                    }
                }
                Self::Found { at } => Self::End(Some((entries[at].1, entries[at].0))),
                Self::End(_) => self,
            }
        }
    }

    /// Searches for `pc` with the stores that `change` makes between any two words that are read: each way is
    /// tried. All ways must find this function and its record.
    fn search_meanwhile(
        index: &mut UnwindIndex,
        (pc, function, record): (u64, u64, u64),
        change: impl FnOnce(&mut UnwindIndex),
    ) {
        STORES.take();
        note_store(index);
        change(index);
        let stores = STORES.take();
        assert!(stores.len() > 2, "something changes");
        let mut ways: Vec<(Search, usize)> = vec![(Search::Start, 0)];
        let mut known = HashSet::new();
        let mut n_ends = 0;
        while let Some((search, stored)) = ways.pop() {
            if let Search::End(found) = search {
                assert_eq!(found, Some((record, function)), "after store {stored}");
                n_ends += 1;
                continue;
            }
            for (now, seen) in stores.iter().enumerate().skip(stored) {
                let next = (search.step(pc, seen), now);
                if known.insert(next) {
                    ways.push(next);
                }
            }
        }
        assert_eq!(
            n_ends,
            stores.len(),
            "each state is the last one of some search"
        );
    }

    #[test]
    fn a_search_finds_what_stays_whatever_comes_and_goes_meanwhile() {
        let mut memory = Memory::new();
        let mut index = memory.index();
        let start = index.header.next_multiple_of(1 << 12) + (1 << 16);
        let line = |number: u64| start + number * GRANULE;
        let lines = index.add_lines(line(0)..line(6), 2).unwrap();
        // The images that stay: of two lines, and of one with two functions.
        let stays = [
            (line(1) + 100, line(1) + 8, start + 1),
            (line(4) + 5, line(4), start + 2),
            (line(4) + 50, line(4) + 40, start + 3),
        ];
        index.fill(
            &lines,
            line(1)..line(3),
            [(line(1) + 8, start + 1)].into_iter(),
        );
        let two = [(line(4), start + 2), (line(4) + 40, start + 3)];
        index.fill(&lines, line(4)..line(5), two.into_iter());
        for stay in stays {
            // Before, between and after those.
            for (first, last) in [(0, 1), (3, 4), (5, 6)] {
                let code = line(first)..line(last);
                let functions = [(code.start + 1, start + 4), (code.start + 63, start + 5)];
                search_meanwhile(&mut index, stay, |index| {
                    index.fill(&lines, code.clone(), functions.into_iter());
                });
                search_meanwhile(&mut index, stay, |index| index.clear(&lines, code.clone()));
                // One goes, and another one comes at once.
                search_meanwhile(&mut index, stay, |index| {
                    index.fill(&lines, code.clone(), functions.into_iter());
                    index.clear(&lines, code.clone());
                    index.fill(&lines, code.clone(), functions.into_iter().skip(1));
                });
                index.clear(&lines, code);
            }
        }
        for (round, stay) in (0..).zip(stays) {
            let code = line(6 + 4 * round);
            search_meanwhile(&mut index, stay, |index| {
                index.add_lines(code..code + GRANULE, 4).unwrap();
                let large = code + GRANULE;
                let entries = index.add_entries(large, 5).unwrap();
                let functions = (0..4).map(|at| (large + 10 * at, start + at));
                index.fill_entries(&entries, large, functions);
            });
        }
    }

    struct Memory(Box<[u64]>);

    impl Memory {
        fn new() -> Self {
            Self(vec![0; 1 << 12].into_boxed_slice())
        }

        fn index(&mut self) -> UnwindIndex {
            let address = self.0.as_ptr().expose_provenance() as u64;
            let bytes = NonNull::from(&mut *self.0);
            let memory = NonNull::slice_from_raw_parts(bytes.cast::<u8>(), 8 << 12);
            // SAFETY: the memory outlives the table in these tests, and is used through it.
            unsafe { UnwindIndex::new(memory, address, address) }
        }
    }

    /// The entries as addresses.
    fn entries(index: &UnwindIndex) -> Vec<(u64, u64)> {
        let entry = |at| {
            // SAFETY: within what was added.
            let entry = unsafe { index.entries.add(at) };
            // SAFETY: as above.
            let value = u64::from_le(unsafe { entry.as_ref() }.load(Ordering::Relaxed));
            let bytes = value.to_le_bytes();
            let word = |at: usize| i32::from_le_bytes(*bytes[at..].first_chunk().unwrap());
            let address = |distance: i32| index.header.wrapping_add_signed(distance.into());
            (address(word(0)), address(word(4)))
        };
        (0..index.n_entries).map(entry).collect()
    }

    #[test]
    fn entries_are_sorted_whatever_comes_and_goes() {
        let mut memory = Memory::new();
        let mut index = memory.index();
        let start = index.header.next_multiple_of(1 << 12) + (1 << 16);
        let lines = index.add_lines(start..start + 8 * GRANULE, 4).unwrap();
        let after = index
            .add_lines(start + 8 * GRANULE..start + 12 * GRANULE, 16)
            .unwrap();
        let is_sorted = |index: &UnwindIndex| entries(index).is_sorted_by_key(|entry| entry.0);
        assert!(is_sorted(&index));

        let long = start + 2 * GRANULE..start + 5 * GRANULE;
        let functions = [(long.start + 5, 1 << 20), (long.start + 70, 2 << 20)];
        let functions = functions.map(|(function, at)| (function, start + at));
        index.fill(&lines, long.clone(), functions.into_iter());
        assert!(is_sorted(&index));
        let found = entries(&index);
        assert_eq!(
            found[8], functions[0],
            "a line's first function comes first"
        );
        assert_eq!(found[11], functions[0], "and again where there is no other");
        assert_eq!(found[12], functions[1]);
        assert_eq!(
            found[19], functions[1],
            "a function goes on in the lines after it"
        );
        assert_eq!(found[20].0, start + 5 * GRANULE);

        let dense = start + 8 * GRANULE..start + 9 * GRANULE;
        let many = (0..16).map(|at| (dense.start + 4 * at, start));
        index.fill(&after, dense.clone(), many);
        assert!(is_sorted(&index));
        index.clear(&lines, long);
        assert!(is_sorted(&index));
        assert_eq!(entries(&index)[12], (start + 3 * GRANULE, index.no_record));
    }

    #[test]
    fn a_table_has_an_end() {
        let mut memory = Memory::new();
        let mut index = memory.index();
        let start = index.header.next_multiple_of(GRANULE);
        assert!(index.add_lines(start..start + 1023 * GRANULE, 4).is_some());
        assert!(
            index
                .add_lines(start + 1023 * GRANULE..start + 1024 * GRANULE, 4)
                .is_none()
        );
    }

    #[test]
    fn functions_of_a_line_are_counted() {
        assert_eq!(largest_line([].into_iter()), 0);
        assert_eq!(largest_line([0, 1, 63, 64, 65].into_iter()), 3);
        assert_eq!(largest_line([0, 64, 65, 66, 67, 200].into_iter()), 4);
    }
}
