//! The table of all symbols (`.symtab`), for debuggers and profilers: what the image defines, with
//! the names of local functions, and what it imports.
//!
//! Source: gABI, "Symbol Table".

use object::elf::{self, Sym64};
use object::endian::{LittleEndian as LE, U16, U32, U64};
use object::pod::bytes_of;

use super::Unloaded;
use crate::input::{InputSymbol, SymbolType};
use crate::layout::{HeaderIndices, Layout};
use crate::resolve::{Definition, Resolved, Target};

/// The table and its strings, and before them the indices of sections that do not fit it, if there are any.
pub(super) fn tables(resolved: &Resolved<'_>, layout: &Layout<'_>) -> Vec<Unloaded> {
    let mut writer = Writer {
        resolved,
        layout,
        indices: layout.header_indices(),
        symbols: bytes_of(&Sym64::<LE>::default()).to_vec(),
        large_indices: vec![0],
        strings: vec![0],
    };
    for (index, object) in resolved.objects.iter().enumerate() {
        for symbol in 1..object.first_global {
            writer.add_local(index, symbol);
        }
    }
    for id in 0..resolved.globals.len() {
        if !resolved.is_export(id) && resolved.globals[id].definition != Definition::Undefined {
            writer.add_global(id, elf::STB_LOCAL);
        }
    }
    let n_local = writer.symbols.len() / size_of::<Sym64<LE>>();
    let imports = layout.dynamic_symbols.imports();
    // One that is shared is an export, too.
    let imports = imports.iter().filter(|&&id| !resolved.is_shared(id));
    for &id in imports.chain(layout.dynamic_symbols.exports()) {
        let binding = if resolved.is_weak(id) {
            elf::STB_WEAK
        } else {
            elf::STB_GLOBAL
        };
        writer.add_global(id, binding);
    }
    let table = |name: &[u8], section_type, bytes| Unloaded {
        name: name.to_vec(),
        section_type,
        flags: 0,
        align: 1,
        entry_size: 0,
        links_to_next: false,
        info: 0,
        bytes,
    };
    let symbols = Unloaded {
        align: 8,
        entry_size: size_of::<Sym64<LE>>() as u64,
        links_to_next: true,
        // The index of the first symbol that is not local.
        info: u32::try_from(n_local).unwrap_or(u32::MAX),
        ..table(b".symtab", elf::SHT_SYMTAB, writer.symbols)
    };
    let has_large = writer.large_indices.iter().any(|&index| index != 0);
    let large_indices = (writer.large_indices.iter())
        .flat_map(|index| index.to_le_bytes())
        .collect();
    let large_indices = has_large.then(|| Unloaded {
        align: 4,
        entry_size: size_of::<u32>() as u64,
        links_to_next: true,
        ..table(b".symtab_shndx", elf::SHT_SYMTAB_SHNDX, large_indices)
    });
    let strings = table(b".strtab", elf::SHT_STRTAB, writer.strings);
    large_indices
        .into_iter()
        .chain([symbols, strings])
        .collect()
}

struct Writer<'a, 'data> {
    resolved: &'a Resolved<'data>,
    layout: &'a Layout<'data>,
    indices: HeaderIndices<'a>,
    symbols: Vec<u8>,
    /// For each symbol the index of its section if its entry has no room for it, or 0.
    large_indices: Vec<u32>,
    strings: Vec<u8>,
}

impl Writer<'_, '_> {
    fn add_local(&mut self, object: usize, symbol: usize) {
        let own = &self.resolved.objects[object].symbols[symbol];
        // Assemblers' own labels are for the assembler.
        let is_named = !own.name.is_empty() && !own.name.starts_with(b".L");
        let is_code_or_data = !matches!(own.symbol_type, SymbolType::Section | SymbolType::File);
        if is_named && is_code_or_data {
            let target = self.resolved.described_target(object, symbol);
            self.add(own, target, own.size, elf::STB_LOCAL);
        }
    }

    fn add_global(&mut self, id: usize, binding: elf::SymbolBind) {
        let target = self.resolved.defined_target(id);
        if let Definition::Symbol { object, symbol } = self.resolved.globals[id].definition {
            let own = &self.resolved.objects[object].symbols[symbol];
            self.add(own, target, self.resolved.size(object, symbol), binding);
        } else if let Target::Import(_) = target {
            let name = self.name(self.resolved.globals[id].name);
            let mut entry = Sym64::<LE> {
                st_name: U32::new(LE, name),
                ..Sym64::default()
            };
            entry.set_st_info(binding, elf::STT_NOTYPE);
            self.symbols.extend_from_slice(bytes_of(&entry));
            self.large_indices.push(0);
        }
    }

    fn add(
        &mut self,
        symbol: &InputSymbol<'_>,
        target: Target,
        size: u64,
        binding: elf::SymbolBind,
    ) {
        let mut address = self.layout.target_address(self.resolved, target);
        let is_tls = symbol.symbol_type == SymbolType::Tls;
        let (section, index) = match target {
            Target::Absolute(_) => (elf::SHN_ABS, 0),
            _ if target.is_in_image() => {
                let index = self.indices.of(address, is_tls);
                (elf::SymbolSection::new(index), index)
            }
            _ => return,
        };
        // In no section that the image has: nothing is to be found there.
        if section == elf::SHN_UNDEF {
            return;
        }
        if is_tls {
            // A local symbol may say it is anywhere.
            let start = self.layout.tls.as_ref().map_or(0, |tls| tls.memory.start);
            address = address.wrapping_sub(start);
        }
        let name = self.name(symbol.name);
        let mut entry = Sym64::<LE> {
            st_name: U32::new(LE, name),
            st_shndx: U16::new(LE, section),
            st_value: U64::new(LE, address),
            st_size: U64::new(LE, size),
            ..Sym64::default()
        };
        entry.set_st_info(binding, crate::write::elf_type(symbol.symbol_type));
        self.symbols.extend_from_slice(bytes_of(&entry));
        let is_large = section == elf::SHN_XINDEX;
        self.large_indices.push(if is_large { index } else { 0 });
    }

    /// Adds a name to the strings; gives where it is.
    fn name(&mut self, name: &[u8]) -> u32 {
        let at = u32::try_from(self.strings.len()).unwrap_or(0);
        self.strings.extend_from_slice(name);
        self.strings.push(0);
        at
    }
}
