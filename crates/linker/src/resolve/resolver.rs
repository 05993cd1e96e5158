//! Finding out which definition each name means: objects are added one after the other, archives answer for
//! what is still undefined.
//!
//! Source: gABI, "Symbol Table" (binding and visibility) and "Section Groups".

use std::collections::{HashMap, HashSet};

use farcall_arch::Machine;
use foldhash::fast::FixedState;
use object::elf;

use super::{Common, Definition, Global, GlobalId, Resolved, asked};
use crate::ExportList;
use crate::error::{Error, Errors, Place, Result};
use crate::input::{Archive, Binding, InputSymbol, Object, Placement, Versioned, Visibility};
use crate::properties;
use crate::refuse::{section_refusal, symbol_refusal};
use crate::synthetic::{LinkerSymbol, runtime_object};
use crate::types::sections_named;

pub(crate) fn resolve<'data>(
    machine: Machine,
    objects: Vec<Object<'data>>,
    archives: &[Archive<'data>],
    exports: &[String],
    export_list: &ExportList,
    shares_scope: bool,
) -> Result<Resolved<'data>, Errors> {
    let mut resolver = Resolver::new(machine, archives);
    resolver.resolved.shares_scope = shares_scope;
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
    Errors::check(asked::missing(&resolved, archives, export_list))?;
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
    members: HashMap<Versioned<'data>, (usize, usize), FixedState>,
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
                shares_scope: false,
                runtime_objects: HashSet::default(),
                is_shared: Vec::new(),
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
            global.marks |= symbol.marks;
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
        for name in sections_named(&object, b".farcall.hidden") {
            self.hide(name);
        }
        self.resolved.kept.push(kept);
        self.resolved.global_ids.push(ids);
        self.resolved.objects.push(object);
    }

    /// Hides the names of a section that lists them, each ended by a zero byte.
    fn hide(&mut self, names: &[u8]) {
        for name in names.split(|&byte| byte == 0) {
            if let Some(&id) = self.ids.get(name) {
                let global = &mut self.resolved.globals[id];
                global.visibility = global.visibility.max(Visibility::Hidden);
            }
        }
    }

    /// The global of this name; a new one when there is none yet.
    fn global(&mut self, name: &'data [u8], first_object: usize) -> GlobalId {
        *self.ids.entry(name).or_insert_with(|| {
            self.resolved.globals.push(Global {
                name,
                definition: Definition::Undefined,
                visibility: Visibility::Default,
                marks: 0,
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
            self.wanted.push(id);
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
            let archives = self.archives.iter();
            let mut defined = archives.flat_map(|archive| &archive.definitions);
            let is_it = |defined: &Versioned<'_>| {
                defined.name == name.as_bytes() && defined.version.is_none()
            };
            let Some(&(Versioned { name, .. }, _)) = defined.find(|(defined, _)| is_it(defined))
            else {
                continue;
            };
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
        let mut linked = HashSet::<(usize, usize), FixedState>::default();
        let mut next = 0;
        while let Some(&id) = self.wanted.get(next) {
            next += 1;
            let global = &self.resolved.globals[id];
            let is_common = self.is_common(global.definition);
            if global.definition != Definition::Undefined && !is_common {
                continue;
            }
            let name = global.name;
            let Some(&(archive, member)) = self.members.get(&Versioned::wanted(name)) else {
                continue;
            };
            if !linked.contains(&(archive, member)) {
                let object = self.archives[archive].member(member)?;
                // A common symbol is there already: only a variable with a value is better.
                if is_common && !defines_strongly(&object, name) {
                    continue;
                }
                linked.insert((archive, member));
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
                if self.archives[archive].is_library {
                    self.mark_runtime();
                }
                self.add(object);
            }
        }
        Ok(())
    }

    /// Says that the next object is of a runtime.
    fn mark_runtime(&mut self) {
        let next = self.resolved.objects.len();
        self.resolved.runtime_objects.insert(next);
    }

    fn is_common(&self, definition: Definition) -> bool {
        let Definition::Symbol { object, symbol } = definition else {
            return false;
        };
        let object = self.resolved.objects.get(object);
        object.is_some_and(|object| object.symbols[symbol].placement == Placement::Common)
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
            let Versioned {
                name,
                version: Some(version),
            } = Versioned::wanted(global.name)
            else {
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
                self.mark_runtime();
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
        if list.is_everything() {
            return;
        }
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
            if global.visibility != Visibility::Default
                && global.definition == Definition::Undefined
                && global.is_needed
                && !resolved.is_of_scope(id)
            {
                self.errors.push(Error::UndefinedHidden {
                    referrer: resolved.referrer(id),
                    symbol: String::from_utf8_lossy(global.name).into_owned(),
                    visibility: global.visibility.name(),
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
        // The image has notes of its own in their place.
        && !matches!(section.name, b".note.gnu.property" | b".note.gnu.build-id")
        && !matches!(section.section_type, elf::SHT_NULL | elf::SHT_GROUP)
}

fn defines_strongly(object: &Object<'_>, name: &[u8]) -> bool {
    let mut symbols = object.globals().iter();
    symbols.any(|symbol| {
        symbol.name == name && symbol.is_definition() && strength(symbol) == Strength::Strong
    })
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
