//! What a session knows: libraries with their names, units, and the parts that they are compiled in.
//!
//! A *unit* is what was added at once. It has one *part*, an image, or several, when its functions are compiled apart from
//! its variables and from each other. All of this is behind the session's lock, under which nothing is compiled, loaded or called.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread::{self, ThreadId};

use farcall_loader::{Definition, Redirect};

use crate::build::Source;
use crate::code::Code;
use crate::{Error, Result, When};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct UnitId(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PartId(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LibraryId(usize);

/// A symbol's name.
pub(crate) type Name = Box<[u8]>;

#[derive(Debug, Default)]
pub(crate) struct State {
    libraries: Vec<LibraryState>,
    pub(crate) units: HashMap<UnitId, UnitState>,
    pub(crate) parts: HashMap<PartId, Part>,
    next: u64,
    /// The threads that wait for another one to start a part, and that one.
    pub(crate) waiting: HashMap<ThreadId, ThreadId>,
}

#[derive(Debug)]
pub(crate) struct LibraryState {
    pub(crate) name: Arc<str>,
    /// Where its units' imports are looked for after itself.
    pub(crate) order: Vec<LibraryId>,
    names: HashMap<Name, Entry>,
}

/// What a name of a library means.
#[derive(Debug)]
enum Entry {
    Definition(Definition),
    Part {
        part: PartId,
        is_weak: bool,
        /// Others that define it, all weak: they are meant when this one goes, the first before the rest.
        shadowed: Vec<PartId>,
    },
}

#[derive(Debug)]
pub(crate) struct UnitState {
    pub(crate) name: Arc<str>,
    pub(crate) library: LibraryId,
    pub(crate) when: When,
    pub(crate) parts: Vec<PartId>,
    pub(crate) exports: Vec<Export>,
    /// Names that only its own parts see, and before all others.
    pub(crate) private: HashMap<Name, PartId>,
    pub(crate) code: Arc<Code>,
    /// The units that are bound to its parts.
    pub(crate) users: HashSet<UnitId>,
    /// The thread that replaces or removes it.
    pub(crate) changing: Option<ThreadId>,
}

/// A name that a unit gives its library.
#[derive(Debug, Clone)]
pub(crate) struct Export {
    pub(crate) name: Name,
    pub(crate) part: PartId,
    pub(crate) is_weak: bool,
}

/// What becomes one image.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) unit: UnitId,
    /// Where its module will be. That of the unit, or of the version that it replaces.
    pub(crate) code: Arc<Code>,
    /// The name of the image.
    pub(crate) name: Arc<str>,
    pub(crate) source: Source,
    pub(crate) phase: Phase,
    /// The part that has to be started before it.
    pub(crate) after: Option<PartId>,
    /// Functions of it that are called through stubs.
    pub(crate) stubs: Arc<[Name]>,
    /// The units that it is bound to.
    pub(crate) uses: HashSet<UnitId>,
    /// What the last try to load it failed with.
    pub(crate) failure: Option<Error>,
}

/// How far a part is.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    Added,
    /// By a thread, which waits for nobody meanwhile.
    Compiling,
    Compiled(Compiled),
    /// Loaded; a thread runs its constructors, and those of what it needs.
    Starting(ThreadId),
    Ready,
}

/// An image that is not loaded.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    pub(crate) image: Arc<[u8]>,
    pub(crate) imports: Arc<[Name]>,
}

/// What a name means to who imports it or looks it up.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    Definition(Definition),
    /// An export of a part.
    Part(PartId),
    /// A function of a part that is called through a stub.
    Stub {
        part: PartId,
        redirect: Arc<Redirect>,
        /// Whether it is compiled when it is called.
        is_lazy: bool,
    },
}

impl Phase {
    pub(crate) fn is_started(&self) -> bool {
        matches!(self, Self::Starting(_) | Self::Ready)
    }
}

impl Found {
    /// The part that has to be loaded for it.
    pub(crate) fn needs(&self) -> Option<PartId> {
        match *self {
            Self::Definition(_) | Self::Stub { is_lazy: true, .. } => None,
            Self::Part(part) | Self::Stub { part, .. } => Some(part),
        }
    }

    /// The part that has it.
    pub(crate) fn part(&self) -> Option<PartId> {
        match *self {
            Self::Definition(_) => None,
            Self::Part(part) | Self::Stub { part, .. } => Some(part),
        }
    }
}

impl State {
    pub(crate) fn next_unit(&mut self) -> UnitId {
        self.next += 1;
        UnitId(self.next)
    }

    pub(crate) fn next_part(&mut self) -> PartId {
        self.next += 1;
        PartId(self.next)
    }

    /// The library of that name, made if there is none.
    pub(crate) fn library_named(&mut self, name: &str) -> LibraryId {
        let known = self.libraries.iter().position(|it| *it.name == *name);
        LibraryId(known.unwrap_or_else(|| {
            self.libraries.push(LibraryState {
                name: name.into(),
                order: Vec::new(),
                names: HashMap::new(),
            });
            self.libraries.len() - 1
        }))
    }

    pub(crate) fn library(&self, id: LibraryId) -> &LibraryState {
        &self.libraries[id.0]
    }

    pub(crate) fn library_mut(&mut self, id: LibraryId) -> &mut LibraryState {
        &mut self.libraries[id.0]
    }

    /// The libraries that a name is looked for in, in order.
    pub(crate) fn scope(&self, library: LibraryId) -> impl Iterator<Item = &LibraryState> {
        let own = self.library(library);
        std::iter::once(own).chain(own.order.iter().map(|&id| self.library(id)))
    }

    /// What a name means in a library.
    pub(crate) fn find(&self, library: LibraryId, name: &[u8]) -> Option<Found> {
        let entry = self.scope(library).find_map(|it| it.names.get(name))?;
        match entry {
            Entry::Definition(definition) => Some(Found::Definition(definition.clone())),
            Entry::Part { part, .. } => self.found(*part, name),
        }
    }

    /// What a name means to a part that imports it.
    pub(crate) fn find_for(&self, part: PartId, name: &[u8]) -> Option<Found> {
        let unit = self.unit_of(part)?;
        let own = unit.private.get(name);
        own.and_then(|&part| self.found(part, name))
            .or_else(|| self.find(unit.library, name))
    }

    fn found(&self, part: PartId, name: &[u8]) -> Option<Found> {
        let unit = self.unit_of(part)?;
        Some(match self.parts[&part].code.redirect(name) {
            Some(redirect) => Found::Stub {
                part,
                redirect,
                is_lazy: unit.when == When::OnFirstCall,
            },
            None => Found::Part(part),
        })
    }

    pub(crate) fn unit_of(&self, part: PartId) -> Option<&UnitState> {
        self.units.get(&self.parts.get(&part)?.unit)
    }

    /// The error for a name that is not found in a library.
    pub(crate) fn not_found(&self, library: LibraryId, name: &str) -> Error {
        let searched = self.scope(library).map(|it| format!("library {}", it.name));
        let names = self.scope(library).flat_map(|it| it.names.keys());
        Error::not_found(name, searched.collect(), names.map(|name| &**name))
    }

    /// Adds a unit with its parts and gives its library their names. A name that is there and weak gives way to one
    /// that is not; of two weak ones the first stays. A unit that could not be loaded gives way whole.
    ///
    /// # Errors
    /// [`Error::Duplicate`]; nothing is added then.
    pub(crate) fn add(
        &mut self,
        id: UnitId,
        unit: UnitState,
        parts: Vec<(PartId, Part)>,
    ) -> Result<Vec<UnitState>> {
        let failed = self.check_names(id, &unit)?;
        let removed = failed.into_iter().filter_map(|id| self.take(id)).collect();
        self.parts.extend(parts);
        self.enter(unit.library, &unit.exports);
        self.units.insert(id, unit);
        Ok(removed)
    }

    /// The units that have failed and define what `unit`, which has or will have that identity, does.
    pub(crate) fn check_names(&self, id: UnitId, unit: &UnitState) -> Result<HashSet<UnitId>> {
        let library = self.library(unit.library);
        let mut failed = HashSet::new();
        for export in unit.exports.iter().filter(|it| !it.is_weak) {
            let other = match library.names.get(&export.name) {
                None | Some(Entry::Part { is_weak: true, .. }) => continue,
                Some(Entry::Definition(_)) => "a definition".to_owned(),
                Some(Entry::Part { part, .. }) => {
                    let other = &self.parts[part];
                    if other.unit == id {
                        continue;
                    }
                    if self.has_failed(other.unit) {
                        failed.insert(other.unit);
                        continue;
                    }
                    self.units[&other.unit].name.to_string()
                }
            };
            return Err(Error::Duplicate {
                unit: unit.name.to_string(),
                name: String::from_utf8_lossy(&export.name).into_owned(),
                other,
                library: library.name.to_string(),
            });
        }
        Ok(failed)
    }

    /// Whether it could not be loaded, and nobody has anything of it.
    fn has_failed(&self, unit: UnitId) -> bool {
        let state = &self.units[&unit];
        let mut phases = (state.parts.iter()).map(|part| &self.parts[part].phase);
        let mut parts = state.parts.iter();
        state.changing.is_none()
            && !phases.any(Phase::is_started)
            && parts.any(|part| self.parts[part].failure.is_some())
            && self.users(&[unit]).is_empty()
    }

    fn enter(&mut self, library: LibraryId, exports: &[Export]) {
        let names = &mut self.libraries[library.0].names;
        for export in exports {
            let &Export { part, is_weak, .. } = export;
            match names.get_mut(&export.name) {
                Some(Entry::Definition(_)) => {}
                // It has taken the place of one that it replaces.
                Some(Entry::Part { part: known, .. }) if *known == part => {}
                Some(Entry::Part { shadowed, .. }) if is_weak => shadowed.push(part),
                Some(Entry::Part {
                    part: known,
                    is_weak,
                    shadowed,
                }) => {
                    // One that is not weak was refused before.
                    shadowed.insert(0, std::mem::replace(known, part));
                    *is_weak = false;
                }
                None => {
                    let shadowed = Vec::new();
                    let entry = Entry::Part {
                        part,
                        is_weak,
                        shadowed,
                    };
                    names.insert(export.name.clone(), entry);
                }
            }
        }
    }

    /// Says what a name of a library means.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when a unit defines it. A definition is replaced.
    pub(crate) fn define(
        &mut self,
        library: LibraryId,
        name: &str,
        definition: Definition,
    ) -> Result<Option<Definition>> {
        let state = self.library(library);
        if let Some(Entry::Part { part, is_weak, .. }) = state.names.get(name.as_bytes())
            && !is_weak
        {
            return Err(Error::Duplicate {
                unit: "a definition".to_owned(),
                name: name.to_owned(),
                other: self
                    .unit_of(*part)
                    .map_or_else(String::new, |it| it.name.to_string()),
                library: state.name.to_string(),
            });
        }
        let names = &mut self.library_mut(library).names;
        match names.insert(name.as_bytes().into(), Entry::Definition(definition)) {
            Some(Entry::Definition(old)) => Ok(Some(old)),
            _ => Ok(None),
        }
    }

    /// Takes a unit out, with its names and parts, if it is there.
    pub(crate) fn take(&mut self, id: UnitId) -> Option<UnitState> {
        self.withdraw(id);
        let unit = self.units.remove(&id)?;
        for part in &unit.parts {
            let uses = self.parts.remove(part).map(|part| part.uses);
            for used in uses.iter().flatten() {
                if let Some(used) = self.units.get_mut(used) {
                    used.users.remove(&id);
                }
            }
        }
        Some(unit)
    }

    /// Puts a new version in the place of a unit, with a part that is there already. Gives the old one.
    pub(crate) fn replace(&mut self, id: UnitId, mut new: UnitState) -> Option<UnitState> {
        let old = self.units.get(&id)?;
        // What names mean the old one mean the new one, whatever is shadowed.
        let names = &mut self.libraries[new.library.0].names;
        for export in &new.exports {
            if let Some(Entry::Part { part, is_weak, .. }) = names.get_mut(&export.name)
                && old.parts.contains(part)
            {
                (*part, *is_weak) = (export.part, export.is_weak);
            }
        }
        let old = self.take(id)?;
        new.users.clone_from(&old.users);
        self.enter(new.library, &new.exports);
        let parts = new.parts.clone();
        self.units.insert(id, new);
        for part in parts {
            let uses = self.parts.get(&part).map(|part| part.uses.clone());
            self.set_uses(part, uses.unwrap_or_default());
        }
        Some(old)
    }

    /// What a unit exports by the name, as it is now, if that is loaded.
    pub(crate) fn definition(&self, unit: UnitId, name: &str) -> Option<Result<Definition>> {
        let unit = self.units.get(&unit)?;
        let mut exports = unit.exports.iter();
        let export = exports.find(|export| *export.name == *name.as_bytes())?;
        unit.code.definition(export.part, name)
    }

    /// Says which units a part is bound to.
    pub(crate) fn set_uses(&mut self, part: PartId, uses: HashSet<UnitId>) {
        let Some(part) = self.parts.get_mut(&part) else {
            return;
        };
        for used in &uses {
            if let Some(used) = self.units.get_mut(used) {
                used.users.insert(part.unit);
            }
        }
        part.uses = uses;
    }

    /// Says that a part is bound to nothing: it was not loaded after all.
    pub(crate) fn clear_uses(&mut self, part: PartId) {
        let Some(failed) = self.parts.get_mut(&part) else {
            return;
        };
        let (user, uses) = (failed.unit, std::mem::take(&mut failed.uses));
        let parts = self.units.get(&user).map_or(&[][..], |unit| &unit.parts);
        let others = parts.iter().filter_map(|id| self.parts.get(id));
        let kept: HashSet<_> = others.flat_map(|it| &it.uses).copied().collect();
        for used in uses.difference(&kept) {
            if let Some(used) = self.units.get_mut(used) {
                used.users.remove(&user);
            }
        }
    }

    /// Takes the names of a unit out of its library.
    pub(crate) fn withdraw(&mut self, id: UnitId) {
        let Some(unit) = self.units.get_mut(&id) else {
            return;
        };
        let exports = std::mem::take(&mut unit.exports);
        let names = &mut self.libraries[unit.library.0].names;
        for export in exports {
            let Some(Entry::Part {
                part,
                is_weak,
                shadowed,
            }) = names.get_mut(&export.name)
            else {
                continue;
            };
            if *part != export.part {
                shadowed.retain(|other| *other != export.part);
            } else if shadowed.is_empty() {
                names.remove(&export.name);
            } else {
                *part = shadowed.remove(0);
                *is_weak = true;
            }
        }
    }

    /// The names of the units that use one of `units`, but for those.
    pub(crate) fn users(&self, units: &[UnitId]) -> Vec<String> {
        let known = units.iter().filter_map(|unit| self.units.get(unit));
        let users = known.flat_map(|unit| &unit.users);
        let others = users.filter(|user| !units.contains(user));
        let names = others.filter_map(|user| Some(self.units.get(user)?.name.to_string()));
        let mut users: Vec<_> = names.collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    /// Who has the unit as it is for now, if somebody does.
    pub(crate) fn busy(&self, unit: &UnitState) -> Option<Busy> {
        let phases = unit.parts.iter().map(|part| &self.parts[part].phase);
        let threads = phases.clone().filter_map(|phase| match phase {
            Phase::Starting(thread) => Some(*thread),
            _ => None,
        });
        let threads: Vec<_> = threads.chain(unit.changing).collect();
        let me = thread::current().id();
        match threads[..] {
            [] => phases
                .into_iter()
                .any(|phase| matches!(phase, Phase::Compiling))
                .then_some(Busy::Compiling),
            [first, ..] => Some(
                match threads.iter().any(|&thread| self.waits_for(thread, me)) {
                    true => Busy::ForMe,
                    false => Busy::With(first),
                },
            ),
        }
    }

    /// Whether a thread is another one, or waits for it.
    pub(crate) fn waits_for(&self, mut thread: ThreadId, other: ThreadId) -> bool {
        // Each waits for one other, and nobody begins to wait in a circle.
        while thread != other {
            match self.waiting.get(&thread) {
                Some(&next) => thread = next,
                None => return false,
            }
        }
        true
    }
}

/// Who has a unit as it is for now.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Busy {
    /// A thread that compiles, which waits for nobody.
    Compiling,
    /// A thread that starts, replaces or removes it.
    With(ThreadId),
    /// This thread, or one that waits for it.
    ForMe,
}
