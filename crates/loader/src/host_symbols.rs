//! The symbol table of the program that the process runs: what its debuggers read, `.symtab`.
//!
//! It has every function and variable of the program, also those that the program does not export. It is
//! not loaded with the program, so it is read from its file, once in a process.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, Sym64};
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _, Sym as _};
use object::read::{ReadCache, StringTable};

use crate::kind::Kind;
use crate::relocate::Value;
use crate::sys::host::{self, Program};
use crate::sys::noexcept;

/// The names of the host's symbol table.
#[derive(Debug)]
pub(crate) struct HostSymbols(HashMap<&'static [u8], HostSymbol>);

/// What the table says of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HostSymbol {
    Function(u64),
    /// The code that says which function it is.
    IndirectFunction(u64),
    Variable(u64),
    /// What its author gave no type: a label of assembly, or a number.
    Untyped(u64),
    ThreadLocal {
        module: u64,
        offset: u64,
    },
    /// Several source files have their own, each another.
    Ambiguous,
}

/// Why there is no table.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Stripped,
    /// The file is not that of the program, as when the dynamic linker was told to run it.
    OtherProgram,
    Malformed(object::read::Error),
    System(io::Error),
}

impl HostSymbols {
    /// The table, read unless it has been. One thread reads; others wait. It stays to the end of the
    /// process. A failure is not remembered: open files may be scarce only now.
    pub(crate) fn of_this_process() -> Result<&'static Self, Unreadable> {
        static TABLE: Mutex<Option<&'static HostSymbols>> = Mutex::new(None);
        let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = *table {
            return Ok(table);
        }
        let program = host::program().ok_or(Unreadable::OtherProgram)?;
        let file = File::open("/proc/self/exe").map_err(Unreadable::System)?;
        let read: &'static Self = Box::leak(Box::new(read(file, &program)?));
        *table = Some(read);
        Ok(read)
    }

    /// What `name` is; `None` as well when several files of the program have their own of this name.
    pub(crate) fn find(&self, name: &[u8]) -> Option<(Value, Kind)> {
        Some(match *self.0.get(name)? {
            HostSymbol::Function(address) => (Value::Address(address), Kind::Function(None)),
            HostSymbol::IndirectFunction(resolver) => {
                // SAFETY: it is code of the program, which its symbol table says takes no arguments
                // that every machine would give and returns a function.
                let address = unsafe { noexcept::call(resolver, [0; 3]) };
                (Value::Address(address), Kind::Function(None))
            }
            HostSymbol::Variable(address) => (Value::Address(address), Kind::Variable),
            HostSymbol::Untyped(address) => (Value::Address(address), Kind::Unknown),
            HostSymbol::ThreadLocal { module, offset } => {
                (Value::ThreadLocal { module, offset }, Kind::ThreadLocal)
            }
            HostSymbol::Ambiguous => return None,
        })
    }

    /// The names that can be found.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        let found = |symbol: &HostSymbol| *symbol != HostSymbol::Ambiguous;
        let names = self.0.iter().filter(move |(_, symbol)| found(symbol));
        names.map(|(name, _)| *name)
    }
}

/// Reads the table of `program` from its file.
fn read(file: File, program: &Program) -> Result<HostSymbols, Unreadable> {
    let data = ReadCache::new(file);
    let header = FileHeader64::<LE>::parse(&data).map_err(Unreadable::Malformed)?;
    let headers = header.program_headers(LE, &data);
    let headers = headers.map_err(Unreadable::Malformed)?.iter();
    let segments = headers.map(|header| host::Segment {
        kind: header.p_type(LE).0,
        address: header.p_vaddr(LE),
        size: header.p_memsz(LE),
    });
    if !segments.eq(program.segments.iter().copied()) {
        return Err(Unreadable::OtherProgram);
    }
    let sections = header.sections(LE, &data);
    let sections = sections.map_err(Unreadable::Malformed)?;
    let table = sections.symbols(LE, &data, elf::SHT_SYMTAB);
    let table = table.map_err(Unreadable::Malformed)?;
    if table.is_empty() {
        return Err(Unreadable::Stripped);
    }
    let strings = sections.section(table.string_section());
    let strings = strings.and_then(|section| section.data(LE, &data));
    let strings = strings.map_err(Unreadable::Malformed)?;
    // The names are those of a table that stays to the end of the process.
    let strings: &'static [u8] = Box::leak(strings.into());
    let names = StringTable::new(strings, 0, strings.len() as u64);

    let symbols = table.iter().filter_map(|symbol| {
        let name = symbol.name(LE, names).ok()?;
        Some((name, host_symbol(symbol, program)?, symbol.is_local()))
    });
    Ok(HostSymbols(by_name(symbols)))
}

/// What each name is, given all symbols in the order of the table, and whether they are local to a source file.
fn by_name<'name>(
    symbols: impl Iterator<Item = (&'name [u8], HostSymbol, bool)> + Clone,
) -> HashMap<&'name [u8], HostSymbol> {
    let mut found = HashMap::with_capacity(symbols.size_hint().1.unwrap_or(0));
    for (name, symbol, _) in symbols.clone().filter(|(.., is_local)| !is_local) {
        found.entry(name).or_insert(symbol);
    }
    let mut locals = HashMap::new();
    for (name, symbol, _) in symbols.filter(|(.., is_local)| *is_local) {
        match locals.entry(name) {
            Entry::Vacant(entry) => drop(entry.insert(symbol)),
            Entry::Occupied(mut entry) if *entry.get() != symbol => {
                entry.insert(HostSymbol::Ambiguous);
            }
            Entry::Occupied(_) => {}
        }
    }
    for (name, symbol) in locals {
        found.entry(name).or_insert(symbol);
    }
    found
}

/// What a symbol of `program` is in this process; `None` for what has no address in it.
fn host_symbol(symbol: &Sym64<LE>, program: &Program) -> Option<HostSymbol> {
    let value = symbol.st_value(LE);
    let section = symbol.st_shndx(LE);
    if symbol.is_undefined(LE) || section == elf::SHN_COMMON {
        return None;
    }
    let kind = symbol.st_type();
    if kind == elf::STT_TLS {
        return Some(HostSymbol::ThreadLocal {
            module: program.thread_locals?,
            offset: value,
        });
    }
    if section == elf::SHN_ABS {
        return (kind != elf::STT_FILE).then_some(HostSymbol::Untyped(value));
    }
    let mut segments = program.segments.iter();
    if !segments.any(|segment| segment.kind == elf::PT_LOAD.0 && segment.contains(value)) {
        return None;
    }
    let address = program.bias.wrapping_add(value);
    match kind {
        elf::STT_FUNC => Some(HostSymbol::Function(address)),
        elf::STT_GNU_IFUNC => Some(HostSymbol::IndirectFunction(address)),
        elf::STT_OBJECT => Some(HostSymbol::Variable(address)),
        elf::STT_NOTYPE => Some(HostSymbol::Untyped(address)),
        _ => None,
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stripped => f.write_str("stripped"),
            Self::OtherProgram => {
                f.write_str("not read: /proc/self/exe is not the program that runs")
            }
            Self::Malformed(reason) => write!(f, "not read: {reason}"),
            Self::System(error) => write!(f, "not read: /proc/self/exe: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HostSymbol, HostSymbols, by_name};
    use crate::kind::Kind;
    use crate::relocate::Value;

    #[test]
    fn global_names_come_first_and_local_ones_must_be_unique() {
        let symbols = [
            ("both", 1, true),
            ("both", 2, false),
            ("unique", 3, true),
            ("several", 4, true),
            ("several", 5, true),
            ("several", 4, true),
            ("alias", 6, true),
            ("alias", 6, true),
        ];
        let symbols = symbols.iter().map(|&(name, address, is_local)| {
            let symbol = HostSymbol::Function(address);
            (name.as_bytes(), symbol, is_local)
        });
        let table = HostSymbols(by_name(symbols));
        for (name, expected) in [
            ("both", Some(2)),
            ("unique", Some(3)),
            ("several", None),
            ("alias", Some(6)),
            ("none", None),
        ] {
            let found = table.find(name.as_bytes());
            let expected = expected.map(|it| (Value::Address(it), Kind::Function(None)));
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(table.names().count(), 3);
    }
}
