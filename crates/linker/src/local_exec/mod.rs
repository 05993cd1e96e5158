//! Local-exec code: made for an executable, where a thread-local variable's distance from the thread
//! pointer is a number in the instruction.
//!
//! In an image that number is known at load only, and nothing changes code at load. So the
//! instruction becomes a branch to code behind the object's own that loads the number from the GOT, does the
//! same with it, and comes back. It is slower, but compilers that make code for executables unless told
//! otherwise are the rule. What has no such form is left for scanning to refuse.
//!
//! Nothing unwinds through the moved code: it calls nothing.
//!
//! The result is an object like any other, so no other phase knows of this one.

mod aarch64;
mod x86_64;

use std::borrow::Cow;
use std::ops::Range;

use farcall_arch::{Expression, Machine};
use object::elf::{self, Rela64};
use object::endian::{I64, LittleEndian as LE, U64};

use crate::input::{Binding, InputSymbol, Object, Placement, Section, SymbolType, Visibility};
use crate::resolve::Resolved;

/// An instruction that goes out of line.
struct OutOfLine {
    /// Where it is in its section.
    instruction: Range<usize>,
    /// What stands there instead.
    branch: Vec<u8>,
    /// Makes the branch go to the code: the offset counts from the instruction's start.
    to_code: Fixup,
    /// What does the same out of line.
    code: Vec<u8>,
    /// Loads from the variable's GOT entry: the offset counts from the start of the code.
    to_got: Vec<Fixup>,
    /// The branch back behind the instruction, likewise, if the instruction does not branch itself.
    back: Option<Fixup>,
}

/// A relocation without its symbol.
#[derive(Debug, Clone, Copy)]
struct Fixup {
    offset: usize,
    r_type: u32,
    addend: i64,
}

/// Bytes to which the code of an instruction is aligned.
const CODE_ALIGN: usize = 4;

/// Takes the local-exec instructions of all objects out of line.
pub(crate) fn move_out_of_line(resolved: &mut Resolved<'_>) {
    for index in 0..resolved.objects.len() {
        let has_variables = resolved.objects[index]
            .symbols
            .iter()
            .any(|symbol| symbol.symbol_type == SymbolType::Tls);
        if !has_variables {
            continue;
        }
        for section in 0..resolved.objects[index].sections.len() {
            let is_code = resolved.objects[index].sections[section].has_flag(elf::SHF_EXECINSTR);
            if !is_code || !resolved.is_kept(index, section) {
                continue;
            }
            let moves = moves(&resolved.objects[index], section);
            if !moves.is_empty() {
                apply(&mut resolved.objects[index], section, &moves);
                resolved.keep_last_section(index);
            }
        }
    }
}

/// The local-exec instructions of a section that can go out of line, each with the index of its
/// relocation.
fn moves(object: &Object<'_>, section_index: usize) -> Vec<(usize, OutOfLine)> {
    let section = &object.sections[section_index];
    let is_local_exec = |relocation: &Rela64<LE>| {
        let reloc = object.machine.reloc(relocation.r_type(LE, false).0);
        reloc.is_some_and(|reloc| reloc.expression == Expression::TlsOffset)
    };
    let mut wanted: Vec<usize> = (0..section.relocations.len())
        .filter(|&index| is_local_exec(&section.relocations[index]))
        .collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let place = |index: usize| section.relocations[index].r_offset.get(LE);
    wanted.sort_by_key(|&index| place(index));
    let mut places: Vec<u64> = (0..section.relocations.len()).map(place).collect();
    places.sort_unstable();
    let starts = function_starts(object, section_index);
    // Where an instruction is known to start.
    let mut known = 0;
    let mut moves = Vec::new();
    for index in wanted {
        let relocation = &section.relocations[index];
        let Ok(offset) = usize::try_from(relocation.r_offset.get(LE)) else {
            continue;
        };
        let before = starts.partition_point(|&start| start <= offset);
        let start = before.checked_sub(1).map_or(0, |before| starts[before]);
        known = start.max(known);
        let field = Field {
            offset,
            r_type: relocation.r_type(LE, false).0,
            addend: relocation.r_addend.get(LE),
        };
        let moved = match object.machine {
            Machine::X86_64 => x86_64::out_of_line(&section.data, known, field),
            Machine::Aarch64 => aarch64::out_of_line(&section.data, field),
            _ => None,
        };
        // What else is relocated in the instruction would not move with it.
        let is_alone = |moved: &OutOfLine| {
            let until = |end: usize| places.partition_point(|&place| place < end as u64);
            until(moved.instruction.end) - until(moved.instruction.start) == 1
        };
        if let Some(moved) = moved.filter(is_alone) {
            known = moved.instruction.end;
            moves.push((index, moved));
        }
    }
    moves
}

/// A local-exec relocation.
#[derive(Debug, Clone, Copy)]
struct Field {
    /// In its section.
    offset: usize,
    r_type: u32,
    addend: i64,
}

/// Where the functions and labels of a section are, ascending.
fn function_starts(object: &Object<'_>, section: usize) -> Vec<usize> {
    let is_code = |symbol: &&InputSymbol<'_>| {
        symbol.placement == Placement::Section(section)
            && matches!(symbol.symbol_type, SymbolType::Function | SymbolType::None)
    };
    let mut starts: Vec<usize> = (object.symbols.iter())
        .filter(is_code)
        .filter_map(|symbol| usize::try_from(symbol.value).ok())
        .collect();
    starts.sort_unstable();
    starts
}

/// Puts the branches into a section and the code into a new one, the object's last.
fn apply(object: &mut Object<'_>, section_index: usize, moves: &[(usize, OutOfLine)]) {
    let code_section = object.sections.len();
    let mut code = Vec::new();
    let mut code_relocations = Vec::new();
    for (index, moved) in moves {
        code.resize(
            code.len().next_multiple_of(CODE_ALIGN),
            object.machine.code_fill(),
        );
        let start = code.len();
        code.extend_from_slice(&moved.code);

        let entry = add_symbol(object, code_section, start);
        let section = &mut object.sections[section_index];
        section.data.to_mut()[moved.instruction.clone()].copy_from_slice(&moved.branch);
        let relocation = &mut section.relocations.to_mut()[*index];
        let symbol = relocation.r_sym(LE, false);
        *relocation = rela(moved.to_code, moved.instruction.start, entry);

        let to_got = moved.to_got.iter();
        code_relocations.extend(to_got.map(|&fixup| rela(fixup, start, symbol)));
        if let Some(back) = moved.back {
            let behind = add_symbol(object, section_index, moved.instruction.end);
            code_relocations.push(rela(back, start, behind));
        }
    }
    object.sections.push(Section {
        name: b".text",
        section_type: elf::SHT_PROGBITS,
        flags: elf::SHF_ALLOC.0 | elf::SHF_EXECINSTR.0,
        entry_size: 0,
        size: code.len() as u64,
        data: Cow::Owned(code),
        align: CODE_ALIGN as u64,
        relocations: Cow::Owned(code_relocations),
        is_debug_info: false,
        describes: None,
        priority: 0,
    });
}

fn rela(fixup: Fixup, start: usize, symbol: u32) -> Rela64<LE> {
    Rela64 {
        r_offset: U64::new(LE, (start + fixup.offset) as u64),
        r_info: U64::new(LE, u64::from(symbol) << 32 | u64::from(fixup.r_type)),
        r_addend: I64::new(LE, fixup.addend),
    }
}

/// Adds a symbol without a name, behind those that the object came with; gives its index.
fn add_symbol(object: &mut Object<'_>, section: usize, offset: usize) -> u32 {
    let index = object.symbols.len();
    object.symbols.push(InputSymbol {
        name: b"",
        value: offset as u64,
        size: 0,
        placement: Placement::Section(section),
        binding: Binding::Local,
        symbol_type: SymbolType::None,
        visibility: Visibility::Default,
        marks: 0,
    });
    u32::try_from(index).unwrap_or(0)
}
