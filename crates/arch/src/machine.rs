//! The machines, and what is asked of each.

use crate::{PropertyRule, Range, Relaxation, Reloc, aarch64, x86_64};

/// A target machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Machine {
    /// AMD64 / Intel 64, System V psABI, LP64.
    X86_64,
    /// Arm 64-bit, AAPCS64, LP64, little-endian.
    Aarch64,
}

/// The `r_type` numbers of the dynamic relocations that the linker writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DynamicTypes {
    /// `S + A`, as wide as an address.
    pub absolute: u32,
    /// `B + A`.
    pub relative: u32,
    /// `S` into a GOT entry.
    pub glob_dat: u32,
    /// The identity of the module that defines a thread-local symbol.
    pub tls_module: u32,
    /// The offset of a thread-local symbol in its module's block.
    pub tls_block_offset: u32,
    /// The offset of a thread-local symbol from the thread pointer.
    pub tls_offset: u32,
    /// The two words of a TLS descriptor.
    pub tls_descriptor: u32,
    /// The result of calling the function at `B + A`.
    pub indirect_relative: u32,
}

/// Code that carries a branch farther than it reaches by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thunk {
    /// Its size in bytes, a multiple of 4.
    pub size: u64,
    /// The range of the branches that the ABI lets go through one.
    pub branch: Range,
    /// How many bytes these branches get across, in either direction.
    pub reach: u64,
}

/// What stands in the code after a relaxation; the addend stays as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relaxed {
    /// The relocation that replaces the one relaxed.
    pub reloc: Reloc,
    /// Its place: a byte offset in the section.
    pub offset: usize,
}

/// A function that a C compiler driver links in from the C library's static part (for glibc
/// `libc_nonshared.a`), because it must know the image that calls it. The linker adds it to an
/// image that refers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeFunction {
    /// The symbol that it defines.
    pub name: &'static str,
    /// Its machine code.
    pub code: &'static [u8],
    /// The relocations of that code.
    pub relocations: &'static [RuntimeRelocation],
}

/// A relocation of a [`RuntimeFunction`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeRelocation {
    /// Byte offset in the function's code.
    pub offset: u64,
    /// The machine's relocation type.
    pub r_type: u32,
    /// The symbol referred to.
    pub symbol: &'static str,
    /// The addend.
    pub addend: i64,
}

impl Machine {
    /// The machine with this ELF `e_machine`, if farcall knows it.
    #[must_use]
    pub const fn from_e_machine(e_machine: u16) -> Option<Self> {
        match e_machine {
            x86_64::E_MACHINE => Some(Self::X86_64),
            aarch64::E_MACHINE => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// The machine that this program runs on, if farcall knows it.
    #[must_use]
    pub const fn host() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Aarch64)
        } else {
            None
        }
    }

    /// The ELF `e_machine`.
    #[must_use]
    pub const fn e_machine(self) -> u16 {
        match self {
            Self::X86_64 => x86_64::E_MACHINE,
            Self::Aarch64 => aarch64::E_MACHINE,
        }
    }

    /// The section index of large common symbols, where they are apart from `SHN_COMMON`.
    #[must_use]
    pub const fn large_common(self) -> Option<u16> {
        match self {
            Self::X86_64 => Some(x86_64::LARGE_COMMON),
            Self::Aarch64 => None,
        }
    }

    /// The machine with this [`Machine::name`], if farcall knows it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let known = [Self::X86_64, Self::Aarch64];
        known.into_iter().find(|machine| machine.name() == name)
    }

    /// The machine of a target triple, or of an architecture alone, however it is spelt; `None` if farcall does not know it.
    #[must_use]
    pub fn from_triple(triple: &str) -> Option<Self> {
        // The one name of an architecture that is divided as a triple is.
        if triple == "x86-64" {
            return Some(Self::X86_64);
        }
        match triple.split('-').next()? {
            "amd64" => Some(Self::X86_64),
            "arm64" => Some(Self::Aarch64),
            name => Self::from_name(name),
        }
    }

    /// The name, as in a target triple.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// The largest page size in bytes that a system on this machine may have: the unit in which
    /// segments are kept apart.
    #[must_use]
    pub const fn max_page_size(self) -> u64 {
        match self {
            Self::X86_64 => x86_64::MAX_PAGE_SIZE,
            Self::Aarch64 => aarch64::MAX_PAGE_SIZE,
        }
    }

    /// The unit in bytes of the load bias of packed images: what code takes for granted of it.
    #[must_use]
    pub const fn bias_unit(self) -> u64 {
        match self {
            Self::X86_64 => x86_64::BIAS_UNIT,
            Self::Aarch64 => aarch64::BIAS_UNIT,
        }
    }

    /// The row of relocation type `r_type`, `None` when the ABI does not have it.
    #[must_use]
    #[inline]
    pub const fn reloc(self, r_type: u32) -> Option<Reloc> {
        match self {
            Self::X86_64 => x86_64::reloc(r_type),
            Self::Aarch64 => aarch64::reloc(r_type),
        }
    }

    /// The dynamic relocation types.
    #[must_use]
    pub const fn dynamic_types(self) -> DynamicTypes {
        match self {
            Self::X86_64 => x86_64::DYNAMIC_TYPES,
            Self::Aarch64 => aarch64::DYNAMIC_TYPES,
        }
    }

    /// Size of one PLT entry in bytes; also its alignment. `is_marked` says whether it starts with a
    /// landing pad, as where [`Machine::needs_landing_pads`] it must.
    #[must_use]
    pub const fn plt_entry_size(self, is_marked: bool) -> u64 {
        match self {
            Self::X86_64 if is_marked => x86_64::MARKED_PLT_ENTRY_SIZE,
            Self::X86_64 => x86_64::PLT_ENTRY_SIZE,
            // It always does.
            Self::Aarch64 => aarch64::PLT_ENTRY_SIZE,
        }
    }

    /// Writes the PLT entry that jumps to where the GOT entry at `got_entry` points.
    ///
    /// `plt_entry` is the entry's own address; both addresses are in the image's address space.
    /// Returns whether the distance fits.
    ///
    /// # Panics
    ///
    /// If `out` is not as long as one of the forms: see [`Machine::plt_entry_size`].
    #[must_use]
    pub fn write_plt_entry(self, out: &mut [u8], plt_entry: u64, got_entry: u64) -> bool {
        match self {
            Self::X86_64 => x86_64::write_plt_entry(out, plt_entry, got_entry),
            Self::Aarch64 => aarch64::write_plt_entry(out, plt_entry, got_entry),
        }
    }

    /// Size of one stub in bytes; also its alignment.
    pub const STUB_SIZE: usize = 16;

    /// Writes the stub that jumps to where the word at `slot` points.
    ///
    /// A stub is a PLT entry that starts with a landing pad and tells the code that it jumps to which one
    /// it is: that finds the slot's address in a register that no calling convention passes anything in,
    /// `r11` or `x16`. `stub` is the stub's own address. Returns whether the distance fits: 2 GiB or 1 MiB.
    #[must_use]
    pub fn write_stub(self, out: &mut [u8; Self::STUB_SIZE], stub: u64, slot: u64) -> bool {
        match self {
            Self::X86_64 => x86_64::write_stub(out, stub, slot),
            Self::Aarch64 => aarch64::write_stub(out, stub, slot),
        }
    }

    /// The thunk of branches; `None` when all branches reach all of an image.
    #[must_use]
    pub const fn thunk(self) -> Option<Thunk> {
        match self {
            Self::X86_64 => None,
            Self::Aarch64 => Some(aarch64::THUNK),
        }
    }

    /// Writes the thunk at address `thunk` that jumps to `destination`.
    ///
    /// Returns whether the distance fits.
    ///
    /// # Panics
    ///
    /// If `out` is not [`Thunk::size`] bytes long.
    #[must_use]
    pub fn write_thunk(self, out: &mut [u8], thunk: u64, destination: u64) -> bool {
        match self {
            Self::X86_64 => false,
            Self::Aarch64 => aarch64::write_thunk(out, thunk, destination),
        }
    }

    /// How the GNU property `property` of several objects becomes that of their image; `None` when the
    /// image has none of this property.
    #[must_use]
    pub const fn property_rule(self, property: u32) -> Option<PropertyRule> {
        match (property, self) {
            (0xb000_0000..=0xb000_7fff, _) => Some(PropertyRule::And),
            (0xb000_8000..=0xb000_ffff, _) => Some(PropertyRule::Or),
            (_, Self::X86_64) => x86_64::property_rule(property),
            (_, Self::Aarch64) => aarch64::property_rule(property),
        }
    }

    /// The bits of a symbol's `st_other`, beside its visibility, that are told to whoever binds the symbol
    /// at load.
    #[must_use]
    pub const fn symbol_marks(self) -> u8 {
        match self {
            Self::X86_64 => 0,
            Self::Aarch64 => aarch64::SYMBOL_MARKS,
        }
    }

    /// Whether GNU property `property` of this value says that indirect branches end at landing pads.
    #[must_use]
    pub const fn needs_landing_pads(self, property: u32, value: u32) -> bool {
        match self {
            Self::X86_64 => x86_64::needs_landing_pads(property, value),
            Self::Aarch64 => aarch64::needs_landing_pads(property, value),
        }
    }

    /// The bits of GNU property `property` that do not hold for an image with thunks.
    #[must_use]
    pub const fn without_thunks(self, property: u32) -> u32 {
        match self {
            Self::X86_64 => 0,
            Self::Aarch64 => aarch64::without_thunks(property),
        }
    }

    /// The instruction bytes that fill gaps between pieces of code.
    #[must_use]
    pub const fn code_fill(self) -> u8 {
        match self {
            Self::X86_64 => x86_64::CODE_FILL,
            Self::Aarch64 => aarch64::CODE_FILL,
        }
    }

    /// The functions of the C library's static part that the linker can add to an image.
    #[must_use]
    pub const fn runtime_functions(self) -> &'static [RuntimeFunction] {
        match self {
            Self::X86_64 => x86_64::RUNTIME_FUNCTIONS,
            Self::Aarch64 => aarch64::RUNTIME_FUNCTIONS,
        }
    }

    /// Rewrites the instruction before a relaxable GOT load of a symbol in the same image, so
    /// that it computes (or calls) the address itself.
    ///
    /// `relaxation` is the relocation's, `code` the section's bytes and `offset` the relocation's place
    /// in it. `None`, with nothing changed, when the instruction has no such form.
    #[must_use]
    pub fn relax_got_load(
        self,
        relaxation: Relaxation,
        code: &mut [u8],
        offset: usize,
    ) -> Option<Relaxed> {
        match self {
            Self::X86_64 => x86_64::relax_got_load(relaxation, code, offset),
            Self::Aarch64 => None,
        }
    }

    /// Whether it has relocations with [`Relaxation::GotPage`](crate::Relaxation::GotPage).
    #[must_use]
    pub const fn has_got_pairs(self) -> bool {
        match self {
            Self::X86_64 => false,
            Self::Aarch64 => true,
        }
    }

    /// Rewrites two instructions that load the address of a symbol in the same image from the GOT,
    /// so that they compute it, and gives the relocations of both that replace theirs.
    ///
    /// `None`, with nothing changed, when they have no such form.
    #[must_use]
    pub fn relax_got_pair(self, code: &mut [u8; 8]) -> Option<[Reloc; 2]> {
        match self {
            Self::X86_64 => None,
            Self::Aarch64 => aarch64::relax_got_pair(code),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_known_however_triples_spell_them() {
        for (triple, machine) in [
            ("x86_64-unknown-linux-gnu", Some(Machine::X86_64)),
            ("amd64-linux-gnu", Some(Machine::X86_64)),
            ("x86-64", Some(Machine::X86_64)),
            ("aarch64", Some(Machine::Aarch64)),
            ("arm64-linux", Some(Machine::Aarch64)),
            ("i686-linux-gnu", None),
            ("x86-32", None),
            ("", None),
        ] {
            assert_eq!(Machine::from_triple(triple), machine, "{triple}");
        }
    }
}
