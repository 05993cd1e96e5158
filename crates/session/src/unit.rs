//! What was added at once, as its owner sees it.

use std::fmt;
use std::sync::Arc;
use std::thread;

use crate::build::{self, Job, Source};
use crate::code::Code;
use crate::library::Image;
use crate::materialize::materialize;
use crate::replace;
use crate::session::Owner;
use crate::state::{Phase, UnitId};
use crate::{Error, Result};

/// What was added to a library at once: a module of IR, an object, an archive's part, an image.
///
/// Dropping it changes nothing: the session has the unit until it is [removed](Unit::remove). Clones are the same unit.
#[derive(Clone)]
pub struct Unit {
    pub(crate) shared: Arc<Owner>,
    pub(crate) id: UnitId,
    pub(crate) name: Arc<str>,
}

impl Unit {
    /// The name it was added by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Compiles, loads and starts all of it that is not, whenever that was to be: each function too, when it is compiled on
    /// first call.
    ///
    /// # Errors
    /// As [`Library::add`](crate::Library::add) when it is eager. It can be tried again.
    pub fn materialize(&self) -> Result<()> {
        let parts = {
            let state = self.shared.state();
            let unit = state.unit(self.id).ok_or_else(|| self.removed())?;
            unit.parts.clone()
        };
        materialize(&self.shared, &parts)
    }

    /// Whether all of it is compiled, loaded and started.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let state = self.shared.state();
        state.unit(self.id).is_some_and(|unit| {
            let mut phases = unit.parts.iter().map(|part| &state.parts[part].phase);
            phases.all(|phase| matches!(phase, Phase::Ready))
        })
    }

    /// Takes it out of its library. Its names are free again when this returns; its code goes, after its destructors, when no
    /// function of it that was looked up is left, and no unit that shares weak definitions with it: these mean the same as before as long.
    ///
    /// That no thread is in its code then is the caller's to see to, as with `dlclose`. It waits while another thread compiles or
    /// starts a part of it.
    ///
    /// # Errors
    /// [`Error::InUse`] while another unit is bound to what it alone defines, [`Error::Busy`] when this thread, or one that waits for it, is
    /// starting or replacing it, [`Error::Removed`] when it was removed before.
    pub fn remove(&self) -> Result<()> {
        Self::remove_all(&[self])
    }

    /// Removes units that use each other, all or none, as [`Unit::remove`] does.
    ///
    /// # Errors
    /// As there, and [`Error::OtherSession`] when they are not of one session.
    pub fn remove_all(units: &[&Self]) -> Result<()> {
        let Some(first) = units.first() else {
            return Ok(());
        };
        let mut others = units.iter();
        if let Some(other) = others.find(|unit| !Arc::ptr_eq(&unit.shared, &first.shared)) {
            let unit = other.name.to_string();
            return Err(Error::OtherSession { unit });
        }
        let mut ids: Vec<_> = units.iter().map(|unit| unit.id).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut state = first.shared.state();
        let mut going = loop {
            state = first.shared.wait_while_busy(state, units)?;
            let going = state.going(&ids);
            // What was removed before may be compiled once more in the background.
            let mut busy = going.iter().filter_map(|id| state.busy(&state.units[id]));
            match busy.next() {
                None => break going,
                Some(busy) => state = first.shared.wait_for(state, busy),
            }
        };
        let users = state.users(&ids, &going);
        if !users.is_empty() {
            let names: Vec<_> = units.iter().map(|unit| &*unit.name).collect();
            let unit = names.join(", ");
            return Err(Error::InUse { unit, users });
        }
        for &id in ids.iter().filter(|id| !going.contains(id)) {
            state.retire(id);
        }
        let mut ids: Vec<_> = going.drain().collect();
        ids.sort_unstable();
        let codes: Vec<Arc<Code>> = ids
            .iter()
            .map(|id| Arc::clone(&state.units[id].code))
            .collect();
        for &id in &ids {
            state.withdraw(id);
            if let Some(unit) = state.units.get_mut(&id) {
                unit.changing = Some(thread::current().id());
            }
        }
        // What a function that was looked up keeps ends with that.
        let is_free = ids.iter().zip(&codes).all(|(id, code)| {
            let keepers = codes.iter().filter(|other| other.keeps_other(code)).count();
            // The unit, its parts and `codes` have it.
            Arc::strong_count(code) == 2 + state.units[id].parts.len() + keepers
        });
        drop(state);
        if is_free {
            // All is there still: destructors may call what was never called before.
            Code::run_destructors(&codes);
        }
        let mut state = first.shared.state();
        let taken: Vec<_> = ids.iter().filter_map(|&id| state.take(id)).collect();
        drop(state);
        first.shared.changed.notify_all();
        if is_free {
            codes.iter().for_each(|code| code.release());
        }
        drop(taken);
        Ok(())
    }

    /// Compiles a new version, whole and at once, and has it take the unit's place: when this returns its library's names mean the
    /// new version, and so do calls by those who are bound to functions of the unit, if it is
    /// [replaceable](crate::Options::replaceable). Calls that have begun go on in the old version, as do those by who
    /// is bound to a unit that is not replaceable, and by functions of such a unit that were looked up before. What goes on in the old
    /// version and calls a function that the new one lacks, and that was never called before, finds it removed. The new
    /// version has variables of its own, but for weak ones that mean another unit's; who is bound to a variable stays with the old one.
    ///
    /// The old version is kept by what this gives: drop that when no thread is in its code any more.
    ///
    /// # Errors
    /// As [`Library::add`](crate::Library::add); [`Error::Incomplete`] when the new version lacks a function that another
    /// unit calls, [`Error::Load`] when a function has another type. Nothing changes then.
    pub fn replace(&self, name: &str, ir: &[u8]) -> Result<Replaced> {
        let module = build::Module {
            name: name.into(),
            ir: ir.to_vec(),
        };
        let job = Job {
            name: name.into(),
            source: Source::Ir([module].into()),
        };
        let compiled = build::build_all(&self.shared, &[job]).remove(0)?;
        let image = Image {
            name: name.into(),
            compiled,
        };
        let code = replace::replace(&self.shared, self, image)?;
        Ok(Replaced {
            code,
            shared: Arc::clone(&self.shared),
        })
    }

    pub(crate) fn removed(&self) -> Error {
        Error::Removed {
            unit: self.name.to_string(),
        }
    }
}

impl fmt::Debug for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unit").field(&self.name).finish()
    }
}

/// The version of a unit that another one has replaced. It stays loaded until this is dropped, or longer if another
/// unit is bound to a variable of it.
pub struct Replaced {
    #[expect(dead_code, reason = "it keeps the code")]
    code: Arc<Code>,
    #[expect(dead_code, reason = "the session ends after its code")]
    shared: Arc<Owner>,
}

impl fmt::Debug for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replaced")
    }
}
