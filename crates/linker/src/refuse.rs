//! What no image can have: why a section or a symbol of an object is refused.

use object::elf;

use crate::input::{Binding, InputSymbol, Object, Placement, Section, SymbolType, Visibility};
use crate::output::is_array;

/// What images allow: threads' blocks are allocated one by one.
const MAX_TLS_ALIGN: u64 = 1 << 16;
const TLS_TOO_ALIGNED: &str = "thread-local variables cannot be aligned to more than 65536 bytes";

/// Why a section cannot be linked, if it cannot.
pub(crate) fn section_refusal(section: &Section<'_>, is_kept: bool) -> Option<&'static str> {
    let is_executable = section.has_flag(elf::SHF_EXECINSTR);
    if section.name == b".note.GNU-stack" && is_executable {
        return Some(
            "the object asks for an executable stack, which no image has: mark assembly with .section .note.GNU-stack,\"\",@progbits, and \
             do not take addresses of nested functions",
        );
    }
    if !is_kept {
        return None;
    }
    if section.has_flag(elf::SHF_WRITE) && is_executable {
        return Some(
            "it is writable and executable, which no memory may be: separate code and data",
        );
    }
    if section.has_flag(elf::SHF_COMPRESSED) {
        return Some("it is loaded, so it cannot be compressed: compress debug sections only");
    }
    if section.has_flag(elf::SHF_TLS) && is_executable {
        return Some("it is thread-local and executable");
    }
    if section.has_flag(elf::SHF_TLS) && section.align > MAX_TLS_ALIGN {
        return Some(TLS_TOO_ALIGNED);
    }
    let is_pointers = !section.is_nobits() && section.size.is_multiple_of(8) && !is_executable;
    if is_array(section) && !is_pointers {
        return Some("it is no array of pointers");
    }
    if section.section_type == elf::SHT_PREINIT_ARRAY {
        return Some("pre-initialisers run only in executables: use constructors (.init_array)");
    }
    let is_init = section.name == b".init" || section.name == b".fini";
    is_init
        .then_some("code in this section belongs to a C runtime's start files, which no image has: use constructors (.init_array)")
}

/// Why a symbol cannot be linked, if it cannot. `is_kept` tells whether its section is.
pub(crate) fn symbol_refusal(
    object: &Object<'_>,
    symbol: &InputSymbol<'_>,
    is_kept: bool,
) -> Option<&'static str> {
    let is_tls = symbol.symbol_type == SymbolType::Tls;
    let is_visible = symbol.binding != Binding::Local && symbol.visibility <= Visibility::Protected;
    match symbol.placement {
        Placement::Section(section) if is_kept => {
            let section = &object.sections[section];
            let is_in_code = section.has_flag(elf::SHF_EXECINSTR) && symbol.value < section.size;
            if symbol.symbol_type == SymbolType::IndirectFunction && !is_in_code {
                Some("what finds an indirect function must be code")
            } else if is_tls && !section.has_flag(elf::SHF_TLS) {
                Some("it is thread-local, but its section is not")
            } else if is_visible && section.is_eh_frame() {
                Some("unwind records move and go, so none can be exported")
            } else if is_visible && symbol.value > section.size {
                Some("its value lies outside its section")
            } else {
                None
            }
        }
        Placement::Common | Placement::Absolute
            if symbol.symbol_type == SymbolType::IndirectFunction =>
        {
            Some("what finds an indirect function must be code")
        }
        Placement::Common if is_tls && symbol.value > MAX_TLS_ALIGN => Some(TLS_TOO_ALIGNED),
        Placement::Absolute if is_tls => Some("thread-local variables cannot be absolute"),
        _ => None,
    }
}
