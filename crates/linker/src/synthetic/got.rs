//! The words of the global offset table.

use farcall_arch::DynamicTypes;

use crate::resolve::{GlobalId, Resolved, Target};
use crate::scan::{GotEntry, GotKind, Scanned};

/// What one word of the GOT holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GotWord {
    /// Zero.
    Zero,
    /// A number that does not move with the image.
    Number(Target),
    /// An address in the image: the load bias is added to it.
    Relative(Target),
    /// The address of the PLT entry with this index, likewise.
    PltEntry(usize),
    /// The offset of a thread-local variable in the image's TLS block.
    BlockOffset(Target),
    /// What a dynamic relocation gives.
    Dynamic {
        r_type: u32,
        import: Option<GlobalId>,
        addend: Addend,
    },
}

/// The addend of a dynamic relocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addend {
    Zero,
    /// An address in the image.
    Address(Target),
    /// The offset of a thread-local variable in the image's TLS block.
    BlockOffset(Target),
}

/// The words of an entry, the second for pairs only.
pub(crate) fn got_words(
    resolved: &Resolved<'_>,
    scanned: &Scanned,
    types: DynamicTypes,
    entry: &GotEntry,
) -> (GotWord, Option<GotWord>) {
    let target = resolved.target(entry.object, entry.symbol);
    let import = match target {
        Target::Import(id) => Some(id),
        _ => None,
    };
    let dynamic = |r_type, addend| GotWord::Dynamic {
        r_type,
        import,
        addend,
    };
    // Where an import is in its block, the loader knows.
    let block_offset = match import {
        Some(_) => Addend::Zero,
        None => Addend::BlockOffset(target),
    };
    // Of the resolver of an indirect function.
    let result = dynamic(types.indirect_relative, Addend::Address(target));
    match entry.kind {
        GotKind::Address if import.is_some() => (dynamic(types.glob_dat, Addend::Zero), None),
        GotKind::Address if resolved.is_indirect(entry.object, entry.symbol) => {
            let slots = scanned.slots(resolved, entry.object, entry.symbol);
            let word = match slots.plt {
                Some(index) if slots.is_plt_address => GotWord::PltEntry(index),
                _ => result,
            };
            (word, None)
        }
        GotKind::Resolved => (result, None),
        GotKind::Address if target.is_in_image() => (GotWord::Relative(target), None),
        GotKind::Address => (GotWord::Number(target), None),
        GotKind::TlsPair => {
            let offset = match import {
                Some(_) => dynamic(types.tls_block_offset, Addend::Zero),
                None => GotWord::BlockOffset(target),
            };
            (dynamic(types.tls_module, Addend::Zero), Some(offset))
        }
        GotKind::TlsModule => {
            let module = GotWord::Dynamic {
                r_type: types.tls_module,
                import: None,
                addend: Addend::Zero,
            };
            (module, Some(GotWord::Zero))
        }
        GotKind::TlsOffset => (dynamic(types.tls_offset, block_offset), None),
        GotKind::TlsDescriptor => (
            dynamic(types.tls_descriptor, block_offset),
            Some(GotWord::Zero),
        ),
    }
}
