//! What the relocations need: GOT and PLT entries, dynamic relocations, imports.
//!
//! Every relocation that cannot be served is refused here, before anything is laid out. What an
//! expression needs depends on the expression and on what its symbol stands for, on nothing else.

use std::collections::HashMap;

use farcall_arch::{Base, Expression, Field, Reloc};
use foldhash::fast::FixedState;
use object::elf::{self, Rela64};
use object::endian::LittleEndian as LE;

use crate::error::{Error, Errors, Referrer, Result};
use crate::input::{Section, SymbolType};
use crate::packing;
use crate::relax::got_pairs;
use crate::resolve::{Definition, GlobalId, Resolved, Target};
use crate::synthetic::{LinkerSymbol, UnwindTable};

/// What the image needs beside its inputs' sections.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    pub(crate) got: Vec<GotEntry>,
    /// For each symbol with GOT or PLT entries, which.
    slots: HashMap<SymbolKey, Slots, FixedState>,
    /// The GOT pair of the image's own TLS module, by its first word's index.
    pub(crate) tls_module_slot: Option<usize>,
    /// The number of 8-byte words in the GOT.
    pub(crate) n_got_words: usize,
    /// The functions that are called through the PLT, in order: for each the index of the GOT word
    /// that its entry jumps through.
    pub(crate) plt: Vec<usize>,
    /// Words to which the load bias is added.
    pub(crate) relative: Vec<Word>,
    /// Words to which an import's address is added.
    pub(crate) symbolic: Vec<(Word, GlobalId, i64)>,
    /// Words that get the result of an indirect function of the image, which is the symbol with this
    /// index of the word's object.
    pub(crate) indirect: Vec<(Word, usize)>,
    /// Every import, in order of its first reference.
    pub(crate) imports: Vec<Import>,
    pub(crate) unwind: UnwindTable,
    /// Whether code counts on the segments standing close together.
    pub(crate) needs_near_segments: bool,
}

/// A symbol, whatever object mentions it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SymbolKey {
    Global(GlobalId),
    Local { object: usize, symbol: usize },
}

/// Which entries a symbol has: indices in words of the GOT and in entries of the PLT.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Slots {
    pub(crate) got: Option<usize>,
    pub(crate) tls_pair: Option<usize>,
    pub(crate) tls_offset: Option<usize>,
    pub(crate) tls_descriptor: Option<usize>,
    pub(crate) plt: Option<usize>,
    /// Whether the address of an indirect function is that of its PLT entry. To code that computes it,
    /// it is, so then it is to all of the image: a function has one address.
    pub(crate) is_plt_address: bool,
}

impl Slots {
    /// Whether the symbol is used as a thread-local variable.
    pub(crate) fn is_tls(self) -> bool {
        self.tls_pair
            .or(self.tls_offset)
            .or(self.tls_descriptor)
            .is_some()
    }
}

/// One or two words of the GOT.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GotEntry {
    /// The index of its first word.
    pub(crate) word: usize,
    pub(crate) kind: GotKind,
    /// The object and symbol that first asked for it.
    pub(crate) object: usize,
    pub(crate) symbol: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GotKind {
    /// The symbol's address.
    Address,
    /// What an indirect function's resolver gives.
    Resolved,
    /// The symbol's TLS module and its offset in that module's block.
    TlsPair,
    /// This image's TLS module and zero.
    TlsModule,
    /// The symbol's offset from the thread pointer.
    TlsOffset,
    /// The two words of a TLS descriptor.
    TlsDescriptor,
}

/// An 8-byte word of an input section.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word {
    pub(crate) object: usize,
    pub(crate) section: usize,
    pub(crate) offset: u64,
}

/// An import and where it is first referred to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Import {
    pub(crate) global: GlobalId,
    pub(crate) object: usize,
    pub(crate) section: usize,
    pub(crate) offset: u64,
}

impl Scanned {
    /// The entries of what a symbol of an object stands for.
    pub(crate) fn slots(&self, resolved: &Resolved<'_>, object: usize, symbol: usize) -> Slots {
        self.slots
            .get(&key(resolved, object, symbol))
            .copied()
            .unwrap_or_default()
    }

    /// The entries of a global.
    pub(crate) fn global_slots(&self, id: GlobalId) -> Slots {
        self.slots
            .get(&SymbolKey::Global(id))
            .copied()
            .unwrap_or_default()
    }
}

/// Whether a GOT load is rewritten to compute the address itself. Scanning and applying must
/// agree, so both ask here.
///
/// The address fits, unless it may be far: all else of an image is smaller than the reach of a 32-bit
/// displacement.
pub(crate) fn is_relaxed(
    resolved: &Resolved<'_>,
    reloc: Reloc,
    target: Target,
    section: &Section<'_>,
    offset: u64,
    addend: i64,
) -> bool {
    const BEFORE: usize = 2;
    /// The distance to the end of the instruction: any other addend reads a part of the entry, or
    /// another one.
    const WHOLE_ENTRY: i64 = -4;
    if !reloc.relaxation.is_got_load() || !target.is_in_image() || addend != WHOLE_ENTRY {
        return false;
    }
    let Some(start) = usize::try_from(offset)
        .ok()
        .and_then(|offset| offset.checked_sub(BEFORE))
    else {
        return false;
    };
    let Some(code) = start
        .checked_add(BEFORE + 4)
        .and_then(|end| section.data.get(start..end))
    else {
        return false;
    };
    let mut window = [0; BEFORE + 4];
    window.copy_from_slice(code);
    let machine = resolved.machine;
    !resolved.is_far(target)
        && machine
            .relax_got_load(reloc.relaxation, &mut window, BEFORE)
            .is_some()
}

pub(crate) fn scan(resolved: &Resolved<'_>) -> Result<Scanned, Errors> {
    let mut scanner = Scanner {
        resolved,
        scanned: Scanned {
            unwind: UnwindTable::choose(resolved)?,
            ..Scanned::default()
        },
        is_import_known: vec![false; resolved.globals.len()],
        errors: Vec::new(),
    };
    for (object_index, object) in resolved.objects.iter().enumerate() {
        for (section_index, section) in object.sections.iter().enumerate() {
            if !resolved.is_kept(object_index, section_index) || section.is_eh_frame() {
                continue;
            }
            let pairs = got_pairs(resolved, object_index, section_index, &section.relocations);
            let starts_pair = |index: usize| pairs.get(index) == Some(&true);
            for (index, relocation) in section.relocations.iter().enumerate() {
                let is_of_pair = starts_pair(index) || index > 0 && starts_pair(index - 1);
                scanner.scan(object_index, section_index, relocation, is_of_pair);
            }
        }
    }
    let unwind = std::mem::take(&mut scanner.scanned.unwind);
    for section in &unwind.sections {
        let input = &resolved.objects[section.object].sections[section.section];
        let relocations = crate::synthetic::sorted(resolved.machine, &input.relocations);
        for record in &section.records {
            for relocation in section_relocations(&relocations, &record.input()) {
                scanner.scan(section.object, section.section, relocation, false);
            }
        }
    }
    scanner.scanned.unwind = unwind;
    scanner.settle_indirect();
    Errors::check(scanner.errors)?;
    Ok(scanner.scanned)
}

/// The relocations, sorted by place, whose places lie in a range of their section.
pub(crate) fn section_relocations<'a>(
    relocations: &'a [Rela64<LE>],
    range: &std::ops::Range<usize>,
) -> &'a [Rela64<LE>] {
    let from = |at: usize| relocations.partition_point(|entry| entry.r_offset.get(LE) < at as u64);
    &relocations[from(range.start)..from(range.end)]
}

fn key(resolved: &Resolved<'_>, object: usize, symbol: usize) -> SymbolKey {
    match resolved.global_id(object, symbol) {
        Some(id) => SymbolKey::Global(id),
        None => SymbolKey::Local { object, symbol },
    }
}

struct Scanner<'a, 'data> {
    resolved: &'a Resolved<'data>,
    scanned: Scanned,
    is_import_known: Vec<bool>,
    errors: Vec<Error>,
}

/// One relocation in its context.
struct Site {
    object: usize,
    section: usize,
    offset: u64,
    symbol: usize,
    addend: i64,
    target: Target,
    reloc: Reloc,
    /// Whether it is of a pair that computes the address that it would load.
    is_relaxed: bool,
}

impl Scanner<'_, '_> {
    /// `is_relaxed`: whether it is of a pair that computes the address that it would load.
    fn scan(&mut self, object: usize, section: usize, relocation: &Rela64<LE>, is_relaxed: bool) {
        let symbol = relocation.r_sym(LE, false) as usize;
        let r_type = relocation.r_type(LE, false).0;
        let offset = relocation.r_offset.get(LE);
        let Some(reloc) = self.resolved.machine.reloc(r_type) else {
            let place = self.resolved.place(object, section, offset);
            let symbol = self.resolved.symbol_name(object, symbol);
            self.errors.push(Error::UnknownRelocation {
                place,
                r_type,
                symbol,
            });
            return;
        };
        let target = self.resolved.target(object, symbol);
        let addend = relocation.r_addend.get(LE);
        let site = Site {
            object,
            section,
            offset,
            symbol,
            addend,
            target,
            reloc,
            is_relaxed,
        };
        if let Err(error) = self.serve(&site) {
            self.errors.push(error);
        }
    }

    /// Notes what one relocation needs, or says why it cannot be served.
    fn serve(&mut self, site: &Site) -> Result<()> {
        use Expression as E;
        let section = &self.resolved.objects[site.object].sections[site.section];
        let end = site.offset.checked_add(site.reloc.field.size() as u64);
        if end.is_none_or(|end| end > section.data.len() as u64) {
            let place = self.resolved.place(site.object, site.section, site.offset);
            return Err(Error::OutsideSection {
                place,
                relocation: site.reloc.name,
                symbol: self.resolved.symbol_name(site.object, site.symbol),
            });
        }
        self.check_target(site)?;
        if let Target::Import(global) = site.target {
            self.import(site, global);
        }
        let is_indirect = self.resolved.is_indirect(site.object, site.symbol);
        self.scanned.needs_near_segments |= self.needs_near_segments(site);
        match site.reloc.expression {
            E::None | E::GotBase => Ok(()),
            E::Size => match site.target {
                Target::Import(_) => Err(self.error(site, Problem::Unsupported)),
                _ => Ok(()),
            },
            E::Symbol if site.reloc.base == Base::Absolute => self.absolute(site),
            E::Symbol if is_indirect => {
                self.plt_address(site);
                Ok(())
            }
            E::Plt if is_indirect => {
                self.plt_entry(site);
                Ok(())
            }
            E::Symbol => match site.target {
                _ if site.target.is_in_image() => Ok(()),
                _ => Err(self.error(site, Problem::NotPic)),
            },
            E::Plt => match site.target {
                // Without a symbol it is an address that the addend has.
                Target::Absolute(_) if site.symbol == 0 => Err(self.error(site, Problem::NotPic)),
                Target::Absolute(_) | Target::Import(_) => {
                    self.plt_entry(site);
                    Ok(())
                }
                _ => Ok(()),
            },
            E::GotEntry if site.is_relaxed => Ok(()),
            E::GotEntry => {
                let (reloc, target) = (site.reloc, site.target);
                if is_indirect
                    || !is_relaxed(
                        self.resolved,
                        reloc,
                        target,
                        section,
                        site.offset,
                        site.addend,
                    )
                {
                    self.got_entry(site);
                }
                Ok(())
            }
            E::TlsPair => {
                self.tls_pair(site);
                Ok(())
            }
            E::TlsModulePair => {
                self.tls_module(site);
                Ok(())
            }
            E::TlsBlockOffset => match site.target {
                Target::Section { .. } | Target::Common(_) => Ok(()),
                _ => Err(self.error(site, Problem::TlsModel)),
            },
            E::TlsOffsetEntry => {
                self.tls_offset(site);
                Ok(())
            }
            E::TlsDescriptor => {
                self.tls_descriptor(site);
                Ok(())
            }
            E::TlsDescriptorMark => Ok(()),
            E::TlsOffset => Err(self.error(site, Problem::TlsModel)),
            E::Relative
            | E::GlobDat
            | E::JumpSlot
            | E::TlsModule
            | E::TlsDescriptorPair
            | E::IndirectRelative
            | E::Copy => Err(self.error(site, Problem::NotPic)),
        }
    }

    /// Whether a relocation may not reach from one arena of a packed image to another, as it would have
    /// to.
    fn needs_near_segments(&self, site: &Site) -> bool {
        let counts_from_here = matches!(site.reloc.base, Base::Place | Base::Page);
        if !counts_from_here || site.reloc.range.reaches(packing::REACH) {
            return false;
        }
        let is_code = |object: usize, section: usize| {
            self.resolved.objects[object].sections[section].has_flag(elf::SHF_EXECINSTR)
        };
        let stays = match (site.reloc.expression, site.target) {
            (
                Expression::Symbol | Expression::Plt,
                Target::Section {
                    object, section, ..
                },
            ) => {
                (object, section) == (site.object, site.section)
                    || is_code(object, section) && is_code(site.object, site.section)
            }
            (Expression::Plt, _) => is_code(site.object, site.section),
            _ => false,
        };
        !stays
    }

    /// Refuses what no expression can use.
    fn check_target(&self, site: &Site) -> Result<()> {
        if site.target == Target::Discarded {
            let place = self.resolved.place(site.object, site.section, site.offset);
            let symbol = self.resolved.symbol_name(site.object, site.symbol);
            return Err(Error::Discarded { place, symbol });
        }
        if let Target::Section {
            object, section, ..
        } = site.target
        {
            let section = &self.resolved.objects[object].sections[section];
            if section.is_eh_frame() {
                let place = self.resolved.place(site.object, site.section, site.offset);
                let section = section.display_name();
                return Err(Error::IntoUnwindRecords { place, section });
            }
        }
        const MODULE_BASE: Definition = Definition::Linker(LinkerSymbol::TlsModuleBase);
        let definition = self.resolved.definition_of(site.object, site.symbol);
        let is_tls_use = matches!(
            site.reloc.expression,
            Expression::None
                | Expression::Size
                | Expression::TlsPair
                | Expression::TlsModulePair
                | Expression::TlsBlockOffset
                | Expression::TlsOffsetEntry
                | Expression::TlsOffset
                | Expression::TlsDescriptor
                | Expression::TlsDescriptorMark
        );
        let names_variable = is_tls_use
            && !matches!(
                site.reloc.expression,
                Expression::None | Expression::Size | Expression::TlsModulePair
            );
        let is_ordinary = matches!(site.target, Target::Section { object, section, .. }
            if !self.resolved.objects[object].sections[section].has_flag(elf::SHF_TLS))
            || matches!(site.target, Target::Absolute(_))
            || matches!(site.target, Target::Common(_))
                && definition.symbol_type != SymbolType::Tls
            || matches!(site.target, Target::Linker(id)
                if self.resolved.globals[id].definition != MODULE_BASE);
        // No offset in a block makes a weak variable's address null.
        if names_variable
            && site.target == Target::Null
            && let Some(id) = self.resolved.global_id(site.object, site.symbol)
        {
            let place = self.resolved.place(site.object, site.section, site.offset);
            return Err(Error::UndefinedHidden {
                referrer: Referrer::Place(place),
                symbol: self.resolved.symbol_name(site.object, site.symbol),
                visibility: self.resolved.globals[id].visibility.name(),
            });
        }
        let reason = if definition.symbol_type == SymbolType::Tls && !is_tls_use {
            "a thread-local variable is used as if it were an ordinary one"
        } else if names_variable && is_ordinary {
            "an ordinary variable is used as if it were thread-local"
        } else {
            return Ok(());
        };
        Err(Error::ThreadLocalConfusion {
            place: self.resolved.place(site.object, site.section, site.offset),
            relocation: site.reloc.name,
            symbol: self.resolved.symbol_name(site.object, site.symbol),
            reason,
        })
    }

    fn absolute(&mut self, site: &Site) -> Result<()> {
        if matches!(site.target, Target::Absolute(_) | Target::Null) {
            return Ok(());
        }
        // An image moves by whole pages, so where something is in its page is known.
        if site.reloc.field.is_page_offset() && site.target.is_in_image() {
            if self.resolved.is_indirect(site.object, site.symbol) {
                self.plt_address(site);
            }
            return Ok(());
        }
        if site.reloc.field != Field::Xword {
            return Err(self.error(site, Problem::NotPic));
        }
        let section = &self.resolved.objects[site.object].sections[site.section];
        if !section.has_flag(elf::SHF_WRITE) || section.is_eh_frame() {
            return Err(self.error(site, Problem::TextRelocation));
        }
        let word = Word {
            object: site.object,
            section: site.section,
            offset: site.offset,
        };
        match site.target {
            Target::Import(global) => self.scanned.symbolic.push((word, global, site.addend)),
            _ if self.resolved.is_indirect(site.object, site.symbol) => {
                // What is given at load has nothing added to it.
                if site.addend != 0 {
                    self.plt_address(site);
                }
                self.scanned.indirect.push((word, site.symbol));
            }
            _ => self.scanned.relative.push(word),
        }
        Ok(())
    }

    fn import(&mut self, site: &Site, global: GlobalId) {
        if !std::mem::replace(&mut self.is_import_known[global], true) {
            let Site {
                object,
                section,
                offset,
                ..
            } = *site;
            self.scanned.imports.push(Import {
                global,
                object,
                section,
                offset,
            });
        }
    }

    fn slots(&mut self, site: &Site) -> &mut Slots {
        self.scanned
            .slots
            .entry(key(self.resolved, site.object, site.symbol))
            .or_default()
    }

    fn got_entry(&mut self, site: &Site) -> usize {
        if let Some(word) = self.slots(site).got {
            return word;
        }
        let word = self.add_got_entry(site, GotKind::Address, 1);
        self.slots(site).got = Some(word);
        word
    }

    fn plt_entry(&mut self, site: &Site) {
        if self.slots(site).plt.is_some() {
            return;
        }
        let word = if self.resolved.is_indirect(site.object, site.symbol) {
            // Its address may become that of the entry, which cannot jump to itself.
            self.add_got_entry(site, GotKind::Resolved, 1)
        } else {
            self.got_entry(site)
        };
        let index = self.scanned.plt.len();
        self.scanned.plt.push(word);
        self.slots(site).plt = Some(index);
    }

    /// The address of an indirect function, to code, is that of its PLT entry.
    fn plt_address(&mut self, site: &Site) {
        self.plt_entry(site);
        self.slots(site).is_plt_address = true;
    }

    /// Makes the words that hold the address of an indirect function agree with the code.
    fn settle_indirect(&mut self) {
        let (resolved, scanned) = (self.resolved, &mut self.scanned);
        let words = std::mem::take(&mut scanned.indirect);
        for (word, symbol) in words {
            if scanned.slots(resolved, word.object, symbol).is_plt_address {
                scanned.relative.push(word);
            } else {
                scanned.indirect.push((word, symbol));
            }
        }
    }

    fn tls_pair(&mut self, site: &Site) {
        if self.slots(site).tls_pair.is_none() {
            let word = self.add_got_entry(site, GotKind::TlsPair, 2);
            self.slots(site).tls_pair = Some(word);
        }
    }

    fn tls_offset(&mut self, site: &Site) {
        if self.slots(site).tls_offset.is_none() {
            let word = self.add_got_entry(site, GotKind::TlsOffset, 1);
            self.slots(site).tls_offset = Some(word);
        }
    }

    fn tls_descriptor(&mut self, site: &Site) {
        if self.slots(site).tls_descriptor.is_none() {
            let word = self.add_got_entry(site, GotKind::TlsDescriptor, 2);
            self.slots(site).tls_descriptor = Some(word);
        }
    }

    fn tls_module(&mut self, site: &Site) {
        if self.scanned.tls_module_slot.is_none() {
            let word = self.add_got_entry(site, GotKind::TlsModule, 2);
            self.scanned.tls_module_slot = Some(word);
        }
    }

    fn add_got_entry(&mut self, site: &Site, kind: GotKind, n_words: usize) -> usize {
        let word = self.scanned.n_got_words;
        self.scanned.n_got_words += n_words;
        self.scanned.got.push(GotEntry {
            word,
            kind,
            object: site.object,
            symbol: site.symbol,
        });
        word
    }

    fn error(&self, site: &Site, problem: Problem) -> Error {
        let place = self.resolved.place(site.object, site.section, site.offset);
        let symbol = self.resolved.symbol_name(site.object, site.symbol);
        let relocation = site.reloc.name;
        match problem {
            Problem::NotPic => Error::NotPic {
                place,
                relocation,
                symbol,
            },
            Problem::TextRelocation => Error::TextRelocation {
                place,
                relocation,
                symbol,
            },
            Problem::TlsModel => Error::TlsModel {
                place,
                relocation,
                symbol,
            },
            Problem::Unsupported => Error::UnsupportedRelocation {
                place,
                relocation,
                symbol,
            },
        }
    }
}

enum Problem {
    NotPic,
    TextRelocation,
    TlsModel,
    Unsupported,
}
