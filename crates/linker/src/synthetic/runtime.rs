//! The functions that a compiler driver links from the C library's static part, as an object.

use std::borrow::Cow;

use farcall_arch::{Machine, RuntimeFunction};
use object::elf::{self, Rela64};
use object::endian::{I64, LittleEndian as LE, U64};

use crate::input::{Binding, InputSymbol, Object, Placement, Section, SymbolType, Visibility};

/// The object that defines `function`, hidden: every image has its own.
pub(crate) fn runtime_object(machine: Machine, function: &RuntimeFunction) -> Object<'static> {
    const TEXT: usize = 1;
    let symbol = |name: &'static str, placement, visibility| InputSymbol {
        name: name.as_bytes(),
        value: 0,
        size: 0,
        placement,
        binding: Binding::Global,
        symbol_type: SymbolType::Function,
        visibility,
        marks: 0,
    };
    let mut symbols = vec![InputSymbol {
        binding: Binding::Local,
        symbol_type: SymbolType::None,
        ..symbol("", Placement::Undefined, Visibility::Default)
    }];
    symbols.push(InputSymbol {
        size: function.code.len() as u64,
        ..symbol(function.name, Placement::Section(TEXT), Visibility::Hidden)
    });
    let mut relocations = Vec::new();
    for relocation in function.relocations {
        let index = symbols.len() as u64;
        symbols.push(symbol(
            relocation.symbol,
            Placement::Undefined,
            Visibility::Default,
        ));
        relocations.push(Rela64 {
            r_offset: U64::new(LE, relocation.offset),
            r_info: U64::new(LE, index << 32 | u64::from(relocation.r_type)),
            r_addend: I64::new(LE, relocation.addend),
        });
    }
    let null = Section {
        name: b"",
        section_type: elf::SHT_NULL,
        flags: 0,
        entry_size: 0,
        data: Cow::Borrowed(&[]),
        size: 0,
        align: 1,
        relocations: Cow::Borrowed(&[]),
        is_debug_info: false,
        describes: None,
        priority: 0,
    };
    let text = Section {
        name: b".text",
        section_type: elf::SHT_PROGBITS,
        flags: elf::SHF_ALLOC.0 | elf::SHF_EXECINSTR.0,
        entry_size: 0,
        data: Cow::Borrowed(function.code),
        size: function.code.len() as u64,
        align: 16,
        relocations: Cow::Owned(relocations),
        is_debug_info: false,
        describes: None,
        priority: 0,
    };
    Object {
        name: format!("farcall's own {}", function.name),
        machine,
        sections: vec![null, text],
        symbols,
        first_global: 1,
        groups: Vec::new(),
        default_versions: Vec::new(),
        properties: None,
    }
}
