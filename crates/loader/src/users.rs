//! Who keeps a module that its owner has dropped.

use std::collections::HashMap;

/// Who keeps a module that its owner has dropped.
#[derive(Debug, Default)]
pub(crate) struct Users {
    /// How many modules of each name import from it. A module that many import from finds each at once
    /// when it goes; one that nobody imports from has no map, because there may be very many of those.
    #[expect(
        clippy::box_collection,
        reason = "a pointer is a sixth of a map, and mostly there is none"
    )]
    importers: Option<Box<HashMap<String, usize>>>,
    /// The number of thread-local objects whose destructor has not run.
    pub(crate) thread_destructors: usize,
}

impl Users {
    /// Notes one more importer of this name.
    pub(crate) fn add_importer(&mut self, name: &str) {
        let importers = self.importers.get_or_insert_default();
        match importers.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(importers.insert(name.to_owned(), 1)),
        }
    }

    /// Forgets one importer of this name.
    pub(crate) fn remove_importer(&mut self, name: &str) {
        let Some(importers) = &mut self.importers else {
            return;
        };
        if let Some(count) = importers.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                importers.remove(name);
            }
        }
    }

    /// The names of the importers, each once, in order.
    pub(crate) fn importers(&self) -> Vec<String> {
        let importers = self.importers.iter();
        let names = importers.flat_map(|importers| importers.keys().cloned());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }
}
