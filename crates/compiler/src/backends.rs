//! The backends that a thread keeps.

use crate::llvm::{Backend, BackendOptions};

/// A process has few sets of options at a time; each backend holds about a megabyte.
const KEPT: usize = 4;

/// Backends by their options, the one used last at the end.
#[derive(Default)]
pub(crate) struct Backends(Vec<(BackendOptions, Backend)>);

impl Backends {
    /// Takes out the backend of these options; a new one where there is none, or LLVM's reason why there cannot be one.
    ///
    /// Who has found nothing wrong with it gives it back.
    pub(crate) fn take(&mut self, options: &BackendOptions) -> Result<Backend, String> {
        match self.0.iter().rposition(|kept| kept.0 == *options) {
            Some(index) => Ok(self.0.remove(index).1),
            None => Backend::new(options),
        }
    }

    /// Keeps a backend for the next module.
    pub(crate) fn give_back(&mut self, options: BackendOptions, backend: Backend) {
        if self.0.len() == KEPT {
            self.0.remove(0);
        }
        self.0.push((options, backend));
    }
}
