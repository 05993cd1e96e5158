//! Which definition each name means, and which sections are kept.
//!
//! Source: gABI, "Symbol Table" (binding and visibility) and "Section Groups".

use std::collections::{HashMap, HashSet};

use farcall_arch::Machine;
use foldhash::fast::FixedState;
use object::elf;
use object::endian::LittleEndian as LE;

use crate::ExportList;
use crate::error::{Error, Errors, Place, Referrer, Result};
use crate::input::wanted_version;
use crate::input::{
    Archive, Binding, InputSymbol, Object, Placement, Property, SymbolType, Visibility,
};
use crate::properties;
use crate::refuse::{section_refusal, symbol_refusal};
use crate::synthetic::{LinkerSymbol, runtime_object};

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

    /// What an object's symbol is in that object, whatever others define.
    pub(crate) fn own_target(&self, object: usize, symbol: usize) -> Target {
        self.local_target(object, symbol)
    }

    /// What a global stands for.
    pub(crate) fn global_target(&self, id: GlobalId) -> Target {
        let global = &self.globals[id];
        match global.definition {
            Definition::Symbol { object, symbol } => {
                match self.objects[object].symbols[symbol].placement {
                    Placement::Common => Target::Common(id),
                    _ => self.local_target(object, symbol),
                }
            }
            Definition::Linker(_) => Target::Linker(id),
            Definition::Undefined if global.visibility == Visibility::Default => Target::Import(id),
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
        matches!(
            self.globals[id].visibility,
            Visibility::Default | Visibility::Protected
        ) && matches!(self.globals[id].definition, Definition::Symbol { .. })
            && self.global_target(id) != Target::Discarded
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
            (SymbolType::Section, Placement::Section(section)) => {
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

pub(crate) fn resolve<'data>(
    machine: Machine,
    objects: Vec<Object<'data>>,
    archives: &[Archive<'data>],
    exports: &[String],
    export_list: &ExportList,
) -> Result<Resolved<'data>, Errors> {
    let mut resolver = Resolver::new(machine, archives);
    for object in objects {
        resolver.add(object);
    }
    resolver.want(exports);
    if resolver.resolved.objects.is_empty() && resolver.wanted.is_empty() {
        resolver.link_whole()?;
    }
    resolver.link_members()?;
    resolver.add_runtime_functions();
    resolver.bind_versions();
    resolver.define_linker_symbols();
    resolver.check()?;
    resolver.hide_all_but(export_list);
    resolver.export(exports);
    let mut resolved = resolver.resolved;
    resolved.properties = properties::combined(machine, &resolved.objects);
    let is_marked = properties::needs_landing_pads(machine, &resolved.properties);
    resolved.plt_entry_size = machine.plt_entry_size(is_marked);
    Ok(resolved)
}

struct Resolver<'data, 'inputs> {
    resolved: Resolved<'data>,
    archives: &'inputs [Archive<'data>],
    ids: HashMap<&'data [u8], GlobalId, FixedState>,
    /// The group that was kept for each signature: the first.
    groups: HashMap<&'data [u8], (), FixedState>,
    /// Which archive member defines a name: the first.
    members: HashMap<&'data [u8], (usize, usize), FixedState>,
    /// Names that became undefined and wanted, in order, for archives to be asked about.
    wanted: Vec<GlobalId>,
    errors: Vec<Error>,
}

impl<'data, 'inputs> Resolver<'data, 'inputs> {
    fn new(machine: Machine, archives: &'inputs [Archive<'data>]) -> Self {
        let mut members: HashMap<_, _, FixedState> = HashMap::default();
        for (archive_index, archive) in archives.iter().enumerate() {
            for &(name, member) in &archive.definitions {
                members.entry(name).or_insert((archive_index, member));
            }
        }
        Self {
            resolved: Resolved {
                machine,
                objects: Vec::new(),
                globals: Vec::new(),
                commons: HashMap::default(),
                properties: Vec::new(),
                plt_entry_size: 0,
                global_ids: Vec::new(),
                kept: Vec::new(),
                merged_object: 0,
                lost_debug_info: HashSet::default(),
            },
            archives,
            ids: HashMap::default(),
            groups: HashMap::default(),
            members,
            wanted: Vec::new(),
            errors: Vec::new(),
        }
    }

    fn add(&mut self, object: Object<'data>) {
        let object_index = self.resolved.objects.len();
        let mut kept: Vec<bool> = object.sections.iter().map(enters_image).collect();
        for group in &object.groups {
            if self.groups.insert(group.signature, ()).is_some() {
                for &member in &group.members {
                    kept[member] = false;
                    if object.sections[member].is_debug_info {
                        let lost = &mut self.resolved.lost_debug_info;
                        lost.insert((object_index, member));
                    }
                }
            }
        }
        let n_names = object.globals().len();
        self.ids.reserve(n_names);
        self.resolved.globals.reserve(n_names);
        let mut ids = Vec::with_capacity(n_names);
        for (index, symbol) in object.symbols.iter().enumerate().skip(object.first_global) {
            let id = self.global(symbol.name, object_index);
            ids.push(id);
            let global = &mut self.resolved.globals[id];
            global.visibility = global.visibility.max(symbol.visibility);
            // A definition in a group that lost is a reference to the winner's, and no weak one: its
            // object relies on there being a definition.
            let is_lost = matches!(symbol.placement, Placement::Section(section)
                if !kept[section] && object.sections[section].is_alloc());
            if is_lost || !symbol.is_definition() {
                let was_wanted = global.is_needed;
                global.is_needed |= is_lost || symbol.binding != Binding::Weak;
                if global.is_needed && !was_wanted && global.definition == Definition::Undefined {
                    self.wanted.push(id);
                }
            } else {
                self.define(id, &object, object_index, index);
            }
        }
        self.resolved.kept.push(kept);
        self.resolved.global_ids.push(ids);
        self.resolved.objects.push(object);
    }

    /// The global of this name; a new one when there is none yet.
    fn global(&mut self, name: &'data [u8], first_object: usize) -> GlobalId {
        *self.ids.entry(name).or_insert_with(|| {
            self.resolved.globals.push(Global {
                name,
                definition: Definition::Undefined,
                visibility: Visibility::Default,
                is_needed: false,
                first_object: u32::try_from(first_object).unwrap_or(u32::MAX),
            });
            self.resolved.globals.len() - 1
        })
    }

    /// Weighs a new definition against the one that is there: strong over common over weak.
    fn define(&mut self, id: GlobalId, object: &Object<'data>, object_index: usize, index: usize) {
        let symbol = &object.symbols[index];
        let global = &mut self.resolved.globals[id];
        if symbol.placement == Placement::Common {
            let none = Common { size: 0, align: 1 };
            let common = self.resolved.commons.entry(id).or_insert(none);
            common.size = common.size.max(symbol.size);
            common.align = common.align.max(symbol.value);
        }
        let definition = Definition::Symbol {
            object: object_index,
            symbol: index,
        };
        let (old_object, old_symbol) = match global.definition {
            Definition::Symbol { object, symbol } => (object, symbol),
            _ => {
                global.definition = definition;
                return;
            }
        };
        // An object defines a name once, so the old definition is of an object added before.
        let Some(old) = self.resolved.objects.get(old_object) else {
            return;
        };
        let old = &old.symbols[old_symbol];
        match strength(symbol).cmp(&strength(old)) {
            std::cmp::Ordering::Greater => self.resolved.globals[id].definition = definition,
            std::cmp::Ordering::Equal
                if strength(symbol) == Strength::Strong && !are_one_number(symbol, old) =>
            {
                let error = Error::Duplicate {
                    symbol: symbol.display_name(),
                    first: Box::new(definition_place(&self.resolved.objects[old_object], old)),
                    second: Box::new(definition_place(object, symbol)),
                };
                self.errors.push(error);
            }
            _ => {}
        }
    }

    /// Looks for names in the archives as if an object referred to them.
    fn want(&mut self, names: &[String]) {
        for name in names {
            let member = self
                .members
                .get_key_value(name.as_bytes())
                .map(|(&name, _)| name);
            let Some(name) = member else { continue };
            let id = self.global(name, 0);
            if self.resolved.globals[id].definition == Definition::Undefined {
                self.wanted.push(id);
            }
        }
    }

    /// Links all members of the archives that were given as inputs, for want of anything that says
    /// which.
    fn link_whole(&mut self) -> Result<()> {
        for archive in self.archives.iter().filter(|archive| !archive.is_library) {
            for object in archive.objects() {
                self.add(object?);
            }
        }
        Ok(())
    }

    /// Links archive members until no wanted name is defined by one.
    fn link_members(&mut self) -> Result<()> {
        let mut linked = HashMap::<(usize, usize), (), FixedState>::default();
        let mut next = 0;
        while let Some(&id) = self.wanted.get(next) {
            next += 1;
            let global = &self.resolved.globals[id];
            if global.definition != Definition::Undefined {
                continue;
            }
            let Some(&(archive, member)) = self.members.get(global.name) else {
                continue;
            };
            if linked.insert((archive, member), ()).is_none() {
                let object = self.archives[archive].member(member)?;
                if object.machine != self.resolved.machine {
                    return Err(Error::MixedMachines {
                        object: object.name,
                        machine: object.machine,
                        first_object: self
                            .resolved
                            .objects
                            .first()
                            .map_or(String::new(), |first| first.name.clone()),
                        first_machine: self.resolved.machine,
                    });
                }
                self.add(object);
            }
        }
        Ok(())
    }

    /// Binds the names that ask for a version to definitions of it that are the default.
    fn bind_versions(&mut self) {
        let objects = &self.resolved.objects;
        let defined = objects.iter().flat_map(|object| &object.default_versions);
        let defined: HashMap<&[u8], &[u8], FixedState> = defined.copied().collect();
        if defined.is_empty() {
            return;
        }
        for id in 0..self.resolved.globals.len() {
            let global = &self.resolved.globals[id];
            let Some((name, version)) = wanted_version(global.name) else {
                continue;
            };
            if global.definition == Definition::Undefined && defined.get(name) == Some(&version) {
                let definition = self.resolved.globals[self.ids[name]].definition;
                let global = &mut self.resolved.globals[id];
                global.definition = definition;
                // The name without the version is what others know it by.
                global.visibility = global.visibility.max(Visibility::Hidden);
            }
        }
    }

    /// Adds the functions of the C library's static part that someone wants and no one defines.
    fn add_runtime_functions(&mut self) {
        for function in self.resolved.machine.runtime_functions() {
            let is_wanted = self.ids.get(function.name.as_bytes()).is_some_and(|&id| {
                let global = &self.resolved.globals[id];
                global.definition == Definition::Undefined && global.is_needed
            });
            if is_wanted {
                self.add(runtime_object(self.resolved.machine, function));
            }
        }
    }

    /// Defines the names that mean a part of the image, where someone refers to them.
    fn define_linker_symbols(&mut self) {
        let resolved = &mut self.resolved;
        for id in 0..resolved.globals.len() {
            if resolved.globals[id].definition != Definition::Undefined {
                continue;
            }
            let Some(symbol) = LinkerSymbol::named(resolved.globals[id].name, |name| {
                section_exists(&resolved.objects, &resolved.kept, name)
            }) else {
                continue;
            };
            let global = &mut resolved.globals[id];
            global.definition = Definition::Linker(symbol);
            global.visibility = global.visibility.max(Visibility::Hidden);
        }
    }

    /// Hides the definitions that the list does not export.
    fn hide_all_but(&mut self, list: &ExportList) {
        for global in &mut self.resolved.globals {
            if global.definition != Definition::Undefined && !list.exports(global.name) {
                global.visibility = global.visibility.max(Visibility::Hidden);
            }
        }
    }

    /// Makes names visible outside, whatever the objects say.
    fn export(&mut self, names: &[String]) {
        for name in names {
            let Some(&id) = self.ids.get(name.as_bytes()) else {
                continue;
            };
            let global = &mut self.resolved.globals[id];
            if global.visibility > Visibility::Protected
                && global.definition != Definition::Undefined
            {
                global.visibility = Visibility::Protected;
            }
        }
    }

    fn check(&mut self) -> Result<(), Errors> {
        let resolved = &self.resolved;
        for (id, global) in resolved.globals.iter().enumerate() {
            let visibility = match global.visibility {
                Visibility::Default => continue,
                Visibility::Protected => "protected",
                Visibility::Hidden => "hidden",
                Visibility::Internal => "internal",
            };
            if global.definition == Definition::Undefined && global.is_needed {
                self.errors.push(Error::UndefinedHidden {
                    referrer: resolved.referrer(id),
                    symbol: String::from_utf8_lossy(global.name).into_owned(),
                    visibility,
                });
            }
        }
        for (object, kept) in resolved.objects.iter().zip(&resolved.kept) {
            for (index, section) in object.sections.iter().enumerate() {
                if let Some(reason) = section_refusal(section, kept[index]) {
                    let section = section.display_name();
                    self.errors.push(Error::Section {
                        object: object.name.clone(),
                        section,
                        reason,
                    });
                }
            }
            for symbol in &object.symbols {
                let is_kept =
                    matches!(symbol.placement, Placement::Section(section) if kept[section]);
                if let Some(reason) = symbol_refusal(object, symbol, is_kept) {
                    let (object, symbol) = (object.name.clone(), symbol.display_name());
                    self.errors.push(Error::Symbol {
                        object,
                        symbol,
                        reason,
                    });
                }
            }
        }
        Errors::check(std::mem::take(&mut self.errors))
    }
}

/// Whether a section enters the image unless its group loses.
fn enters_image(section: &crate::input::Section<'_>) -> bool {
    section.is_alloc()
        && !section.has_flag(elf::SHF_EXCLUDE)
        && section.name != b".note.gnu.property"
        && !matches!(section.section_type, elf::SHT_NULL | elf::SHT_GROUP)
}

fn section_exists(objects: &[Object<'_>], kept: &[Vec<bool>], name: &[u8]) -> bool {
    objects.iter().zip(kept).any(|(object, kept)| {
        object
            .sections
            .iter()
            .zip(kept)
            .any(|(section, &kept)| kept && section.name == name)
    })
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    Weak,
    Common,
    Strong,
}

fn strength(symbol: &InputSymbol<'_>) -> Strength {
    match (symbol.binding, symbol.placement) {
        (Binding::Weak, _) => Strength::Weak,
        (_, Placement::Common) => Strength::Common,
        _ => Strength::Strong,
    }
}

/// Whether two definitions are the same absolute value: which of them counts makes no difference.
fn are_one_number(one: &InputSymbol<'_>, other: &InputSymbol<'_>) -> bool {
    let is_absolute = |symbol: &InputSymbol<'_>| symbol.placement == Placement::Absolute;
    is_absolute(one) && is_absolute(other) && one.value == other.value
}

fn definition_place(object: &Object<'_>, symbol: &InputSymbol<'_>) -> Place {
    let section = match symbol.placement {
        Placement::Section(section) => object.sections[section].display_name(),
        _ => "absolute".to_owned(),
    };
    Place {
        object: object.name.clone(),
        section,
        offset: symbol.value,
    }
}
