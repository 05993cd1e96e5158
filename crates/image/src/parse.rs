//! Every check of an image's form.
//!
//! The form is stricter than ELF's, so that loading has no cases:
//!
//! - The first segment starts at file offset 0 and address 0, is read-only, and holds the headers,
//!   the notes and every table but the dynamic one; in it, an address is a file offset.
//! - Segments ascend, share no page, and none is writable and executable.
//! - Relocations write whole, 8-byte words of writable segments, TLS descriptors two of one segment.
//! - What loading calls to find an indirect function is in an executable segment.
//! - Constructors and destructors are arrays of pointers in writable segments.
//! - Where the segments stand at one distance (`packing`), nothing that is used after loading is
//!   among the tables.

use std::ops::Range;

use farcall_arch::{Expression, Machine};
use object::elf::{self, FileHeader64, ProgramHeader64, Rela64};
use object::endian::{LittleEndian as LE, U64};
use object::pod::{Pod, from_bytes, slice_from_all_bytes};

use crate::dynamic::{self, DynamicTable};
use crate::exports::{ExportTables, Exports};
use crate::image::{Image, Segment, TlsTemplate};
use crate::manifest::{NOTE_OWNER, NOTE_TYPE_MANIFEST};
use crate::{
    Bundle, DIGEST_SIZE, Digest, Error, Manifest, Result, code_signature, packing, unwind,
};

/// Images are smaller than the reach of 32-bit displacements on either side.
const MAX_SPAN: u64 = 1 << 40;

/// Linkers make four or five; loading searches them for every word that it relocates.
const MAX_SEGMENTS: usize = 16;

/// Every thread that uses them has a copy.
const MAX_TLS_SIZE: u64 = 1 << 30;

pub(crate) fn parse(whole: &[u8]) -> Result<Image<'_>> {
    let (bytes, code_signature) = code_signature::split(whole)?;
    let (machine, headers) = file_header(bytes)?;
    // First of all: other shared objects and executables have no reason to keep the rules below.
    let notes = notes(bytes, headers)?;
    let mut segments = segments(bytes, headers, machine)?;
    let first_segment = &bytes[segments[0].file.clone()];
    if notes.end() > first_segment.len() {
        return Err(Error::Corrupt {
            what: "notes",
            reason: "they leave the first segment",
        });
    }
    let (dynamic, dynamic_memory) = dynamic_table(bytes, headers)?;

    let in_first = |range: Option<Range<u64>>, what| first_range(range, first_segment, what);
    let strings = dynamic
        .strings
        .and_then(|start| Some(start..start.checked_add(dynamic.strings_size)?));
    let strings = in_first(strings, "dynamic string table")?;
    let start_in_first = |address: Option<u64>, what| {
        in_first(address.map(|at| at..at), what).map(|range| range.start)
    };
    let symbols_start = start_in_first(dynamic.symbols, "dynamic symbol table")?;
    let hash = start_in_first(dynamic.hash, "GNU hash table")?;
    let export_tables = ExportTables::parse(first_segment, symbols_start, strings, hash)?;
    let exports = Exports::new(first_segment, &export_tables).ok_or(Error::Corrupt {
        what: "dynamic symbol table",
        reason: "it leaves the first segment",
    })?;

    let rela = in_first(dynamic.rela.range(24), "relocation table")?;
    let relr = in_first(dynamic.relr.range(8), "relative relocation table")?;
    let unwind_header = unwind_header(first_segment, headers)?;
    let unwind = unwind_header.map(|header| unwind::unwind_table(first_segment, header));
    let unwind = unwind.transpose()?;
    let relro = relro(headers, &segments, machine)?;
    let is_packed = packing::is_packed(machine, &segments, &relro);
    if is_packed {
        // No more than what is seen to be a table: what a size says too much would be constants that are
        // missing.
        let export_end = export_tables.end_in_use(&exports);
        let unwind_end = unwind.as_ref().map_or(0, |unwind| unwind.entries.end);
        let ends = [notes.end(), export_end, rela.end, relr.end, unwind_end];
        let tables_end = ends.into_iter().max().unwrap_or(0) as u64;
        packing::leave_out_tables(&mut segments, &relro, tables_end, &dynamic_memory);
    }
    let rela: &[Rela64<LE>] = table(&first_segment[rela], "relocation table")?;
    let relr: &[U64<LE>] = table(&first_segment[relr], "relative relocation table")?;
    let tls = tls_template(headers, &segments)?;
    let exports_indirect = check_symbols(&exports, &segments, tls.as_ref())?;
    check_relocations(machine, rela, relr, exports.symbols().len(), &segments)?;

    let array = |table: dynamic::Table, what| -> Result<Range<u64>> {
        let reason = "it is not an array of pointers in one writable segment";
        let range = table.range(8).filter(|range| {
            range.is_empty()
                || (range.start % 8 == 0 && writable_segment(&segments, range).is_some())
        });
        range.ok_or(Error::Corrupt { what, reason })
    };
    let has_records = |segment: &Segment, records: &Range<u64>| {
        segment.resident.start <= records.start && records.end <= segment.resident.end
    };
    if unwind
        .as_ref()
        .is_some_and(|unwind| !has_records(&segments[0], &unwind.records))
    {
        return Err(Error::Corrupt {
            what: "unwind table",
            reason: "it stands among the tables that are for loading only",
        });
    }
    let manifest = Manifest::decode(&first_segment[notes.manifest.clone()])?;
    let lookup = export_tables.range();
    Ok(Image {
        bytes: whole,
        content: bytes,
        code_signature,
        machine,
        relro,
        tls,
        is_packed,
        exports_indirect,
        lookup_tables: lookup.start.min(notes.manifest.start)..lookup.end.max(notes.manifest.end),
        export_tables,
        exports,
        rela,
        relr,
        init_array: array(dynamic.init_array, "constructor table")?,
        fini_array: array(dynamic.fini_array, "destructor table")?,
        unwind,
        digest: notes.digest,
        digest_offset: notes.digest_offset,
        manifest_range: notes.manifest,
        manifest,
        segments,
    })
}

fn file_header(bytes: &[u8]) -> Result<(Machine, &[ProgramHeader64<LE>])> {
    let not = |what| Err(Error::NotSharedObject { what });
    if Bundle::is_bundle(bytes) {
        return Err(Error::IsBundle);
    }
    if !bytes.starts_with(&elf::ELFMAG) {
        return Err(Error::NotElf);
    }
    let (header, _) = from_bytes::<FileHeader64<LE>>(bytes).map_err(|()| Error::NotElf)?;
    if header.e_ident.class != elf::ELFCLASS64 || header.e_ident.data != elf::ELFDATA2LSB {
        return not("that is not 64-bit little-endian");
    }
    match header.e_type.get(LE) {
        elf::ET_DYN => {}
        elf::ET_REL => return not("object file (ET_REL): link it first"),
        elf::ET_EXEC => return not("fixed-address executable (ET_EXEC)"),
        elf::ET_CORE => return not("core dump"),
        _ => return not("of an unknown type"),
    }
    let e_machine = header.e_machine.get(LE).0;
    let machine = Machine::from_e_machine(e_machine).ok_or(Error::UnknownMachine { e_machine })?;
    if usize::from(header.e_phentsize.get(LE)) != size_of::<ProgramHeader64<LE>>() {
        return not("with program headers of an unknown size");
    }
    let count = u64::from(header.e_phnum.get(LE));
    let size = count * size_of::<ProgramHeader64<LE>>() as u64;
    let range = file_range(bytes, header.e_phoff.get(LE), size, "program header table")?;
    Ok((machine, table(&bytes[range], "program header table")?))
}

/// The checked byte range of `size` bytes from `offset` of the file on.
fn file_range(bytes: &[u8], offset: u64, size: u64, what: &'static str) -> Result<Range<usize>> {
    let end = offset.checked_add(size);
    let range = end.and_then(|end| Some(usize::try_from(offset).ok()?..usize::try_from(end).ok()?));
    range
        .filter(|range| range.end <= bytes.len())
        .ok_or(Error::Truncated {
            what,
            end: end.unwrap_or(u64::MAX),
            size: bytes.len() as u64,
        })
}

/// The range as indices of the first segment, if it lies in it.
fn first_range(
    range: Option<Range<u64>>,
    first_segment: &[u8],
    what: &'static str,
) -> Result<Range<usize>> {
    let range = range.ok_or(Error::Corrupt {
        what,
        reason: "it is missing or has no valid size",
    })?;
    file_range(first_segment, range.start, range.end - range.start, what)
}

fn table<'data, T: Pod>(bytes: &'data [u8], what: &'static str) -> Result<&'data [T]> {
    let reason = "it does not hold whole entries";
    slice_from_all_bytes(bytes).map_err(|()| Error::Corrupt { what, reason })
}

fn segments(
    bytes: &[u8],
    headers: &[ProgramHeader64<LE>],
    machine: Machine,
) -> Result<Vec<Segment>> {
    let page = machine.max_page_size();
    let mut segments: Vec<Segment> = Vec::new();
    for (index, header) in headers.iter().enumerate() {
        let corrupt = |reason| Error::CorruptEntry {
            what: "program header",
            index,
            reason,
        };
        let flags = header.p_flags.get(LE);
        match header.p_type.get(LE) {
            elf::PT_LOAD => {}
            elf::PT_INTERP => {
                return Err(Error::Unsupported {
                    what: "a program interpreter",
                });
            }
            elf::PT_GNU_STACK if flags.0 & elf::PF_X.0 != 0 => {
                return Err(Error::Unsupported {
                    what: "an executable stack",
                });
            }
            _ => continue,
        }
        let file = file_range(
            bytes,
            header.p_offset.get(LE),
            header.p_filesz.get(LE),
            "segment",
        )?;
        let start = header.p_vaddr.get(LE);
        let end = start
            .checked_add(header.p_memsz.get(LE))
            .filter(|&end| end <= MAX_SPAN);
        let memory = start..end.ok_or(corrupt("it ends beyond the largest address"))?;
        let align = header.p_align.get(LE);
        if header.p_filesz.get(LE) > header.p_memsz.get(LE) {
            return Err(corrupt("it is larger in the file than in memory"));
        }
        if !align.is_power_of_two() || align < page || align > MAX_SPAN {
            return Err(corrupt(
                "its alignment is no power of two of at least a page",
            ));
        }
        if memory.start % page != header.p_offset.get(LE) % page {
            return Err(corrupt(
                "its address and its offset in the file differ within a page",
            ));
        }
        let previous_end = segments.last().map_or(0, |segment| segment.memory.end);
        if !segments.is_empty() && memory.start / page * page < previous_end.next_multiple_of(page)
        {
            return Err(corrupt(
                "it shares a page with the segment before, or comes before it",
            ));
        }
        let writable = flags.0 & elf::PF_W.0 != 0;
        let executable = flags.0 & elf::PF_X.0 != 0;
        if writable && executable {
            return Err(corrupt("it is writable and executable"));
        }
        if flags.0 & elf::PF_R.0 == 0 {
            return Err(corrupt("it is not readable"));
        }
        if segments.len() == MAX_SEGMENTS {
            return Err(Error::Unsupported {
                what: "more than 16 segments",
            });
        }
        segments.push(Segment {
            resident: memory.clone(),
            memory,
            file,
            align,
            writable,
            executable,
        });
    }
    let first_is_headers = segments.first().is_some_and(|first| {
        let length = first.memory.end;
        first.memory.start == 0
            && first.file.start == 0
            && !first.writable
            && !first.executable
            && usize::try_from(length).is_ok_and(|length| length == first.file.end)
    });
    if !first_is_headers {
        let reason = "the first segment is not the read-only start of the file";
        return Err(Error::Corrupt {
            what: "program headers",
            reason,
        });
    }
    Ok(segments)
}

fn program_header(
    headers: &[ProgramHeader64<LE>],
    p_type: elf::ProgramType,
) -> Option<&ProgramHeader64<LE>> {
    headers
        .iter()
        .find(|header| header.p_type.get(LE) == p_type)
}

/// The dynamic table, and the addresses where it is.
fn dynamic_table(
    bytes: &[u8],
    headers: &[ProgramHeader64<LE>],
) -> Result<(DynamicTable, Range<u64>)> {
    let header = program_header(headers, elf::PT_DYNAMIC).ok_or(Error::NoManifest)?;
    let what = "dynamic table";
    let range = file_range(
        bytes,
        header.p_offset.get(LE),
        header.p_filesz.get(LE),
        what,
    )?;
    let start = header.p_vaddr.get(LE);
    let memory = start..start.saturating_add(range.len() as u64);
    Ok((DynamicTable::parse(table(&bytes[range], what)?)?, memory))
}

/// The writable segment that holds all of `range`.
fn writable_segment<'a>(segments: &'a [Segment], range: &Range<u64>) -> Option<&'a Segment> {
    segments.iter().find(|segment| {
        segment.writable
            && segment.resident.start <= range.start
            && range.end <= segment.resident.end
    })
}

/// Whether an executable segment holds `address`.
fn is_executable(segments: &[Segment], address: u64) -> bool {
    let mut segments = segments.iter();
    segments.any(|segment| segment.executable && segment.resident.contains(&address))
}

fn relro(
    headers: &[ProgramHeader64<LE>],
    segments: &[Segment],
    machine: Machine,
) -> Result<Range<u64>> {
    let Some(header) = program_header(headers, elf::PT_GNU_RELRO) else {
        return Ok(0..0);
    };
    let page = machine.max_page_size();
    let start = header.p_vaddr.get(LE) / page * page;
    let end = header.p_vaddr.get(LE).checked_add(header.p_memsz.get(LE));
    let end = end.and_then(|end| end.checked_next_multiple_of(page));
    let range = start..end.unwrap_or(u64::MAX);
    // It starts where a writable segment does, and takes no page that this segment has not.
    let covered = segments.iter().any(|segment| {
        segment.writable
            && segment.memory.start / page * page == range.start
            && range.end <= segment.memory.end.next_multiple_of(page)
    });
    let reason = "it is not the start of a writable segment";
    if covered {
        Ok(range)
    } else {
        Err(Error::Corrupt {
            what: "relro segment",
            reason,
        })
    }
}

fn tls_template(
    headers: &[ProgramHeader64<LE>],
    segments: &[Segment],
) -> Result<Option<TlsTemplate>> {
    let Some(header) = program_header(headers, elf::PT_TLS) else {
        return Ok(None);
    };
    let corrupt = |reason| Error::Corrupt {
        what: "TLS segment",
        reason,
    };
    let (vaddr, file_size) = (header.p_vaddr.get(LE), header.p_filesz.get(LE));
    let (memory_size, align) = (header.p_memsz.get(LE), header.p_align.get(LE).max(1));
    if file_size > memory_size {
        return Err(corrupt("it is larger in the file than in memory"));
    }
    if memory_size > MAX_TLS_SIZE {
        return Err(corrupt("it is larger than 1 GiB"));
    }
    if !align.is_power_of_two() || align > 1 << 16 {
        return Err(corrupt("its alignment is no power of two up to 64 KiB"));
    }
    if vaddr % align != 0 {
        return Err(corrupt("its address is not a multiple of its alignment"));
    }
    let file = segments.iter().find_map(|segment| {
        let file = segment.resident_file();
        let skip = usize::try_from(vaddr.checked_sub(segment.resident.start)?).ok()?;
        let start = file.start.checked_add(skip)?;
        let end = start.checked_add(usize::try_from(file_size).ok()?)?;
        (end <= file.end).then_some(start..end)
    });
    let file = match file {
        Some(file) => file,
        None if file_size == 0 => 0..0,
        None => return Err(corrupt("its bytes are in no segment")),
    };
    Ok(Some(TlsTemplate {
        file,
        vaddr,
        memory_size,
        align,
    }))
}

/// Gives whether an indirect function is among the exports.
fn check_symbols(
    exports: &Exports<'_>,
    segments: &[Segment],
    tls: Option<&TlsTemplate>,
) -> Result<bool> {
    let mut exports_indirect = false;
    let first_export = usize::try_from(exports.first_export()).unwrap_or(usize::MAX);
    for (index, symbol) in exports.symbols().iter().enumerate().skip(1) {
        let corrupt = |reason| Error::CorruptEntry {
            what: "dynamic symbol",
            index,
            reason,
        };
        if !exports.has_string(symbol.st_name.get(LE)) {
            return Err(corrupt("it has no name in the string table"));
        }
        if symbol.st_bind() == elf::STB_LOCAL {
            return Err(corrupt("it is local"));
        }
        let section = symbol.st_shndx.get(LE);
        let is_code = || is_executable(segments, symbol.st_value.get(LE));
        let is_indirect = symbol.st_type() == elf::STT_GNU_IFUNC && section != elf::SHN_UNDEF;
        exports_indirect |= is_indirect;
        if is_indirect && (section == elf::SHN_ABS || !is_code()) {
            return Err(corrupt(
                "what finds its indirect function is in no executable segment",
            ));
        }
        if (section == elf::SHN_UNDEF) != (index < first_export) {
            return Err(corrupt("imports do not come before exports"));
        }
        if section == elf::SHN_UNDEF || section == elf::SHN_ABS {
            continue;
        }
        let end = symbol.st_value.get(LE).checked_add(symbol.st_size.get(LE));
        let range = symbol.st_value.get(LE)..end.ok_or(corrupt("its size wraps"))?;
        let inside = if symbol.st_type() == elf::STT_TLS {
            tls.is_some_and(|tls| range.end <= tls.memory_size)
        } else {
            let holds = |segment: &Segment| {
                segment.resident.start <= range.start && range.end <= segment.resident.end
            };
            segments.iter().any(holds)
        };
        if !inside {
            return Err(corrupt("it lies in no segment"));
        }
    }
    Ok(exports_indirect)
}

fn check_relocations(
    machine: Machine,
    rela: &[Rela64<LE>],
    relr: &[U64<LE>],
    n_symbols: usize,
    segments: &[Segment],
) -> Result<()> {
    // The place before is mostly in the same segment.
    let mut last = 0..0;
    let mut is_place = |range: Range<u64>| {
        if range.start > range.end {
            return false;
        }
        if last.start <= range.start && range.end <= last.end {
            return true;
        }
        let segment = writable_segment(segments, &range);
        last = segment.map_or(0..0, |segment| segment.resident.clone());
        segment.is_some()
    };
    let place_of = |start: u64, size: u64| start..start.wrapping_add(size);
    for (index, entry) in rela.iter().enumerate() {
        let corrupt = |reason| Error::CorruptEntry {
            what: "relocation",
            index,
            reason,
        };
        let relocation = dynamic::relocation(machine, entry)
            .ok_or(corrupt("its type is not one that images have"))?;
        if usize::try_from(relocation.symbol).is_ok_and(|symbol| symbol >= n_symbols) {
            return Err(corrupt("its symbol is past the symbol table"));
        }
        if !is_place(place_of(relocation.place, relocation.size())) {
            return Err(corrupt("its place is in no writable segment"));
        }
        if relocation.expression == Expression::IndirectRelative {
            if relocation.symbol != 0 {
                return Err(corrupt("it is indirect and has a symbol"));
            }
            if !is_executable(segments, relocation.addend.cast_unsigned()) {
                return Err(corrupt(
                    "what finds its indirect function is in no executable segment",
                ));
            }
        }
    }
    if relr.first().is_some_and(|word| word.get(LE) & 1 == 1) {
        let reason = "it starts with a bitmap";
        return Err(Error::Corrupt {
            what: "relative relocation table",
            reason,
        });
    }
    for (index, word) in dynamic::relr_words(relr).enumerate() {
        // A word of them at once; one that no segment has whole may be in two.
        let mut addresses = word.addresses();
        if !is_place(word.span()) && !addresses.all(|address| is_place(place_of(address, 8))) {
            return Err(Error::CorruptEntry {
                what: "word of relative relocations",
                index,
                reason: "its place is in no writable segment",
            });
        }
    }
    Ok(())
}

struct Notes {
    digest: Digest,
    digest_offset: usize,
    manifest: Range<usize>,
}

impl Notes {
    /// The byte offset behind both.
    fn end(&self) -> usize {
        self.manifest.end.max(self.digest_offset + DIGEST_SIZE)
    }
}

/// The build-id and the manifest. gABI, "Note Section": two sizes and a type, then the owner and
/// the descriptor, each padded to 4 bytes.
fn notes(bytes: &[u8], headers: &[ProgramHeader64<LE>]) -> Result<Notes> {
    let mut digest = None;
    let mut manifest = None;
    for header in headers
        .iter()
        .filter(|header| header.p_type.get(LE) == elf::PT_NOTE)
    {
        let (offset, size) = (header.p_offset.get(LE), header.p_filesz.get(LE));
        let range = file_range(bytes, offset, size, "notes")?;
        let mut at = range.start;
        while at < range.end {
            let (note, end) = note(bytes, at..range.end).ok_or(Error::Corrupt {
                what: "notes",
                reason: "a note leaves its segment",
            })?;
            let descriptor = &bytes[note.descriptor.clone()];
            match (note.owner, note.note_type) {
                (b"GNU\0", 3) => {
                    digest = descriptor
                        .first_chunk::<DIGEST_SIZE>()
                        .map(|&bytes| (Digest::from_bytes(bytes), note.descriptor.start));
                }
                (NOTE_OWNER, NOTE_TYPE_MANIFEST) => manifest = Some(note.descriptor),
                _ => {}
            }
            at = end;
        }
    }
    let (digest, digest_offset) = digest.ok_or(Error::NoManifest)?;
    Ok(Notes {
        digest,
        digest_offset,
        manifest: manifest.ok_or(Error::NoManifest)?,
    })
}

struct Note<'data> {
    owner: &'data [u8],
    note_type: u32,
    descriptor: Range<usize>,
}

/// The note at the start of `range`, and where the next one starts.
fn note(bytes: &[u8], range: Range<usize>) -> Option<(Note<'_>, usize)> {
    let word = |at: usize| -> Option<usize> {
        let word = bytes.get(at..at.checked_add(4)?)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*word)).ok()
    };
    let (owner_size, descriptor_size) = (word(range.start)?, word(range.start + 4)?);
    let note_type = u32::try_from(word(range.start + 8)?).ok()?;
    let owner_start = range.start + 12;
    let owner_end = owner_start.checked_add(owner_size)?;
    let start = owner_start.checked_add(owner_size.checked_next_multiple_of(4)?)?;
    let end = start.checked_add(descriptor_size)?;
    let next = start.checked_add(descriptor_size.checked_next_multiple_of(4)?)?;
    if end > range.end {
        return None;
    }
    let owner = bytes.get(owner_start..owner_end)?;
    Some((
        Note {
            owner,
            note_type,
            descriptor: start..end,
        },
        next,
    ))
}

fn unwind_header(
    first_segment: &[u8],
    headers: &[ProgramHeader64<LE>],
) -> Result<Option<Range<usize>>> {
    let Some(header) = program_header(headers, elf::PT_GNU_EH_FRAME) else {
        return Ok(None);
    };
    let (vaddr, size) = (header.p_vaddr.get(LE), header.p_filesz.get(LE));
    file_range(first_segment, vaddr, size, "unwind table header").map(Some)
}
