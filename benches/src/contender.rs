//! What loads code.

use std::ffi::CStr;

/// A function of a subject that says whether it works.
pub type Entry = unsafe extern "C" fn() -> i32;

/// A way to get code into this process: one implementation for each, and for each place that the code may come from.
pub trait Contender {
    /// What a load gives.
    type Module;

    /// Makes ready for so many more live modules. Not timed.
    fn prepare(&mut self, count: usize) {
        let _ = count;
    }

    /// Loads once more what it was made for.
    ///
    /// # Errors
    ///
    /// Its own message.
    fn load(&mut self) -> Result<Self::Module, String>;

    /// Looks up a function that is there.
    fn entry(&self, module: &Self::Module, name: &CStr) -> Entry;

    /// Gives back all that the module took.
    fn unload(&mut self, module: Self::Module);
}
