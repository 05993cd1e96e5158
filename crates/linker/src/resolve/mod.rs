//! Which definition each name means, and which sections are kept: what is known of it, and in `resolver.rs`
//! how it is found out.

mod asked;
mod resolver;

pub(crate) use resolver::resolve;

use std::collections::{HashMap, HashSet};

use farcall_arch::Machine;
use foldhash::fast::FixedState;
use object::endian::LittleEndian as LE;

use crate::error::{Place, Referrer};
use crate::input::{Binding, InputSymbol, Object, Placement, Property, SymbolType, Visibility};
use crate::output::{destination, is_far, zeroed_name};
use crate::synthetic::LinkerSymbol;

/// The objects of the image and what their names mean.
#[derive(Debug)]
pub(crate) struct Resolved<'data> {
    pub(crate) machine: Machine,
    pub(crate) objects: Vec<Object<'data>>,
    pub(crate) globals: Vec<Global<'data>>,
    /// The largest size and alignment of all common definitions of a name.
    pub(crate) commons: HashMap<GlobalId, Common, FixedState>,
    /// Those of the image.
    pub(crate) properties: Vec<Property>,
    /// Bytes.
    pub(crate) plt_entry_size: u64,
    /// For each object, what its non-local symbols stand for, in their order.
    global_ids: Vec<Vec<GlobalId>>,
    /// For each object, which of its sections enter the image.
    kept: Vec<Vec<bool>>,
    /// The index of the object that holds what was merged.
    merged_object: usize,
    /// The debug sections of groups that lost, by object and index.
    lost_debug_info: HashSet<(usize, usize), FixedState>,
    /// Whether hidden names are those of a scope that other images share.
    shares_scope: bool,
    /// The objects of a compiler's or the C library's runtime, of which each image has its own.
    runtime_objects: HashSet<usize, FixedState>,
    /// Those that are defined here, and that other images of the scope may define instead: once that is decided, for each global.
    is_shared: Vec<bool>,
}

/// An index in [`Resolved::globals`].
pub(crate) type GlobalId = usize;

/// A name that objects share.
#[derive(Debug)]
pub(crate) struct Global<'data> {
    pub(crate) name: &'data [u8],
    pub(crate) definition: Definition,
    /// The most constraining of all mentions.
    pub(crate) visibility: Visibility,
    /// The marks of all mentions, which hold for whoever has one of them: see [`InputSymbol::marks`].
    pub(crate) marks: u8,
    /// Whether anyone refers to it other than weakly.
    pub(crate) is_needed: bool,
    /// The first object that mentions it.
    first_object: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Definition {
    Undefined,
    /// The symbol with this index of this object.
    Symbol {
        object: usize,
        symbol: usize,
    },
    Linker(LinkerSymbol),
}

/// What is to be allocated for a common symbol, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Common {
    pub(crate) size: u64,
    pub(crate) align: u64,
}

/// What a relocation's symbol stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// An offset in a kept section of the image.
    Section {
        object: usize,
        section: usize,
        value: u64,
    },
    /// An offset in a section that was discarded.
    Discarded,
    /// A number.
    Absolute(u64),
    Common(GlobalId),
    /// A part of the image that the linker defines the global for.
    Linker(GlobalId),
    Import(GlobalId),
    /// Weak, undefined, and not to be found outside: its value is 0.
    Null,
}

impl Target {
    /// Whether its address moves with the image.
    pub(crate) fn is_in_image(self) -> bool {
        matches!(
            self,
            Self::Section { .. } | Self::Common(_) | Self::Linker(_)
        )
    }
}

impl<'data> Resolved<'data> {
    /// Whether a section enters the image.
    pub(crate) fn is_kept(&self, object: usize, section: usize) -> bool {
        self.kept[object][section]
    }

    /// Whether a debug section is of a group that lost.
    pub(crate) fn is_lost_debug_info(&self, object: usize, section: usize) -> bool {
        self.lost_debug_info.contains(&(object, section))
    }

    /// Discards the sections that are not live.
    pub(crate) fn retain(&mut self, is_live: &[Vec<bool>]) {
        for (object, (kept, is_live)) in self.objects.iter().zip(self.kept.iter_mut().zip(is_live))
        {
            for ((kept, &is_live), section) in kept.iter_mut().zip(is_live).zip(&object.sections) {
                // Unwind records go by themselves, each with its function.
                *kept &= is_live || section.is_eh_frame();
            }
        }
    }

    /// Discards sections of an object.
    pub(crate) fn discard(&mut self, object: usize, sections: impl Iterator<Item = usize>) {
        for section in sections {
            self.kept[object][section] = false;
        }
    }

    /// Keeps a section that was added to an object.
    pub(crate) fn keep_last_section(&mut self, object: usize) {
        self.kept[object].push(true);
    }

    /// Adds the object that holds what was merged.
    pub(crate) fn add_merged(&mut self, object: Object<'data>) {
        self.merged_object = self.objects.len();
        self.kept.push(vec![true; object.sections.len()]);
        self.global_ids.push(Vec::new());
        self.objects.push(object);
    }

    /// Whether a target may be farther away than 32-bit displacements reach.
    pub(crate) fn is_far(&self, target: Target) -> bool {
        match target {
            Target::Section {
                object, section, ..
            } => is_far(destination(&self.objects[object].sections[section]).0),
            Target::Common(id) => {
                let common = self.commons.get(&id);
                common.is_some_and(|common| is_far(zeroed_name(b".bss", common.size)))
            }
            _ => false,
        }
    }

    /// The global that an object's symbol stands for, `None` when it is local.
    pub(crate) fn global_id(&self, object: usize, symbol: usize) -> Option<GlobalId> {
        let index = symbol.checked_sub(self.objects[object].first_global)?;
        // Behind them are symbols of the linker's own.
        self.global_ids[object].get(index).copied()
    }

    /// What an object's symbol stands for.
    pub(crate) fn target(&self, object: usize, symbol: usize) -> Target {
        match self.global_id(object, symbol) {
            Some(id) => self.global_target(id),
            None => self.local_target(object, symbol),
        }
    }

    /// What an object's symbol stands for in this image, whatever other images define: for those who describe its code.
    pub(crate) fn described_target(&self, object: usize, symbol: usize) -> Target {
        match self.global_id(object, symbol) {
            Some(id) => self.defined_target(id),
            None => self.local_target(object, symbol),
        }
    }

    /// What an object's symbol is in that object, whatever others define.
    pub(crate) fn own_target(&self, object: usize, symbol: usize) -> Target {
        self.local_target(object, symbol)
    }

    /// What a global stands for, to who refers to it.
    pub(crate) fn global_target(&self, id: GlobalId) -> Target {
        match self.is_shared(id) {
            true => Target::Import(id),
            false => self.defined_target(id),
        }
    }

    /// Whether the global is defined here and others may define it instead.
    pub(crate) fn is_shared(&self, id: GlobalId) -> bool {
        self.is_shared.get(id) == Some(&true)
    }

    /// Says which globals others may define instead.
    pub(crate) fn set_shared(&mut self, is_shared: Vec<bool>) {
        self.is_shared = is_shared;
    }

    /// What a global's definition in this image is.
    pub(crate) fn defined_target(&self, id: GlobalId) -> Target {
        let global = &self.globals[id];
        match global.definition {
            Definition::Symbol { object, symbol } => {
                match self.objects[object].symbols[symbol].placement {
                    Placement::Common => Target::Common(id),
                    _ => self.local_target(object, symbol),
                }
            }
            Definition::Linker(_) => Target::Linker(id),
            Definition::Undefined
                if global.visibility == Visibility::Default || self.is_of_scope(id) =>
            {
                Target::Import(id)
            }
            Definition::Undefined => Target::Null,
        }
    }

    fn local_target(&self, object: usize, symbol: usize) -> Target {
        let symbol = &self.objects[object].symbols[symbol];
        match symbol.placement {
            Placement::Section(section) if self.kept[object][section] => Target::Section {
                object,
                section,
                value: symbol.value,
            },
            Placement::Section(_) => Target::Discarded,
            Placement::Merged(section) => Target::Section {
                object: self.merged_object,
                section,
                value: symbol.value,
            },
            Placement::Absolute => Target::Absolute(symbol.value),
            // Symbol 0, which stands for no symbol.
            Placement::Undefined | Placement::Common => Target::Absolute(0),
        }
    }

    /// The defining symbol of a global, if an object defines it.
    pub(crate) fn defining_symbol(&self, id: GlobalId) -> Option<&InputSymbol<'data>> {
        match self.globals[id].definition {
            Definition::Symbol { object, symbol } => Some(&self.objects[object].symbols[symbol]),
            _ => None,
        }
    }

    /// The symbol that defines what an object's symbol stands for, or the symbol itself.
    pub(crate) fn definition_of(&self, object: usize, symbol: usize) -> &InputSymbol<'data> {
        let own = &self.objects[object].symbols[symbol];
        self.global_id(object, symbol)
            .and_then(|id| self.defining_symbol(id))
            .unwrap_or(own)
    }

    /// The size in bytes of what an object's symbol stands for; that of a common symbol is the
    /// largest that any object wants.
    pub(crate) fn size(&self, object: usize, symbol: usize) -> u64 {
        let definition = self.definition_of(object, symbol);
        let global = self.global_id(object, symbol);
        match (definition.placement, global) {
            (Placement::Common, Some(id)) => {
                (self.commons.get(&id)).map_or(definition.size, |common| common.size)
            }
            _ => definition.size,
        }
    }

    /// Whether an object's symbol stands for an indirect function (`STT_GNU_IFUNC`) of the image.
    pub(crate) fn is_indirect(&self, object: usize, symbol: usize) -> bool {
        let definition = self.definition_of(object, symbol);
        definition.symbol_type == SymbolType::IndirectFunction && definition.is_definition()
    }

    /// Whether a global is exported.
    pub(crate) fn is_export(&self, id: GlobalId) -> bool {
        let is_visible = matches!(
            self.globals[id].visibility,
            Visibility::Default | Visibility::Protected
        );
        (is_visible || self.is_of_scope(id))
            && matches!(self.globals[id].definition, Definition::Symbol { .. })
            && self.defined_target(id) != Target::Discarded
    }

    /// Whether a global is hidden from all but the images of a scope.
    pub(crate) fn is_of_scope(&self, id: GlobalId) -> bool {
        self.shares_scope
            && self.globals[id].visibility == Visibility::Hidden
            && match self.globals[id].definition {
                Definition::Symbol { object, symbol } => {
                    !self.is_runtime(object) && self.can_be_exported(object, symbol)
                }
                Definition::Undefined => true,
                Definition::Linker(_) => false,
            }
    }

    /// Whether a symbol is where its section is: of a hidden one nobody has asked before.
    fn can_be_exported(&self, object: usize, symbol: usize) -> bool {
        let object = &self.objects[object];
        let symbol = &object.symbols[symbol];
        match symbol.placement {
            Placement::Section(section) => {
                let section = &object.sections[section];
                !section.is_eh_frame() && symbol.value <= section.size
            }
            _ => true,
        }
    }

    /// Whether an object is of a runtime of which each image has its own.
    pub(crate) fn is_runtime(&self, object: usize) -> bool {
        self.runtime_objects.contains(&object)
    }

    /// Whether others may define a global too, and one of these definitions is as good as another.
    pub(crate) fn is_weak(&self, id: GlobalId) -> bool {
        let symbol = self.defining_symbol(id);
        symbol.is_some_and(|symbol| match symbol.binding {
            Binding::Weak => true,
            // Without a scope it is unique within the image.
            Binding::Unique => self.shares_scope,
            Binding::Local | Binding::Global => false,
        })
    }

    /// Who refers to a global, for errors: the first relocation against it.
    fn referrer(&self, id: GlobalId) -> Referrer {
        for (index, object) in self.objects.iter().enumerate() {
            for (section, contents) in object.sections.iter().enumerate() {
                let mut relocations = contents.relocations.iter();
                let is_kept = self.kept[index][section];
                if let Some(relocation) = relocations.find(|relocation| {
                    is_kept
                        && self.global_id(index, relocation.r_sym(LE, false) as usize) == Some(id)
                }) {
                    let place = self.place(index, section, relocation.r_offset.get(LE));
                    return Referrer::Place(place);
                }
            }
        }
        let object = &self.objects[self.globals[id].first_object as usize];
        Referrer::Object(object.name.clone())
    }

    /// The name of an object's symbol, for errors; a section's symbol has its section's name.
    pub(crate) fn symbol_name(&self, object: usize, symbol: usize) -> String {
        if symbol == 0 {
            return "no symbol".to_owned();
        }
        let object = &self.objects[object];
        let symbol = &object.symbols[symbol];
        match (symbol.symbol_type, symbol.placement) {
            (kind, Placement::Section(section))
                if kind == SymbolType::Section || symbol.is_out_of_line() =>
            {
                object.sections[section].display_name()
            }
            (SymbolType::Section, Placement::Merged(section)) => {
                self.objects[self.merged_object].sections[section].display_name()
            }
            _ => symbol.display_name(),
        }
    }

    /// A place, for errors.
    pub(crate) fn place(&self, object: usize, section: usize, offset: u64) -> Place {
        self.objects[object].place(section, offset)
    }
}
