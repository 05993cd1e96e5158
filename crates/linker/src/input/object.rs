//! One object file (`ET_REL`), decoded.

use std::borrow::Cow;

use farcall_arch::Machine;
use object::elf::{self, FileHeader64, Rela64, SectionHeader64};
use object::endian::LittleEndian as LE;
use object::read::elf::{FileHeader as _, SectionHeader as _, SectionTable, SymbolTable};

use super::properties::{self, Property};
use super::{constructors, debug, relocations, version};
use crate::error::{Error, Place, Result};

/// Larger alignments would pad an image by more than they are ever worth.
const MAX_ALIGN: u64 = 1 << 21;
const TOO_ALIGNED: &str = "it is aligned to more than 2 MiB: align it less";
/// Larger sections could not be reached by 32-bit displacements.
const MAX_SECTION_SIZE: u64 = 1 << 40;

/// An object. Section and symbol indices are those of its tables.
#[derive(Debug)]
pub(crate) struct Object<'data> {
    /// How errors call it.
    pub(crate) name: String,
    pub(crate) machine: Machine,
    pub(crate) sections: Vec<Section<'data>>,
    pub(crate) symbols: Vec<InputSymbol<'data>>,
    /// Symbols before this index are local, the others are not.
    pub(crate) first_global: usize,
    pub(crate) groups: Vec<Group<'data>>,
    /// The names that it defines the default version of, with that version.
    pub(crate) default_versions: Vec<(&'data [u8], &'data [u8])>,
    /// Its GNU properties; `None` for an object of the linker's own, which has those that all others have.
    pub(crate) properties: Option<Vec<Property>>,
}

/// A section of an object.
#[derive(Debug, Clone)]
pub(crate) struct Section<'data> {
    pub(crate) name: &'data [u8],
    pub(crate) section_type: elf::SectionType,
    /// `SHF_*` bits.
    pub(crate) flags: u64,
    /// Bytes of each entry of a table or of a mergeable section, or 0.
    pub(crate) entry_size: usize,
    /// Its bytes; empty when it has none in the file.
    pub(crate) data: Cow<'data, [u8]>,
    /// Its size in memory in bytes; that of `data` unless it has none in the file.
    pub(crate) size: u64,
    /// A power of two.
    pub(crate) align: u64,
    pub(crate) relocations: Cow<'data, [Rela64<LE>]>,
    /// Whether it holds debug information that is to be linked.
    pub(crate) is_debug_info: bool,
    /// The section that it is about (`SHF_LINK_ORDER`).
    pub(crate) describes: Option<usize>,
    /// Where a table of constructors stands among others of its kind: lowest first.
    pub(crate) priority: u32,
}

/// A section group. Only `COMDAT` ones matter: of those with one signature, one is kept.
#[derive(Debug)]
pub(crate) struct Group<'data> {
    pub(crate) signature: &'data [u8],
    pub(crate) members: Vec<usize>,
}

/// A symbol of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InputSymbol<'data> {
    pub(crate) name: &'data [u8],
    pub(crate) value: u64,
    pub(crate) size: u64,
    pub(crate) placement: Placement,
    pub(crate) binding: Binding,
    pub(crate) symbol_type: SymbolType,
    pub(crate) visibility: Visibility,
    /// What [`Machine::symbol_marks`] of its `st_other` are set.
    pub(crate) marks: u8,
}

/// Where a symbol is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Defined elsewhere.
    Undefined,
    /// Its value is a number (`SHN_ABS`).
    Absolute,
    /// To be allocated; its value is its alignment (`SHN_COMMON`).
    Common,
    /// In the section with this index; its value is an offset in it.
    Section(usize),
    /// In the section with this index of the object that holds what was merged; its value is an
    /// offset in it.
    Merged(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binding {
    Local,
    Weak,
    Global,
    /// `STB_GNU_UNIQUE`: unique within the image, which binds locally, or in a scope that images share.
    Unique,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SymbolType {
    None,
    Object,
    Function,
    Section,
    File,
    Tls,
    IndirectFunction,
}

/// How far a symbol is visible, the most constraining last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Visibility {
    Default,
    Protected,
    Hidden,
    Internal,
}

impl Visibility {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Protected => "protected",
            Self::Hidden => "hidden",
            Self::Internal => "internal",
        }
    }
}

impl Section<'_> {
    pub(crate) fn has_flag(&self, flag: elf::SectionFlags) -> bool {
        self.flags & flag.0 != 0
    }

    pub(crate) fn is_alloc(&self) -> bool {
        self.has_flag(elf::SHF_ALLOC)
    }

    pub(crate) fn is_nobits(&self) -> bool {
        self.section_type == elf::SHT_NOBITS
    }

    pub(crate) fn is_eh_frame(&self) -> bool {
        self.name == b".eh_frame" && self.is_alloc()
    }

    /// The name, for errors.
    pub(crate) fn display_name(&self) -> String {
        String::from_utf8_lossy(self.name).into_owned()
    }
}

impl InputSymbol<'_> {
    pub(crate) fn is_definition(&self) -> bool {
        self.placement != Placement::Undefined
    }

    /// Whether it is where code goes out of line or comes back: such places alone have neither a name nor
    /// a type.
    pub(crate) fn is_out_of_line(&self) -> bool {
        self.name.is_empty() && self.symbol_type == SymbolType::None
    }

    /// The name, for errors.
    pub(crate) fn display_name(&self) -> String {
        String::from_utf8_lossy(self.name).into_owned()
    }
}

impl<'data> Object<'data> {
    /// `with_debug_info` says whether that is to be linked too.
    pub(crate) fn parse(name: String, bytes: &'data [u8], with_debug_info: bool) -> Result<Self> {
        match read(&name, bytes, with_debug_info) {
            Ok(object) => Ok(object),
            Err(ReadError::Malformed(reason)) => Err(Error::MalformedObject {
                object: name,
                reason,
            }),
            Err(ReadError::Other(error)) => Err(*error),
        }
    }

    pub(crate) fn globals(&self) -> &[InputSymbol<'data>] {
        &self.symbols[self.first_global..]
    }

    /// A place, for errors.
    pub(crate) fn place(&self, section: usize, offset: u64) -> Place {
        Place {
            object: self.name.clone(),
            section: self.sections[section].display_name(),
            offset,
        }
    }

    /// The functions and variables, by place.
    pub(crate) fn named_places(&self) -> NamedPlaces<'_, 'data> {
        let mut places: Vec<_> = (self.symbols.iter())
            .filter_map(|symbol| match (symbol.placement, symbol.symbol_type) {
                (Placement::Section(section), SymbolType::Function | SymbolType::Object)
                    if symbol.size != 0 =>
                {
                    Some((section, symbol))
                }
                _ => None,
            })
            .collect();
        places.sort_by_key(|&(section, symbol)| (section, symbol.value));
        NamedPlaces {
            object: self,
            places,
        }
    }
}

/// The functions and variables of an object, to be found by place.
#[derive(Debug)]
pub(crate) struct NamedPlaces<'a, 'data> {
    object: &'a Object<'data>,
    /// With their sections, sorted by section and value.
    places: Vec<(usize, &'a InputSymbol<'data>)>,
}

impl NamedPlaces<'_, '_> {
    /// The name of what is at `offset` of a section, for people: the function or variable that
    /// starts last before it and covers it, else the section.
    pub(crate) fn name(&self, section: usize, offset: u64) -> String {
        let after = (self.places)
            .partition_point(|&(each, symbol)| (each, symbol.value) <= (section, offset));
        let nearest = after.checked_sub(1).map(|before| self.places[before]);
        match nearest {
            Some((each, symbol)) if each == section && offset - symbol.value < symbol.size => {
                symbol.display_name()
            }
            _ => self.object.sections[section].display_name(),
        }
    }
}

pub(super) enum ReadError {
    Malformed(String),
    Other(Box<Error>),
}

impl From<object::read::Error> for ReadError {
    fn from(error: object::read::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Self::Other(Box::new(error))
    }
}

pub(super) fn malformed<T>(reason: impl Into<String>) -> Result<T, ReadError> {
    Err(ReadError::Malformed(reason.into()))
}

fn read<'data>(
    name: &str,
    bytes: &'data [u8],
    with_debug_info: bool,
) -> Result<Object<'data>, ReadError> {
    let machine = machine(name, bytes)?;
    let header = FileHeader64::<LE>::parse(bytes)?;
    let table = header.sections(LE, bytes)?;
    let mut sections = Vec::with_capacity(table.len());
    let mut properties = Vec::new();
    for header in table.iter() {
        let mut section = section(name, &table, header, bytes)?;
        if with_debug_info && debug::is_debug_info(&section) {
            debug::decompress(&mut section, header, bytes)?;
            section.is_debug_info = true;
        }
        if section.name == properties::SECTION {
            properties.extend(properties::properties(name, machine, header, bytes)?);
        }
        sections.push(section);
    }
    let symbol_table = table.symbols(LE, bytes, elf::SHT_SYMTAB)?;
    let (mut symbols, first_global) =
        symbols(name, machine, &table, &symbol_table, sections.len())?;
    for symbol in &mut symbols {
        // Assemblers leave it to the section to say what a label names.
        if let Placement::Section(section) = symbol.placement
            && symbol.symbol_type != SymbolType::Section
            && sections[section].has_flag(elf::SHF_TLS)
        {
            symbol.symbol_type = SymbolType::Tls;
        }
    }
    let mut default_versions = Vec::new();
    for symbol in &mut symbols[first_global..] {
        if symbol.is_definition()
            && let Some((name, version)) = version::default_version(symbol.name)
        {
            symbol.name = name;
            default_versions.push((name, version));
        }
    }
    // GCC's mark of an object without machine code, which would link to an image without functions.
    if symbols
        .iter()
        .any(|symbol| symbol.name == b"__gnu_lto_slim")
    {
        return Err(Error::NotRelocatable {
            object: name.to_owned(),
            what: "it holds GCC's intermediate code: compile without -flto or with -ffat-lto-objects",
        }
        .into());
    }
    relocations::attach(name, machine, &table, bytes, &mut sections, symbols.len())?;
    for section in &mut sections {
        constructors::modernise(section)?;
    }
    let groups = groups(&table, bytes, &symbol_table)?;
    Ok(Object {
        name: name.to_owned(),
        machine,
        sections,
        symbols,
        first_global,
        groups,
        default_versions,
        properties: Some(properties),
    })
}

/// Whether bytes are LLVM's bitcode, with or without the wrapper that some tools put round it.
#[must_use]
pub fn is_bitcode(bytes: &[u8]) -> bool {
    bytes.starts_with(b"BC\xc0\xde") || bytes.starts_with(&[0xde, 0xc0, 0x17, 0x0b])
}

fn machine(name: &str, bytes: &[u8]) -> Result<Machine, ReadError> {
    let object = || name.to_owned();
    if is_bitcode(bytes) {
        return Err(Error::Bitcode { object: object() }.into());
    }
    if !bytes.starts_with(b"\x7fELF") {
        return Err(Error::NotElf { object: object() }.into());
    }
    let Ok((header, _)) = object::pod::from_bytes::<FileHeader64<LE>>(bytes) else {
        return malformed("truncated ELF header");
    };
    let e_machine = header.e_machine.get(LE).0;
    let machine = Machine::from_e_machine(e_machine);
    let ident = &header.e_ident;
    let what = if ident.class != elf::ELFCLASS64 {
        "32-bit, as x32 and ILP32 are too: compile it for a 64-bit ABI"
    } else if ident.data != elf::ELFDATA2LSB {
        "big-endian: compile it for a little-endian system"
    } else if ident.version != elf::EV_CURRENT {
        "of another version of ELF than 1"
    } else if !matches!(ident.os_abi, elf::ELFOSABI_SYSV | elf::ELFOSABI_GNU)
        || ident.abi_version != 0
    {
        "for another system (EI_OSABI): compile it for Linux"
    } else {
        match header.e_type.get(LE) {
            elf::ET_REL if machine.is_some() && header.e_flags.get(LE).0 != 0 => {
                "with flags of an ABI (e_flags) that this machine does not have"
            }
            elf::ET_REL => {
                return machine.ok_or_else(|| {
                    Error::UnknownMachine {
                        object: object(),
                        e_machine,
                    }
                    .into()
                });
            }
            elf::ET_DYN => {
                "a linked shared object or executable: give the objects that it was made of, or load it beside the image"
            }
            elf::ET_EXEC => "a linked executable: give the objects that it was made of",
            elf::ET_CORE => "a core dump",
            _ => "not a relocatable object (ET_REL)",
        }
    };
    Err(Error::NotRelocatable {
        object: object(),
        what,
    }
    .into())
}

fn section<'data>(
    object: &str,
    table: &SectionTable<'data, FileHeader64<LE>>,
    header: &'data SectionHeader64<LE>,
    bytes: &'data [u8],
) -> Result<Section<'data>, ReadError> {
    let align = header.sh_addralign.get(LE).max(1);
    let size = header.sh_size.get(LE);
    let flags = header.sh_flags.get(LE).0;
    let name = table.section_name(LE, header)?;
    if flags & elf::SHF_ALLOC.0 != 0 {
        let refuse = |reason| {
            Err(ReadError::from(Error::Section {
                object: object.to_owned(),
                section: String::from_utf8_lossy(name).into_owned(),
                reason,
            }))
        };
        if !align.is_power_of_two() {
            return refuse("its alignment is no power of two");
        }
        if align > MAX_ALIGN {
            return refuse(TOO_ALIGNED);
        }
        if size > MAX_SECTION_SIZE {
            return refuse("it is larger than any image");
        }
    }
    // Assemblers write 0 for none.
    let link = usize::try_from(header.sh_link.get(LE)).unwrap_or(usize::MAX);
    let describes = (flags & elf::SHF_LINK_ORDER.0 != 0 && link != 0).then_some(link);
    if describes.is_some_and(|section| section >= table.len()) {
        return malformed(format!(
            "{}: it is about section {link}, which does not exist",
            String::from_utf8_lossy(name)
        ));
    }
    let data: &[u8] = match header.sh_type.get(LE) {
        elf::SHT_NULL | elf::SHT_NOBITS => &[],
        _ => header.data(LE, bytes)?,
    };
    Ok(Section {
        name,
        section_type: header.sh_type.get(LE),
        flags,
        entry_size: usize::try_from(header.sh_entsize.get(LE)).unwrap_or(0),
        data: Cow::Borrowed(data),
        size,
        align,
        relocations: Cow::Borrowed(&[]),
        is_debug_info: false,
        describes,
        priority: constructors::priority(name),
    })
}

fn symbols<'data>(
    object: &str,
    machine: Machine,
    table: &SectionTable<'data, FileHeader64<LE>>,
    symbol_table: &SymbolTable<'data, FileHeader64<LE>>,
    n_sections: usize,
) -> Result<(Vec<InputSymbol<'data>>, usize), ReadError> {
    let mut symbols = Vec::with_capacity(symbol_table.len());
    for (index, symbol) in symbol_table.enumerate() {
        let name = symbol_table.symbol_name(LE, symbol)?;
        if name.is_empty() && symbol.st_bind() != elf::STB_LOCAL {
            return malformed(format!("symbol {}: it is global and has no name", index.0));
        }
        let placement = match symbol.st_shndx.get(LE) {
            elf::SHN_UNDEF => Placement::Undefined,
            elf::SHN_ABS => Placement::Absolute,
            elf::SHN_COMMON => Placement::Common,
            elf::SHN_XINDEX => match symbol_table.shndx(LE, index) {
                Some(section) => Placement::Section(usize::try_from(section).unwrap_or(usize::MAX)),
                None => return malformed("a symbol's section index is missing"),
            },
            // An image is small enough for all of it to be near.
            section if Some(section.0) == machine.large_common() => Placement::Common,
            section if section.0 >= elf::SHN_LORESERVE => {
                return malformed(format!(
                    "symbol {}: reserved section index {:#x}",
                    index.0, section.0
                ));
            }
            section => Placement::Section(usize::from(section.0)),
        };
        if let Placement::Section(section) = placement
            && section >= n_sections
        {
            return malformed(format!("symbol {}: no section {section}", index.0));
        }
        let binding = match symbol.st_bind() {
            elf::STB_LOCAL => Binding::Local,
            elf::STB_WEAK => Binding::Weak,
            elf::STB_GLOBAL => Binding::Global,
            elf::STB_GNU_UNIQUE => Binding::Unique,
            other => return malformed(format!("symbol {}: unknown binding {}", index.0, other.0)),
        };
        let symbol_type = match symbol.st_type() {
            elf::STT_OBJECT | elf::STT_COMMON => SymbolType::Object,
            elf::STT_FUNC => SymbolType::Function,
            // Such a name that others may refer to is a name like any other.
            elf::STT_SECTION if binding == Binding::Local => SymbolType::Section,
            elf::STT_FILE if binding == Binding::Local => SymbolType::File,
            elf::STT_TLS => SymbolType::Tls,
            elf::STT_GNU_IFUNC => SymbolType::IndirectFunction,
            _ => SymbolType::None,
        };
        let visibility = match symbol.st_visibility() {
            elf::STV_INTERNAL => Visibility::Internal,
            elf::STV_HIDDEN => Visibility::Hidden,
            elf::STV_PROTECTED => Visibility::Protected,
            _ => Visibility::Default,
        };
        let (value, size) = (symbol.st_value.get(LE), symbol.st_size.get(LE));
        if placement == Placement::Common {
            let refuse = |reason| {
                Err(ReadError::from(Error::Symbol {
                    object: object.to_owned(),
                    symbol: String::from_utf8_lossy(name).into_owned(),
                    reason,
                }))
            };
            if !value.max(1).is_power_of_two() {
                return refuse("its alignment is no power of two");
            }
            if value > MAX_ALIGN {
                return refuse(TOO_ALIGNED);
            }
            if size > MAX_SECTION_SIZE {
                return refuse("it is larger than any image");
            }
        }
        symbols.push(InputSymbol {
            name,
            value,
            size,
            placement,
            binding,
            symbol_type,
            visibility,
            marks: symbol.st_other.0 & machine.symbol_marks(),
        });
    }
    let first_global = match table.section(symbol_table.section()) {
        Ok(header) => usize::try_from(header.sh_info.get(LE)).unwrap_or(usize::MAX),
        Err(_) => 0,
    };
    let in_order = first_global <= symbols.len()
        && symbols[..first_global]
            .iter()
            .all(|symbol| symbol.binding == Binding::Local)
        && symbols[first_global..]
            .iter()
            .all(|symbol| symbol.binding != Binding::Local);
    if in_order {
        Ok((symbols, first_global))
    } else {
        malformed("local symbols do not come first")
    }
}

fn groups<'data>(
    table: &SectionTable<'data, FileHeader64<LE>>,
    bytes: &'data [u8],
    symbol_table: &SymbolTable<'data, FileHeader64<LE>>,
) -> Result<Vec<Group<'data>>, ReadError> {
    let mut groups = Vec::new();
    for header in table.iter() {
        let Some((flags, members)) = header.group(LE, bytes)? else {
            continue;
        };
        if flags.0 & elf::GRP_COMDAT.0 == 0 {
            continue;
        }
        let index =
            object::SymbolIndex(usize::try_from(header.sh_info.get(LE)).unwrap_or(usize::MAX));
        let symbol = symbol_table.symbol(index)?;
        let mut signature = symbol_table.symbol_name(LE, symbol)?;
        // An assembler may sign a group with its section's symbol, whose name is the section's.
        if signature.is_empty()
            && symbol.st_type() == elf::STT_SECTION
            && let Some(section) = symbol_table.symbol_section(LE, symbol, index)?
        {
            signature = table.section_name(LE, table.section(section)?)?;
        }
        let members = members
            .iter()
            .map(|member| usize::try_from(member.get(LE)).unwrap_or(usize::MAX));
        let members: Vec<usize> = members.collect();
        if members.iter().any(|&member| member >= table.len()) {
            return malformed("a group's member does not exist");
        }
        groups.push(Group { signature, members });
    }
    Ok(groups)
}
