//! Who keeps a module that its owner has dropped.

use std::collections::BTreeMap;

/// Who keeps a module that its owner has dropped.
#[derive(Debug, Default)]
pub(crate) struct Users {
    /// How many modules of each name import from it. A module that many import from finds each in
    /// logarithmic time when it goes, and one that nobody imports from has allocated nothing.
    importers: BTreeMap<String, usize>,
    /// The number of thread-local objects whose destructor has not run.
    pub(crate) thread_destructors: usize,
}

impl Users {
    /// Notes one more importer of this name.
    pub(crate) fn add_importer(&mut self, name: &str) {
        match self.importers.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(self.importers.insert(name.to_owned(), 1)),
        }
    }

    /// Forgets one importer of this name.
    pub(crate) fn remove_importer(&mut self, name: &str) {
        if let Some(count) = self.importers.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                self.importers.remove(name);
            }
        }
    }

    /// The names of the importers, each once.
    pub(crate) fn importers(&self) -> impl Iterator<Item = &str> {
        self.importers.keys().map(String::as_str)
    }
}
