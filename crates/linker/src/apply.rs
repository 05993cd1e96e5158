//! Applying static relocations: evaluate the expression, check the range, write the field.

use farcall_arch::{Expression, Field, Reloc};
use object::elf::Rela64;
use object::endian::LittleEndian as LE;

use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::output::Synthetic;
use crate::relax::got_pairs;
use crate::resolve::{Resolved, Target};
use crate::scan::{Scanned, is_relaxed};
use crate::synthetic::Destination;

/// What evaluating needs to know of the image.
#[derive(Debug)]
pub(crate) struct Context<'a, 'data> {
    resolved: &'a Resolved<'data>,
    scanned: &'a Scanned,
    layout: &'a Layout<'data>,
    got: u64,
    plt: u64,
    tls: u64,
}

/// Where a run of relocations applies: a part of an input section and where it went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) object: usize,
    pub(crate) section: usize,
    /// The offset in the input section of the first byte.
    pub(crate) start: u64,
    /// The address of that byte.
    pub(crate) address: u64,
}

impl<'a, 'data> Context<'a, 'data> {
    pub(crate) fn new(
        resolved: &'a Resolved<'data>,
        scanned: &'a Scanned,
        layout: &'a Layout<'data>,
    ) -> Self {
        Self {
            resolved,
            scanned,
            layout,
            got: layout.synthetic_address(Synthetic::Got),
            plt: layout.synthetic_address(Synthetic::Plt),
            tls: layout.tls.as_ref().map_or(0, |tls| tls.memory.start),
        }
    }

    /// Applies relocations to the bytes of a run. Their places lie in it: scanning has checked.
    /// Fails when the field of one ends outside.
    pub(crate) fn apply(
        &self,
        run: Run,
        bytes: &mut [u8],
        relocations: &[Rela64<LE>],
    ) -> Result<()> {
        let machine = self.resolved.machine;
        let pairs = got_pairs(self.resolved, run.object, run.section, relocations);
        // How the second instruction of a relaxed pair is relocated.
        let mut second = None;
        for (index, relocation) in relocations.iter().enumerate() {
            let offset = relocation.r_offset.get(LE);
            let symbol = relocation.r_sym(LE, false) as usize;
            let Some(mut reloc) = machine.reloc(relocation.r_type(LE, false).0) else {
                continue;
            };
            let target = self.resolved.target(run.object, symbol);
            let section = &self.resolved.objects[run.object].sections[run.section];
            let mut at = usize::try_from(offset - run.start).map_err(|_| Error::TooLarge)?;
            let addend = relocation.r_addend.get(LE);
            if is_relaxed(self.resolved, reloc, target, section, offset, addend)
                && !self.resolved.is_indirect(run.object, symbol)
                && let Some(relaxed) = machine.relax_got_load(reloc.relaxation, bytes, at)
            {
                (reloc, at) = (relaxed.reloc, relaxed.offset);
            }
            if let Some(relaxed) = second.take() {
                reloc = relaxed;
            } else if pairs.get(index) == Some(&true)
                && let Some(code) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut)
                && let Some(relaxed) = machine.relax_got_pair(code)
            {
                reloc = relaxed[0];
                second = Some(relaxed[1]);
            }
            let place = run.address + at as u64;
            let mut value = self.evaluate(reloc, run.object, symbol, target, addend, place);
            if reloc.range.check(value).is_err()
                && let Some(thunk) = (self.layout.thunks).of_branch(run.object, run.section, offset)
            {
                value = reloc.base.apply(thunk, place, self.got);
            }
            if let Err(out_of_range) = reloc.range.check(value) {
                return Err(Error::Overflow {
                    place: self.resolved.place(run.object, run.section, offset),
                    relocation: reloc.name,
                    symbol: self.resolved.symbol_name(run.object, symbol),
                    value: out_of_range.value,
                    range: out_of_range.range,
                });
            }
            // Its section holds the field, but an unwind record may end before it.
            let end = at.checked_add(reloc.field.size());
            let Some(field) = end.and_then(|end| bytes.get_mut(at..end)) else {
                return Err(Error::OutsideSection {
                    place: self.resolved.place(run.object, run.section, offset),
                    relocation: reloc.name,
                    symbol: self.resolved.symbol_name(run.object, symbol),
                });
            };
            reloc.field.write(field, value);
        }
        Ok(())
    }

    /// Where a thunk goes.
    pub(crate) fn destination(&self, destination: Destination) -> u64 {
        match destination {
            Destination::Plt { entry, addend } => self.plt_entry(entry).wrapping_add_signed(addend),
            Destination::Code {
                object,
                section,
                offset,
            } => {
                let value = offset;
                let target = Target::Section {
                    object,
                    section,
                    value,
                };
                self.layout.target_address(self.resolved, target)
            }
        }
    }

    fn plt_entry(&self, entry: usize) -> u64 {
        self.plt + self.resolved.plt_entry_size * entry as u64
    }

    /// The value of an expression: see [`Expression`] for its letters.
    fn evaluate(
        &self,
        reloc: Reloc,
        object: usize,
        symbol: usize,
        target: Target,
        addend: i64,
        place: u64,
    ) -> u64 {
        use Expression as E;
        let s = || self.layout.target_address(self.resolved, target);
        let slots = || self.scanned.slots(self.resolved, object, symbol);
        // Scanning gave every symbol the entries that its relocations need.
        let got_offset = |word: Option<usize>| 8 * word.unwrap_or(0) as u64;
        let l = || match slots().plt {
            Some(entry) => self.plt_entry(entry),
            None if target == Target::Null => null_function(reloc.field, place, addend),
            None => s(),
        };
        let value = match reloc.expression {
            E::Symbol if self.resolved.is_indirect(object, symbol) => l(),
            E::Symbol => s(),
            E::Plt => l(),
            E::GotEntry => self.got + got_offset(slots().got),
            E::GotBase => self.got,
            E::Size => self.resolved.size(object, symbol),
            E::TlsPair => self.got + got_offset(slots().tls_pair),
            E::TlsModulePair => self.got + got_offset(self.scanned.tls_module_slot),
            E::TlsOffsetEntry => self.got + got_offset(slots().tls_offset),
            E::TlsDescriptor => self.got + got_offset(slots().tls_descriptor),
            E::TlsBlockOffset => s().wrapping_sub(self.tls),
            // Scanning refuses the others.
            _ => 0,
        };
        let value = value.wrapping_add_signed(addend);
        reloc.base.apply(value, place, self.got)
    }
}

/// Where a null weak function is for what counts from its place. A word becomes zero: as an operand it calls what
/// is behind it, in a table it is null. An AArch64 instruction counts from its own start, and goes on behind it.
fn null_function(field: Field, place: u64, addend: i64) -> u64 {
    match field {
        Field::Bits { .. } => place + 4,
        _ => place.wrapping_sub(addend.cast_unsigned()),
    }
}
