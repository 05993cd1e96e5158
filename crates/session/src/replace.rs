//! A new version in the place of a unit.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;

use crate::build::Source;
use crate::code::Code;
use crate::library::{Draft, Image, Symbol};
use crate::materialize::{lead, materialize};
use crate::session::Shared;
use crate::state::{PartId, Phase, UnitId};
use crate::unit::Unit;
use crate::{Error, Options, Result, When};

/// Puts a new version in the place of a unit; gives what is loaded of the old one.
pub(crate) fn replace(shared: &Arc<Shared>, unit: &Unit, image: Image) -> Result<Arc<Code>> {
    let (draft, part) = prepare(shared, unit, image)?;
    let mut changing = Changing {
        shared,
        unit: unit.id,
        part,
        is_done: false,
    };
    materialize(shared, &[part])?;
    let mut before = Vec::new();
    let mut state = shared.state();
    let stubs = state.parts.get(&part).map(|it| Arc::clone(&it.stubs));
    let code = Arc::clone(&draft.state.code);
    // At once, so that what is started of the old version meanwhile does not lead them back.
    let led = lead(&code, part, &stubs.unwrap_or_default(), &mut before);
    let replaced = led.and_then(|()| {
        let old = state.replace(unit.id, draft.state);
        let old = old.ok_or_else(|| unit.removed())?;
        old.code.leave_redirects_to(&code);
        changing.is_done = true;
        Ok(old)
    });
    drop(state);
    // Not under the lock: it may let go of modules.
    drop(before);
    Ok(replaced?.code)
}

/// A unit that is about to be replaced: nobody else replaces or removes it meanwhile.
struct Changing<'a> {
    shared: &'a Shared,
    unit: UnitId,
    part: PartId,
    /// The unit is another one then, which the next thread may be about to replace.
    is_done: bool,
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            let mut state = self.shared.state();
            if let Some(unit) = state.units.get_mut(&self.unit) {
                unit.changing = None;
            }
            state.clear_uses(self.part);
            let failed = state.parts.remove(&self.part);
            drop(state);
            drop(failed);
        }
        self.shared.changed.notify_all();
    }
}

/// The new version, with a part that is compiled. The library's names do not mean it yet.
fn prepare(shared: &Arc<Shared>, unit: &Unit, image: Image) -> Result<(Draft, PartId)> {
    let symbols = image.symbols()?;
    let mut state = shared.wait_while_busy(shared.state(), &[unit])?;
    let old = state.unit(unit.id).ok_or_else(|| unit.removed())?;
    let (library, old_code) = (old.library, Arc::clone(&old.code));
    // What is bound to its code stays with that, but for what has not been compiled. What is hidden may be LLVM's own.
    let is_lazy = old.when == When::OnFirstCall;
    let exports = old.exports.iter().filter(|it| is_lazy || !it.is_hidden);
    let names = missing(exports.map(|export| &*export.name), &symbols);
    let users = match is_lazy {
        true => state.names_of(old.users.keys()),
        false => state.users(&[unit.id], &HashSet::new()),
    };
    if !names.is_empty() && !users.is_empty() {
        return Err(Error::Incomplete {
            unit: image.name.to_string(),
            names,
            users,
        });
    }
    let mut options = Options::new(When::Eager);
    options.replaceable = !old_code.redirects().is_empty();
    let mut draft = Draft::new(shared, &mut state, image.name.clone(), library, &options);
    draft.id = unit.id;
    draft.state.code.borrow_redirects(true);
    let part = state.next_part();
    let phase = Phase::Compiled(image.compiled);
    let (draft, (part, entry)) =
        draft.single(part, Source::Image, phase, symbols, Some(&old_code))?;
    let failed = state.check_names(unit.id, &draft.state)?;
    let removed: Vec<_> = failed.into_iter().filter_map(|id| state.take(id)).collect();
    state.parts.insert(part, entry);
    if let Some(unit) = state.units.get_mut(&unit.id) {
        unit.changing = Some(thread::current().id());
    }
    drop(state);
    drop(removed);
    Ok((draft, part))
}

/// Those of the names that are not among the symbols.
fn missing<'a>(names: impl Iterator<Item = &'a [u8]>, symbols: &[Symbol]) -> Vec<String> {
    let symbols: HashSet<&[u8]> = symbols.iter().map(|symbol| &*symbol.name).collect();
    let missing = names.filter(|name| !symbols.contains(name));
    let mut missing: Vec<_> = missing
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    missing.sort_unstable();
    missing
}
