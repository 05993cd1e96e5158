//! Loading an image without running any of its code, for processes that are forked off to run it.

use std::ptr;

use crate::error::{Error, Result};
use crate::load::{self, Arguments, Published};
use crate::loaded::Loaded;
use crate::mapping::Pages;
use crate::resolve::resolve;
use crate::source::Source;
use crate::{Loader, Module, SealedFile, TrustedImage};

/// What has yet to run of a module before its functions are called: its constructors.
///
/// Dropping it leaves the module as it is; its destructors do not run either then.
#[derive(Debug)]
pub struct Start {
    /// Which module it is of: only compared.
    module: *const Loaded,
    constructors: Vec<u64>,
}

// SAFETY: the pointer is only compared.
unsafe impl Send for Start {}
// SAFETY: as above.
unsafe impl Sync for Start {}

impl Loader {
    /// Loads an image and runs none of its code. Before any function of it is called, [`Start::run`] has to run what it starts with, once, and
    /// before that what the modules start with that it imports from.
    ///
    /// Such a module can be inherited by processes that are forked off, each of which starts it for itself. The image may be in `file`, as
    /// [`Loader::load_sealed`] says.
    ///
    /// # Errors
    ///
    /// As [`Loader::load`], and [`Error::RunsCode`] when code of the image has to run for it to be loaded.
    pub fn load_dormant(
        &self,
        image: &TrustedImage<'_>,
        file: Option<&SealedFile>,
        scope: &[&Module],
    ) -> Result<(Module, Start)> {
        let source: Option<Source<'_>> = file.and_then(|file| file.source_of(image));
        let permission = self.admit(image)?;
        let resolve = || resolve(image, self, scope, &permission);
        let mut published: Published =
            load::publish_dormant(image, source, Pages::Shared, resolve)?;
        let constructors = published.take_constructors();
        let module = Module::new(published.finish_alone());
        let start = Start {
            module: ptr::from_ref(&**module.loaded()),
            constructors,
        };
        Ok((module, start))
    }
}

impl Start {
    /// Runs what the module starts with, on this thread, and has its destructors run when it is unloaded.
    ///
    /// # Errors
    ///
    /// [`Error::System`] when the C library cannot remember its destructors. Nothing has run then.
    ///
    /// # Panics
    ///
    /// If it is of another module.
    pub fn run(self, module: &Module) -> Result<()> {
        let loaded = module.loaded();
        assert!(
            ptr::eq(self.module, &raw const **loaded),
            "another module's"
        );
        loaded.register_exit_handlers()?;
        load::run_constructors(self.constructors, Arguments::none());
        Ok(())
    }
}

/// Refuses what cannot be loaded without running.
pub(crate) fn runs_code(image: &TrustedImage<'_>) -> Error {
    Error::RunsCode {
        image: image.name().to_owned(),
    }
}
