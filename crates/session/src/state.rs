//! What a session knows: libraries with their names, units, and the parts that they are compiled in.
//!
//! A *unit* is what was added at once. It has one *part*, an image, or several, when its functions are compiled apart from
//! its variables and from each other. All of this is behind the session's lock, under which nothing is compiled, loaded or called.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread::{self, ThreadId};

use farcall_compiler::ADDRESS_SUFFIX;
use farcall_loader::{Definition, Redirect};

use crate::build::Source;
use crate::code::Code;
use crate::names::{Definer, Entry, Names};
use crate::{Error, Result, When};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct UnitId(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PartId(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LibraryId(usize);

/// A symbol's name.
pub(crate) type Name = Arc<[u8]>;

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
    names: Names,
}

#[derive(Debug)]
pub(crate) struct UnitState {
    pub(crate) name: Arc<str>,
    pub(crate) library: LibraryId,
    pub(crate) when: When,
    pub(crate) parts: Vec<PartId>,
    pub(crate) exports: Vec<Export>,
    /// Those of the exports that are weak, which others may have instead.
    pub(crate) weak: HashMap<Name, PartId>,
    /// Names that its own parts see before all others.
    pub(crate) private: HashMap<Name, PartId>,
    pub(crate) code: Arc<Code>,
    /// The units that are bound to its parts.
    pub(crate) users: HashMap<UnitId, Bond>,
    /// The thread that replaces or removes it.
    pub(crate) changing: Option<ThreadId>,
    /// Whether its weak names have been claimed for what is loaded of it.
    pub(crate) has_claimed: bool,
    /// Whether it was removed, and is there because others share weak definitions of it.
    pub(crate) is_removed: bool,
}

/// How one unit is bound to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bond {
    /// It defines itself, weakly, what it is bound to.
    Shares,
    Needs,
}

/// A name that a unit gives its library.
#[derive(Debug, Clone)]
pub(crate) struct Export {
    pub(crate) name: Name,
    pub(crate) part: PartId,
    pub(crate) is_weak: bool,
    /// Whether only the library's units see it.
    pub(crate) is_hidden: bool,
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
    pub(crate) uses: HashMap<UnitId, Bond>,
    /// Whether a thread loads it: others will be bound to it.
    pub(crate) is_loading: bool,
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
    /// The imports that it defines itself too.
    pub(crate) shared: Arc<HashSet<Name>>,
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
                names: Names::default(),
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

    /// What a name means to who looks it up in a library.
    pub(crate) fn find(&self, library: LibraryId, name: &[u8]) -> Option<Found> {
        let mut entries = self.scope(library).filter_map(|it| it.names.get(name));
        match entries.find(|entry| !entry.is_hidden())? {
            Entry::Definition(definition) => Some(Found::Definition(definition.clone())),
            Entry::Part { meant, .. } => self.found(meant.part, name),
        }
    }

    /// What a name means to a part that imports it, and the name that this has there.
    pub(crate) fn find_for<'n>(&self, part: PartId, name: &'n [u8]) -> Option<(Found, &'n [u8])> {
        let unit = self.unit_of(part)?;
        // The address of a weak function is that of the one that is meant.
        let function = name.strip_suffix(ADDRESS_SUFFIX.as_bytes());
        let name = function
            .filter(|function| unit.weak.contains_key(*function))
            .unwrap_or(name);
        if let Some(&own) = unit.private.get(name) {
            return Some((self.found(own, name)?, name));
        }
        let found = match self.library(unit.library).names.get(name) {
            Some(Entry::Part { meant, .. }) => self.found_for(part, meant, name),
            // In other libraries what is hidden is not meant.
            _ => self.find(unit.library, name),
        };
        Some((found?, name))
    }

    /// What a name that means a part of its library is to another part there.
    fn found_for(&self, part: PartId, meant: &Definer, name: &[u8]) -> Option<Found> {
        let unit = self.unit_of(part)?;
        let own = unit.weak.get(name).filter(|_| meant.is_weak);
        let own = own.filter(|_| !self.may_be_bound(meant.part, name));
        let chosen = *own.unwrap_or(&meant.part);
        // A new version is not what its unit is yet.
        let is_new = self.parts[&part].code.borrows_redirects()
            && self.parts[&chosen].unit == self.parts[&part].unit;
        match &self.parts[&part].phase {
            Phase::Compiled(compiled) if is_new && compiled.shared.contains(name) => {
                Some(Found::Part(part))
            }
            _ => self.found(chosen, name),
        }
    }

    /// Whether somebody may be bound to what a part defines by a name.
    fn may_be_bound(&self, part: PartId, name: &[u8]) -> bool {
        let Some(unit) = self.unit_of(part) else {
            return false;
        };
        let part = &self.parts[&part];
        part.is_loading
            || part.phase.is_started()
            || unit.when == When::OnFirstCall && part.code.redirect(name).is_some()
    }

    /// The part whose constructors have to have run before those of a part that may call a function of its unit. Both may have the
    /// same inline variable: who initializes that holds its guard, and cannot wait for the other one to look at it.
    pub(crate) fn starts_before(&self, part: PartId, callee: &Found) -> Option<PartId> {
        let (own, other) = (self.unit_of(part)?, self.unit_of(callee.part()?)?);
        let is_both = !own.weak.is_empty() && !other.weak.is_empty();
        let is_other = self.parts[&part].unit != self.parts[&callee.part()?].unit;
        self.parts[&callee.part()?]
            .after
            .filter(|_| is_both && is_other)
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

    /// Says that parts are about to be loaded: the weak names of their units mean them, unless somebody may be bound to
    /// others by now.
    pub(crate) fn claim(&mut self, parts: impl IntoIterator<Item = PartId>) {
        let mut parts: Vec<_> = parts.into_iter().collect();
        parts.sort_unstable();
        for part in parts {
            let Some(state) = self.parts.get_mut(&part) else {
                continue;
            };
            state.is_loading = true;
            let unit = state.unit;
            if let Some(unit) = self.units.get_mut(&unit)
                && !std::mem::replace(&mut unit.has_claimed, true)
            {
                self.claim_names(self.parts[&part].unit);
            }
        }
    }

    fn claim_names(&mut self, id: UnitId) {
        let unit = &self.units[&id];
        let library = unit.library.0;
        let mut names = std::mem::take(&mut self.libraries[library].names);
        for export in unit.exports.iter().filter(|export| export.is_weak) {
            let is_own = |part| self.parts.get(&part).is_some_and(|part| part.unit == id);
            names.claim(export, |part| {
                is_own(part) || self.may_be_bound(part, &export.name)
            });
        }
        self.libraries[library].names = names;
    }

    /// Says that a part is loaded, or was not after all.
    pub(crate) fn loaded(&mut self, part: PartId, is_loaded: bool) {
        let Some(part) = self.parts.get_mut(&part) else {
            return;
        };
        part.is_loading = false;
        if !is_loaded && let Some(unit) = self.units.get_mut(&part.unit) {
            unit.has_claimed = false;
        }
    }

    /// Takes weak names out that a unit was said to define in a part and that the part, now compiled, does not have: LLVM leaves out
    /// what is inlined everywhere.
    pub(crate) fn keep_defined(&mut self, part: PartId, is_defined: impl Fn(&[u8]) -> bool) {
        let Some(unit) = self.parts.get(&part).map(|part| part.unit) else {
            return;
        };
        let Some(unit) = self.units.get_mut(&unit) else {
            return;
        };
        let names = &mut self.libraries[unit.library.0].names;
        let is_missing = |export: &mut Export| {
            export.is_weak && export.part == part && !is_defined(&export.name)
        };
        for export in unit.exports.extract_if(.., is_missing) {
            names.withdraw(&export);
            unit.weak.remove(&export.name);
        }
    }

    pub(crate) fn unit_of(&self, part: PartId) -> Option<&UnitState> {
        self.units.get(&self.parts.get(&part)?.unit)
    }

    /// The error for a name that is not found in a library.
    pub(crate) fn not_found(&self, library: LibraryId, name: &str) -> Error {
        let searched = self.scope(library).map(|it| format!("library {}", it.name));
        let names = self.scope(library).flat_map(|it| it.names.visible());
        Error::not_found(name, searched.collect(), names)
    }

    /// Adds a unit with its parts and gives its library their names. A name that is there and weak gives way to one
    /// that is not, for who is bound from now on; of weak ones one is meant ([`Names`]). A unit that could not be loaded gives way whole.
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
        self.insert(id, unit);
        Ok(removed)
    }

    /// The units that have failed and define what `unit`, which has or will have that identity, does.
    pub(crate) fn check_names(&self, id: UnitId, unit: &UnitState) -> Result<HashSet<UnitId>> {
        let library = self.library(unit.library);
        let mut failed = HashSet::new();
        for export in unit.exports.iter().filter(|it| !it.is_weak) {
            let other = match library.names.get(&export.name) {
                None => continue,
                Some(Entry::Part { meant, .. }) if meant.is_weak => continue,
                Some(Entry::Definition(_)) => "a definition".to_owned(),
                Some(Entry::Part { meant, .. }) => {
                    let other = &self.parts[&meant.part];
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
            && state.users.is_empty()
    }

    /// Adds a unit whose parts are there, with its names.
    fn insert(&mut self, id: UnitId, mut unit: UnitState) {
        self.library_mut(unit.library).names.enter(&unit.exports);
        let weak = unit.exports.iter().filter(|export| export.is_weak);
        unit.weak = weak.map(|it| (it.name.clone(), it.part)).collect();
        self.units.insert(id, unit);
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
        if let Some(Entry::Part { meant, .. }) = state.names.get(name.as_bytes())
            && !meant.is_weak
        {
            return Err(Error::Duplicate {
                unit: "a definition".to_owned(),
                name: name.to_owned(),
                other: self
                    .unit_of(meant.part)
                    .map_or_else(String::new, |it| it.name.to_string()),
                library: state.name.to_string(),
            });
        }
        let names = &mut self.library_mut(library).names;
        Ok(names.define(name, definition))
    }

    /// Takes a unit out, with its names and parts, if it is there.
    pub(crate) fn take(&mut self, id: UnitId) -> Option<UnitState> {
        self.withdraw(id);
        let unit = self.units.remove(&id)?;
        for part in &unit.parts {
            let uses = self.parts.remove(part).map(|part| part.uses);
            for used in uses.iter().flat_map(HashMap::keys) {
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
            names.replace(&old.parts, export);
        }
        let old = self.take(id)?;
        new.users.clone_from(&old.users);
        // What its weak names mean was decided when it was loaded.
        new.has_claimed = true;
        let parts = new.parts.clone();
        self.insert(id, new);
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
    pub(crate) fn set_uses(&mut self, part: PartId, uses: HashMap<UnitId, Bond>) {
        let Some(part) = self.parts.get_mut(&part) else {
            return;
        };
        for (used, &bond) in &uses {
            if let Some(used) = self.units.get_mut(used) {
                let known = used.users.entry(part.unit).or_insert(bond);
                *known = bond.max(*known);
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
        let mut kept = HashMap::new();
        for (&used, &bond) in others.flat_map(|it| &it.uses) {
            let known = kept.entry(used).or_insert(bond);
            *known = bond.max(*known);
        }
        for used in uses.keys() {
            if let Some(unit) = self.units.get_mut(used) {
                match kept.get(used) {
                    Some(&bond) => unit.users.insert(user, bond),
                    None => unit.users.remove(&user),
                };
            }
        }
    }

    /// Takes the names of a unit out of its library.
    pub(crate) fn withdraw(&mut self, id: UnitId) {
        if let Some(unit) = self.units.get_mut(&id) {
            let names = &mut self.libraries[unit.library.0].names;
            for export in std::mem::take(&mut unit.exports) {
                names.withdraw(&export);
            }
        }
    }

    /// Removes a unit that others share definitions with: what they define too goes on meaning it, weakly, all other names are free.
    pub(crate) fn retire(&mut self, id: UnitId) {
        if let Some(unit) = self.units.get_mut(&id) {
            unit.is_removed = true;
            let names = &mut self.libraries[unit.library.0].names;
            for export in std::mem::take(&mut unit.exports) {
                let is_meant = names.means(&export);
                if !names.retire(&export) {
                    unit.exports.push(export);
                } else if is_meant {
                    // Its own code, what is not compiled yet too, means it still.
                    unit.private.entry(export.name).or_insert(export.part);
                }
            }
        }
    }

    /// The unit, if it has not been removed.
    pub(crate) fn unit(&self, id: UnitId) -> Option<&UnitState> {
        self.units.get(&id).filter(|unit| !unit.is_removed)
    }

    /// What goes when `units` are removed: those that no others are bound to, with what was removed before and only they shared.
    pub(crate) fn going(&self, units: &[UnitId]) -> HashSet<UnitId> {
        let removed = self.units.iter().filter(|(_, unit)| unit.is_removed);
        // One that this thread is in the middle of goes with the next.
        let removed = removed.filter(|(_, unit)| !matches!(self.busy(unit), Some(Busy::ForMe)));
        let mut going: HashSet<_> = removed.map(|(id, _)| *id).collect();
        going.extend(units);
        loop {
            let is_used = |id: &&UnitId| {
                let unit = self.units.get(id);
                unit.is_some_and(|it| it.users.keys().any(|user| !going.contains(user)))
            };
            let used: Vec<_> = going.iter().filter(is_used).copied().collect();
            if used.is_empty() {
                return going;
            }
            for id in used {
                going.remove(&id);
            }
        }
    }

    /// The names of the units that need one of `units`, but for those that are `going`.
    pub(crate) fn users(&self, units: &[UnitId], going: &HashSet<UnitId>) -> Vec<String> {
        let known = units.iter().filter_map(|unit| self.units.get(unit));
        let users = known.flat_map(|unit| &unit.users);
        let users = users.filter(|(user, bond)| **bond == Bond::Needs && !going.contains(*user));
        self.names_of(users.map(|(user, _)| user))
    }

    /// The names of units, each once.
    pub(crate) fn names_of<'a>(&self, units: impl Iterator<Item = &'a UnitId>) -> Vec<String> {
        let names = units.filter_map(|unit| Some(self.units.get(unit)?.name.to_string()));
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names.dedup();
        names
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
