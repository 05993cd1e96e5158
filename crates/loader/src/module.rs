//! A loaded image.

use std::ffi::c_void;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use farcall_image::{Digest, Signature, SymbolKind, nearest};

use crate::error::listed;
use crate::held::{Handle, Held, Kept};
use crate::load::pointer;
use crate::loaded::Found;
use crate::relocate::Value;
use crate::{Error, Result, UnsafeFunctionPointer};

/// A loaded image: its code and data in this process.
///
/// Dropping it runs its destructors on this thread and returns its memory, or, while another module
/// imports from it or threads have thread-local destructors of it to run, leaves that to the last
/// of them.
///
/// Threads may share it, and use it while others load and unload. Dropping it costs what [`Module::unload`] does. The
/// first question about a type, [`Module::lookup`]'s too, decodes the manifest, which is O(manifest), allocates and
/// has forks wait; otherwise looking up takes no lock.
#[derive(Debug)]
pub struct Module {
    // Dropped before the module itself: an owner that is about to let go counts no more. While it unloads it
    // counts, so that of two who unload a circle at the same time none waits for the other.
    handle: Handle,
    loaded: Held,
}

/// A function of a module. It costs nothing over a pointer; that the module lives as long is checked by the compiler.
#[derive(Debug, Clone, Copy)]
pub struct Symbol<'module, F> {
    pub(crate) function: F,
    pub(crate) module: PhantomData<&'module Module>,
}

/// An export of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export<'module> {
    /// Its name.
    pub name: &'module [u8],
    /// What it names.
    pub kind: SymbolKind,
    /// Its address; for a thread-local variable its offset in the module's block.
    pub address: u64,
    /// Its size in bytes, 0 when unknown.
    pub size: u64,
    /// Its type in LLVM's syntax, if the manifest knows.
    pub value_type: Option<&'module str>,
}

impl Module {
    pub(crate) fn new(loaded: Held) -> Self {
        Self {
            handle: loaded.handle(),
            loaded,
        }
    }

    pub(crate) fn loaded(&self) -> &Held {
        &self.loaded
    }

    /// The name that messages have for it: the image's. No lock, no allocation.
    #[must_use]
    pub fn name(&self) -> &str {
        self.loaded.name.as_str()
    }

    /// The digest that its image carries. No lock, no allocation.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.loaded.digest
    }

    /// What was added to the image's addresses to have those in this process. No lock, no allocation.
    #[must_use]
    pub fn load_bias(&self) -> u64 {
        self.loaded.memory.bias()
    }

    /// Whether an import of it is bound to an export of `other`. O(modules that it imports from), no allocation.
    #[must_use]
    pub fn imports_from(&self, other: &Self) -> bool {
        let mut providers = self.loaded.providers.iter();
        providers.any(|provider| match provider {
            Kept::Module(held) => held.is(&other.loaded),
            Kept::Redirect(_) | Kept::Callback(_) => false,
        })
    }

    /// Its exports, in the order of its symbol table. O(1) each, no allocation but
    /// for the manifest's at the first.
    pub fn exports(&self) -> impl Iterator<Item = Export<'_>> {
        let exports = self.loaded.tables.exports().iter();
        exports.map(|(index, symbol)| Export {
            name: symbol.name,
            kind: symbol.kind,
            address: match self.loaded.value(&symbol) {
                Some(Value::Address(address)) => address,
                _ => symbol.value,
            },
            size: symbol.size,
            value_type: self.loaded.manifest().symbol_type(index),
        })
    }

    /// The function named `name`, as a pointer of type `F`.
    ///
    /// Its type is compared with the manifest's; the manifest of an image that was built from
    /// machine code knows no types, and then the caller alone vouches for it when calling. A
    /// function that may throw is an `unsafe extern "C-unwind" fn`.
    ///
    /// A hash look-up and a comparison of the type's text; no allocation where that is the same.
    ///
    /// # Errors
    ///
    /// [`Error::NoExport`] when there is none, and [`Error::WrongType`] when it is a variable or
    /// has another type.
    pub fn lookup<F: UnsafeFunctionPointer>(&self, name: &str) -> Result<Symbol<'_, F>> {
        let export = self.export(name)?;
        let value_type = self.loaded.manifest().symbol_type(export.index);
        let is_plain = matches!(
            export.symbol.kind,
            SymbolKind::Function | SymbolKind::Unknown
        );
        let address = match export.value {
            Value::Address(address) if is_plain && value_type.is_none_or(F::is_written) => {
                pointer(address)
            }
            _ => self.function(name, &F::signature())?,
        };
        // SAFETY: the address is that of a function. Calling it is unsafe, and that is where the
        // caller vouches for its type.
        let function = unsafe { F::at(address.addr()) };
        Ok(Symbol {
            function,
            module: PhantomData,
        })
    }

    /// The address of the function or variable named `name`. It is good as long as the module lives.
    ///
    /// A hash look-up: no lock and, when the name is there, no allocation.
    ///
    /// # Errors
    ///
    /// [`Error::NoExport`] when there is none, [`Error::WrongType`] when it is thread-local.
    pub fn address(&self, name: &str) -> Result<*mut c_void> {
        match self.export(name)?.value {
            Value::Address(address) => Ok(pointer(address)),
            Value::ThreadLocal { .. } => {
                let expected = "a function or variable that all threads share";
                Err(self.wrong_type(name, expected, "thread-local".to_owned()))
            }
        }
    }

    /// The type of the function named `name`, if there is one and the manifest knows its type. It is parsed at each
    /// call, which allocates.
    #[must_use]
    pub fn signature(&self, name: &str) -> Option<Signature> {
        let export = self.loaded.export(name.as_bytes())?;
        let value_type = self.loaded.manifest().symbol_type(export.index)?;
        value_type.parse().ok()
    }

    /// Runs the destructors on this thread and returns all memory.
    ///
    /// Of modules that import from each other ([`crate::Loader::load_all`]) the last one that has an
    /// owner goes with all the others.
    ///
    /// # Cost and threads
    ///
    /// The destructors, then the lock of windows for a moment and, for modules that it imports from, the lock of
    /// their users; these follow when nobody else keeps them, without recursion. A large image takes system calls.
    /// Any thread may call it, also from constructors, destructors and functions of other images. That no [`Symbol`]
    /// is left is checked by the compiler; that nobody runs code by an address that was copied is not.
    ///
    /// # Errors
    ///
    /// [`UnloadError`], with the module, while another module imports from it or threads have
    /// thread-local destructors of it to run.
    pub fn unload(self) -> Result<(), UnloadError> {
        let Self { handle, mut loaded } = self;
        loop {
            loaded = match loaded.unload() {
                Ok(()) => return Ok(()),
                Err(shared) => shared,
            };
            let (importers, thread_destructors) = loaded.users_of_all();
            if !importers.is_empty() || thread_destructors != 0 {
                return Err(UnloadError {
                    module: Self { handle, loaded },
                    importers: importers.into_iter().collect(),
                    thread_destructors,
                });
            }
            // A user has left the list and is about to let go.
            std::thread::yield_now();
        }
    }

    /// Runs the destructors on this thread, now, and not when it is unloaded or the process exits: for modules that keep
    /// each other by redirects, whose destructors need all of them.
    ///
    /// Another call finds nothing to run, but for what code registered in between.
    ///
    /// # Safety
    ///
    /// No code of the module is used from then on that relies on what the destructors destroyed.
    pub unsafe fn run_destructors(&self) {
        self.loaded.exit_handlers.run();
    }

    /// The address of the function named `name`, which has this type as far as the manifest knows.
    pub(crate) fn function(&self, name: &str, expected: &Signature) -> Result<*mut c_void> {
        let export = self.export(name)?;
        let value_type = self.loaded.manifest().symbol_type(export.index);
        let signature = value_type.map(str::parse::<Signature>);
        let agree = match (export.symbol.kind, &signature) {
            (SymbolKind::Data | SymbolKind::Tls, _) => false,
            (_, Some(Ok(signature))) => expected.is_call_compatible(signature),
            (_, Some(Err(_))) => false,
            (_, None) => true,
        };
        if !agree {
            let found = value_type.map_or("a variable".to_owned(), str::to_owned);
            return Err(self.wrong_type(name, &expected.to_string(), found));
        }
        self.address(name)
    }

    pub(crate) fn export(&self, name: &str) -> Result<Found> {
        let found = self.loaded.export(name.as_bytes());
        found.ok_or_else(|| Error::NoExport {
            module: self.name().to_owned(),
            name: name.to_owned(),
            nearest: nearest(name.as_bytes(), self.loaded.export_names()),
        })
    }

    fn wrong_type(&self, name: &str, expected: &str, found: String) -> Error {
        Error::WrongType {
            module: self.name().to_owned(),
            name: name.to_owned(),
            expected: expected.to_owned(),
            found,
        }
    }
}

impl<F> Deref for Symbol<'_, F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.function
    }
}

/// Why a module was not unloaded. It hands the module back.
pub struct UnloadError {
    /// The module.
    pub module: Module,
    /// The names of those that import from it, each once, sorted. Where modules import from each other,
    /// also the others that have an owner.
    pub importers: Vec<String>,
    /// How many thread-local objects of it have a destructor to run, each at the end of its thread.
    pub thread_destructors: usize,
}

impl fmt::Debug for UnloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for UnloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: in use", self.module.name())?;
        if !self.importers.is_empty() {
            write!(f, ": imported by {}", listed(&self.importers))?;
        }
        match self.thread_destructors {
            0 => Ok(()),
            1 => f.write_str(": 1 thread-local object has a destructor to run"),
            count => write!(f, ": {count} thread-local objects have a destructor to run"),
        }
    }
}

impl std::error::Error for UnloadError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_and_loaders_are_shared_by_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Module>();
        shared::<crate::Loader>();
        shared::<Symbol<'_, unsafe extern "C" fn()>>();
        shared::<crate::Error>();
    }
}
