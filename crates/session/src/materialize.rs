//! From a part that was added to one that runs, with all that it needs: compile, load, start.
//!
//! Threads that want the same part do it once. Compiling waits for nobody. One thread at a time loads: it decides what names
//! mean, binds, and publishes; that takes microseconds. Then it runs constructors, while others may load. A thread waits for
//! another one's constructors, unless that one waits for it: then it gets the part as it is, as a thread does that comes back to
//! what it is starting.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread::{self, ThreadId};

use farcall_image::Image;
use farcall_loader::{Definition, ImportBinding, Module, Replaced};

use crate::build::{Job, build_all};
use crate::code::{Code, lock};
use crate::session::Shared;
use crate::state::{Bond, Compiled, Found, Name, PartId, Phase, State, UnitId};
use crate::{Error, Result, trusted};

/// Compiles, loads and starts parts and what they need. What is there is left as it is.
///
/// # Errors
/// The first one. What failed can be tried again.
pub(crate) fn materialize(shared: &Arc<Shared>, roots: &[PartId]) -> Result<()> {
    loop {
        compile(shared, roots)?;
        if load(shared, roots)? {
            return wait_for_start(shared, roots);
        }
    }
}

/// How far parts are, and those that they need.
#[derive(Debug, Default)]
struct Reached {
    added: Vec<PartId>,
    compiling: Vec<PartId>,
    compiled: Vec<(PartId, Compiled)>,
    starting: Vec<(PartId, ThreadId)>,
}

impl Reached {
    fn from(state: &State, roots: &[PartId]) -> Self {
        let mut reached = Self::default();
        let mut pending = roots.to_vec();
        let mut seen = HashSet::new();
        while let Some(id) = pending.pop() {
            let Some(part) = state.parts.get(&id).filter(|_| seen.insert(id)) else {
                continue;
            };
            match &part.phase {
                Phase::Added => reached.added.push(id),
                Phase::Compiling => reached.compiling.push(id),
                Phase::Compiled(compiled) => {
                    reached.compiled.push((id, compiled.clone()));
                    let imports = compiled.imports.iter();
                    let found = imports.filter_map(|name| state.find_for(id, name));
                    pending.extend(found.filter_map(|(found, _)| {
                        found.needs().or_else(|| state.starts_before(id, &found))
                    }));
                }
                &Phase::Starting(thread) => reached.starting.push((id, thread)),
                Phase::Ready => {}
            }
            pending.extend(part.after);
        }
        reached
    }
}

/// Compiles what is not, wave by wave: what a part needs is known when it is compiled.
fn compile(shared: &Shared, roots: &[PartId]) -> Result<()> {
    let mut waited_for = HashSet::new();
    loop {
        let mut state = shared.state();
        let Reached {
            added, compiling, ..
        } = Reached::from(&state, roots);
        // Who waited for another thread's try has its error, too.
        let tried = added.iter().filter(|part| waited_for.contains(*part));
        let mut failures = tried.filter_map(|part| state.parts[part].failure.clone());
        if let Some(failure) = failures.next() {
            return Err(failure);
        }
        if added.is_empty() {
            if compiling.is_empty() {
                return Ok(());
            }
            waited_for.extend(compiling);
            drop(shared.changed.wait(state));
            continue;
        }
        let mut jobs = Vec::with_capacity(added.len());
        for part in &added {
            let part = state.parts.get_mut(part).expect("it was reached");
            part.phase = Phase::Compiling;
            jobs.push(Job {
                name: Arc::clone(&part.name),
                source: part.source.clone(),
            });
        }
        drop(state);
        let claim = Claim {
            shared,
            parts: added,
        };
        claim.finish(build_all(shared, &jobs))?;
    }
}

/// Parts that this thread compiles.
struct Claim<'a> {
    shared: &'a Shared,
    parts: Vec<PartId>,
}

impl Claim<'_> {
    fn finish(self, results: Vec<Result<Compiled>>) -> Result<()> {
        // Not under the lock: it reads all of an image's tables.
        let images: Vec<_> = (results.iter())
            .map(|result| result.as_ref().ok().map(|it| Arc::clone(&it.image)))
            .collect();
        let images = images.iter().map(|it| Image::parse(it.as_ref()?).ok());
        let images: Vec<_> = images.collect();
        let mut state = self.shared.state();
        let mut first = Ok(());
        for ((id, result), image) in self.parts.iter().zip(results).zip(&images) {
            if let Some(image) = image {
                state.keep_defined(*id, |name| image.exports().lookup(name).is_some());
            }
            let phase = match result {
                Ok(compiled) => Phase::Compiled(compiled),
                Err(error) => {
                    if let Some(part) = state.parts.get_mut(id) {
                        part.failure = Some(error.clone());
                    }
                    first = first.and(Err(error));
                    Phase::Added
                }
            };
            // It may have been removed.
            if let Some(part) = state.parts.get_mut(id) {
                part.phase = phase;
            }
        }
        first
    }
}

impl Drop for Claim<'_> {
    /// What has no result, because compiling panicked, is left to the next who wants it.
    fn drop(&mut self) {
        let mut state = self.shared.state();
        for id in &self.parts {
            if let Some(part) = state.parts.get_mut(id)
                && matches!(part.phase, Phase::Compiling)
            {
                part.phase = Phase::Added;
            }
        }
        drop(state);
        self.shared.changed.notify_all();
    }
}

/// What an import of a part that is about to be loaded is bound to.
#[derive(Debug)]
enum Bound {
    To(Definition),
    /// A part that is loaded with it, by position, and the name that it has there.
    Fellow(usize, Name),
}

/// A part that is about to be loaded.
struct Member {
    id: PartId,
    code: Arc<Code>,
    name: Arc<str>,
    compiled: Compiled,
    stubs: Arc<[Name]>,
    bindings: HashMap<Name, Bound>,
    uses: HashMap<UnitId, Bond>,
    keeps: Vec<Arc<Code>>,
}

/// Loads and starts what is compiled and not loaded; false when something has to be compiled first.
fn load(shared: &Arc<Shared>, roots: &[PartId]) -> Result<bool> {
    let loading = Loading::begin(shared);
    let members = {
        let mut state = shared.state();
        let reached = Reached::from(&state, roots);
        if !reached.added.is_empty() || !reached.compiling.is_empty() {
            return Ok(false);
        }
        if reached.compiled.is_empty() {
            return Ok(true);
        }
        let parts = reached.compiled.iter().map(|(part, _)| *part);
        state.claim(parts.clone());
        let members = members(&state, &reached.compiled).inspect_err(|_| {
            parts.for_each(|part| state.loaded(part, false));
        })?;
        // From now on: what they are bound to is not removed while they are loaded, or by their constructors.
        for member in &members {
            state.set_uses(member.id, member.uses.clone());
        }
        members
    };
    let started = start(shared, &members, loading);
    let mut state = shared.state();
    let mut unused = Vec::new();
    let mut first_tier = Vec::new();
    for member in &members {
        state.loaded(member.id, started.is_ok());
        let Some(part) = state.parts.get_mut(&member.id) else {
            continue;
        };
        match &started {
            Ok(()) => {
                part.phase = Phase::Ready;
                part.failure = None;
                // Variables do not get faster.
                if part.source.is_of_first_tier() && !part.stubs.is_empty() {
                    first_tier.push(member.id);
                }
                for code in &member.keeps {
                    member.code.keep(code);
                }
            }
            Err(error) => {
                part.phase = Phase::Compiled(member.compiled.clone());
                part.failure = Some(error.clone());
                state.clear_uses(member.id);
                unused.extend(member.code.remove_module(member.id));
            }
        }
    }
    drop(state);
    shared.changed.notify_all();
    // Not under the lock: it may run destructors.
    drop(unused);
    for part in first_tier {
        shared.tier_up.queue(shared, part);
    }
    started.map(|()| true)
}

/// What the parts that are to be loaded are bound to.
fn members(state: &State, compiled: &[(PartId, Compiled)]) -> Result<Vec<Member>> {
    let positions = compiled.iter().enumerate();
    let positions: HashMap<_, _> = positions.map(|(at, (id, _))| (*id, at)).collect();
    let mut members = Vec::with_capacity(compiled.len());
    for (id, compiled) in compiled {
        let part = &state.parts[id];
        let mut member = Member {
            id: *id,
            code: Arc::clone(&part.code),
            name: Arc::clone(&part.name),
            compiled: compiled.clone(),
            stubs: Arc::clone(&part.stubs),
            bindings: HashMap::with_capacity(compiled.imports.len()),
            uses: HashMap::new(),
            keeps: Vec::new(),
        };
        for name in compiled.imports.iter() {
            let Some((found, there)) = state.find_for(*id, name) else {
                continue;
            };
            let other = found.part().map(|part| &state.parts[&part]);
            if let Some(other) = other.map(|other| other.unit)
                && other != part.unit
            {
                let weak = &state.units[&part.unit].weak;
                let bond = match compiled.shared.contains(name) || weak.contains_key(there) {
                    true => Bond::Shares,
                    false => Bond::Needs,
                };
                let known = member.uses.entry(other).or_insert(bond);
                *known = bond.max(*known);
            }
            let bound = match found {
                Found::Definition(definition) => Bound::To(definition),
                Found::Stub { redirect, .. } => Bound::To(redirect.definition()),
                Found::Part(exporter) => {
                    let other = &state.parts[&exporter];
                    if !Arc::ptr_eq(&other.code, &part.code) {
                        member.keeps.push(Arc::clone(&other.code));
                    }
                    match positions.get(&exporter) {
                        Some(&position) => Bound::Fellow(position, there.into()),
                        None => {
                            let name = String::from_utf8_lossy(there);
                            match other.code.definition(exporter, &name) {
                                Some(definition) => Bound::To(definition?),
                                None => continue,
                            }
                        }
                    }
                }
            };
            member.bindings.insert(name.clone(), bound);
        }
        members.push(member);
    }
    Ok(members)
}

/// Loads parts, lets others load, and runs the constructors. Then the parts' stubs lead to them.
fn start(shared: &Arc<Shared>, members: &[Member], loading: Loading<'_>) -> Result<()> {
    let mut images = Vec::with_capacity(members.len());
    for member in members {
        let image = Image::parse(&member.compiled.image);
        let image = image.map_err(|error| Error::image(&member.name, error))?;
        images.push(trusted::image(image, &member.name));
    }
    let images: Vec<_> = images.iter().collect();
    let bind = |position: usize, name: &[u8]| {
        Some(match members[position].bindings.get(name)? {
            Bound::To(definition) => ImportBinding::To(definition.clone()),
            Bound::Fellow(position, name) => ImportBinding::Image {
                position: *position,
                name: name.to_vec().into(),
            },
        })
    };
    let publish = |modules: Vec<Module>| {
        let mut state = shared.state();
        for (member, module) in members.iter().zip(modules) {
            member.code.add_module(member.id, module);
            if let Some(part) = state.parts.get_mut(&member.id) {
                part.phase = Phase::Starting(thread::current().id());
            }
        }
        drop(state);
        drop(loading);
    };
    shared.loader.load_bound(&images, &bind, publish)?;
    let mut before = Vec::new();
    let state = shared.state();
    // What was removed meanwhile has no stubs, and those of a unit that is replaced lead there with its names.
    let members = members.iter().filter(|it| state.parts.contains_key(&it.id));
    let led = members
        .filter(|it| !it.code.borrows_redirects())
        .try_for_each(|member| lead(&member.code, member.id, &member.stubs, &mut before));
    drop(state);
    // Not under the lock: it may let go of modules.
    drop(before);
    led
}

/// Has the stubs of a part lead to it. Gives what keeps what they led to.
pub(crate) fn lead(
    code: &Code,
    part: PartId,
    stubs: &[Name],
    before: &mut Vec<Replaced>,
) -> Result<()> {
    for name in stubs {
        let definition = code.definition(part, &String::from_utf8_lossy(name));
        if let (Some(redirect), Some(definition)) = (code.redirect(name), definition) {
            before.push(redirect.lead_to(&definition?)?);
        }
    }
    Ok(())
}

/// The right to load.
struct Loading<'a> {
    shared: &'a Shared,
    /// Whether this thread has it already: it is in code that runs in the middle of loading.
    is_nested: bool,
}

impl<'a> Loading<'a> {
    fn begin(shared: &'a Shared) -> Self {
        let me = thread::current().id();
        let mut owner = lock(&shared.loading);
        let is_nested = *owner == Some(me);
        while !is_nested && owner.is_some() {
            let woken = shared.loaded.wait(owner);
            owner = woken.unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        *owner = Some(me);
        Self { shared, is_nested }
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        if !self.is_nested {
            *lock(&self.shared.loading) = None;
            self.shared.loaded.notify_one();
        }
    }
}

/// Waits until other threads have started what they are starting.
fn wait_for_start(shared: &Shared, roots: &[PartId]) -> Result<()> {
    let me = thread::current().id();
    let mut waited_for = HashSet::new();
    loop {
        let mut state = shared.state();
        let Reached {
            compiled, starting, ..
        } = Reached::from(&state, roots);
        let tried = compiled
            .iter()
            .filter(|(part, _)| waited_for.contains(part));
        let mut failures = tried.filter_map(|(part, _)| state.parts[part].failure.clone());
        if let Some(failure) = failures.next() {
            return Err(failure);
        }
        let mut others = (starting.iter()).filter(|(_, thread)| !state.waits_for(*thread, me));
        let Some(&(_, thread)) = others.next() else {
            return Ok(());
        };
        waited_for.extend(starting.iter().map(|(part, _)| *part));
        state.waiting.insert(me, thread);
        let woken = shared.changed.wait(state);
        let mut state = woken.unwrap_or_else(std::sync::PoisonError::into_inner);
        state.waiting.remove(&me);
    }
}
