//! What a module owns. Modules that import from it share it.

use std::ffi::c_void;
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use farcall_image::{Digest, Exports, Image, Manifest, Symbol, SymbolIndex, SymbolKind};

use crate::error::{Error, Result};
use crate::fork::{self, Locked};
use crate::held::{Kept, release_all};
use crate::indirect::IndirectFunctions;
use crate::lazy::LazyImports;
use crate::mapping::Published;
use crate::name::Name;
use crate::relocate::Value;
use crate::sys::host::{Library, UnwindTables};
use crate::sys::{noexcept, runtime};
use crate::thread_exit::Registration;
use crate::tls::{ThreadLocals, TlsIndex};
use crate::users::Users;
use crate::window;

/// A published image. Its last owner runs its destructors and returns its memory.
///
/// Fields are dropped in order: what runs or describes code first, the memory last.
pub(crate) struct Loaded {
    pub(crate) name: Name,
    pub(crate) digest: Digest,
    pub(crate) tables: Tables,
    pub(crate) exit_handlers: ExitHandlers,
    pub(crate) users: Mutex<Users>,
    pub(crate) providers: Vec<Kept>,
    pub(crate) attachments: Option<Box<Attachments>>,
    pub(crate) memory: Published,
}

/// What only some modules have. It is apart, because there may be very many of those that have none.
///
/// Fields are dropped in order.
#[derive(Debug, Default)]
pub(crate) struct Attachments {
    pub(crate) unwind: Option<UnwindTables>,
    pub(crate) tls: Option<ThreadLocals>,
    /// Its TLS descriptors point there.
    pub(crate) descriptor_pairs: Box<[TlsIndex]>,
    pub(crate) indirect: IndirectFunctions,
    pub(crate) thread_destructors: Option<Registration>,
    pub(crate) lazy_imports: LazyImports,
    /// Held open.
    pub(crate) libraries: Vec<Arc<Library>>,
}

impl Attachments {
    /// `None` when there is nothing.
    pub(crate) fn boxed(self) -> Option<Box<Self>> {
        let is_empty = self.unwind.is_none()
            && self.tls.is_none()
            && self.descriptor_pairs.is_empty()
            && self.indirect.is_empty()
            && self.thread_destructors.is_none()
            && self.lazy_imports.is_empty()
            && self.libraries.is_empty();
        (!is_empty).then(|| Box::new(self))
    }
}

/// An export that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) index: SymbolIndex,
    pub(crate) symbol: Symbol<'static>,
    pub(crate) value: Value,
}

impl Loaded {
    /// The export named `name`. The result does not outlive the module, whatever its lifetime says.
    pub(crate) fn export(&self, name: &[u8]) -> Option<Found> {
        let exports = self.tables.borrowed.get().exports;
        let index = exports.lookup(name)?;
        let symbol = exports.symbol(index)?;
        let value = self.value(&symbol)?;
        Some(Found {
            index,
            symbol,
            value,
        })
    }

    /// What an export is at run time; `None` for a thread-local one of a module that has none.
    pub(crate) fn value(&self, symbol: &Symbol<'_>) -> Option<Value> {
        if symbol.kind == SymbolKind::Tls {
            return Some(Value::ThreadLocal {
                module: self.attachments.as_ref()?.tls.as_ref()?.identity(),
                offset: symbol.value,
            });
        }
        if symbol.kind == SymbolKind::IndirectFunction {
            let indirect = &self.attachments.as_ref()?.indirect;
            return Some(Value::Address(indirect.get(symbol.value)?));
        }
        if symbol.is_absolute {
            return Some(Value::Address(symbol.value));
        }
        Some(Value::Address(
            self.memory.bias().wrapping_add(symbol.value),
        ))
    }

    pub(crate) fn export_names(&self) -> impl Iterator<Item = &[u8]> {
        self.tables.exports().iter().map(|(_, symbol)| symbol.name)
    }

    pub(crate) fn manifest(&self) -> &Manifest<'_> {
        self.tables.manifest()
    }

    pub(crate) fn users(&self) -> Locked<'_, Users> {
        fork::lock(&self.users)
    }

    pub(crate) fn begin_thread_destructor(&self) {
        self.users().thread_destructors += 1;
    }

    pub(crate) fn end_thread_destructor(&self) {
        let mut users = self.users();
        users.thread_destructors = users.thread_destructors.saturating_sub(1);
    }

    /// Has the destructors run at exit.
    pub(crate) fn register_exit_handlers(&self) -> Result<()> {
        // SAFETY: the entries are code of an image that someone vouches for; this module runs the handlers before it
        // is gone.
        let registered = unsafe { self.exit_handlers.register() };
        registered.map_err(|source| Error::System {
            image: self.name.as_str().to_owned(),
            call: "__cxa_atexit".to_owned(),
            source,
        })
    }

    /// Runs the destructors and lets go of the modules that this one imports from; gives those.
    pub(crate) fn end(&mut self) -> Vec<Kept> {
        self.exit_handlers.run();
        let mut providers = std::mem::take(&mut self.providers);
        if let Some(attachments) = &self.attachments {
            providers.append(&mut attachments.lazy_imports.take_providers());
        }
        for provider in &providers {
            provider.remove_importer(self.name.as_str());
        }
        providers
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("name", &self.name.as_str())
            .field("digest", &self.digest)
            .field("bias", &format_args!("{:#x}", self.memory.bias()))
            .finish_non_exhaustive()
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if self.memory.is_own() {
            self.memory.comes_again(window::note_gone(self.digest));
        }
        // A chain of modules may be longer than a stack is deep, so that it is not left to the
        // providers' own drop.
        release_all(self.end());
    }
}

/// The tables for looking up names and types: in the module's own first segment, or a copy.
#[derive(Debug)]
pub(crate) struct Tables {
    borrowed: MayDangle<Borrowed>,
    /// Decoded at the first question about a type.
    manifest: OnceLock<Box<Manifest<'static>>>,
    /// What the others borrow from, unless it is the mapping.
    copy: Option<NonNull<[u8]>>,
}

/// What borrows from the copy, or from the mapping, which [`Loaded`] drops after this.
#[derive(Debug, Clone, Copy)]
struct Borrowed {
    exports: Exports<'static>,
    manifest: &'static [u8],
}

/// A value with references to memory that may go before a function returns that it was given to: references
/// that are arguments promise that it stays, but not those in this.
struct MayDangle<T: Copy>(MaybeUninit<T>);

impl<T: Copy> MayDangle<T> {
    fn get(&self) -> T {
        // SAFETY: there is always a value.
        unsafe { self.0.assume_init() }
    }
}

impl<T: Copy> fmt::Debug for MayDangle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MayDangle")
    }
}

// SAFETY: the copy is this one's own, and nobody writes to it.
unsafe impl Send for Tables {}
// SAFETY: as above.
unsafe impl Sync for Tables {}

impl Tables {
    /// The tables of an image; `in_memory` are the bytes of [`Image::lookup_tables`] where it is loaded.
    pub(crate) fn new(image: &Image<'_>, in_memory: Option<&'static [u8]>) -> Self {
        let range = image.lookup_tables();
        let copy = in_memory.is_none().then(|| {
            let copy: Box<[u8]> = image.bytes()[range.clone()].into();
            NonNull::from(Box::leak(copy))
        });
        let bytes = match (in_memory, copy) {
            // SAFETY: the copy lives until this is dropped, and nobody writes to it.
            (_, Some(copy)) => unsafe { copy.as_ref() },
            (Some(bytes), None) => bytes,
            (None, None) => unreachable!("there is a copy of what is not in memory"),
        };
        let manifest = image.manifest_range();
        let borrowed = Borrowed {
            exports: (image.exports_in(bytes)).expect("they are as long as in the file"),
            manifest: &bytes[manifest.start - range.start..manifest.end - range.start],
        };
        Self {
            borrowed: MayDangle(MaybeUninit::new(borrowed)),
            manifest: OnceLock::new(),
            copy,
        }
    }

    pub(crate) fn exports(&self) -> Exports<'_> {
        self.borrowed.get().exports
    }

    fn manifest(&self) -> &Manifest<'_> {
        if let Some(manifest) = self.manifest.get() {
            return manifest;
        }
        let manifest = Manifest::decode(self.borrowed.get().manifest);
        let manifest = Box::new(manifest.expect("parsing the image has decoded it"));
        // A process that is forked off would wait for ever for a thread that is in the middle of it.
        let _forks = fork::hold_off();
        self.manifest.get_or_init(|| manifest)
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        if let Some(copy) = self.copy {
            // SAFETY: `new` leaked it, and what borrows from it is not used any more.
            drop(unsafe { Box::from_raw(copy.as_ptr()) });
        }
    }
}

/// What runs when an image is unloaded or the process exits: the handlers that its code registers
/// with `__cxa_atexit`, the last one first, and then its destructor table.
#[derive(Debug)]
pub(crate) struct ExitHandlers {
    /// The image's `__dso_handle`.
    dso_handle: u64,
    destructors: Option<Box<Destructors>>,
    /// Whether the C library may know handlers of the image.
    registered: AtomicBool,
}

/// The addresses of the destructors, in the table's order.
#[derive(Debug)]
struct Destructors(Vec<u64>);

impl ExitHandlers {
    /// `registers` says whether the image's code can register handlers.
    pub(crate) fn new(dso_handle: u64, destructors: Vec<u64>, registers: bool) -> Self {
        Self {
            dso_handle,
            destructors: (!destructors.is_empty()).then(|| Box::new(Destructors(destructors))),
            registered: AtomicBool::new(registers),
        }
    }

    /// Registers the destructor table. Called before any code of the image runs, so that the table
    /// comes after all handlers that the code registers.
    ///
    /// # Safety
    ///
    /// The table's entries are functions without arguments that may be called at exit, and once
    /// this is dropped the handlers have [run](Self::run).
    pub(crate) unsafe fn register(&self) -> Result<(), std::io::Error> {
        let Some(destructors) = &self.destructors else {
            return Ok(());
        };
        let argument = (&raw const **destructors).cast_mut().cast::<c_void>();
        // SAFETY: the box stays where it is until the handlers have run.
        let result = unsafe { runtime::__cxa_atexit(run_destructors, argument, self.dso_handle()) };
        if result != 0 {
            return Err(std::io::ErrorKind::OutOfMemory.into());
        }
        self.registered.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Runs and forgets all handlers of the image.
    pub(crate) fn run(&self) {
        if !self.registered.load(Ordering::Relaxed) {
            return;
        }
        // SAFETY: the image is still loaded, and so is what it imports.
        unsafe { runtime::__cxa_finalize(self.dso_handle()) };
    }

    fn dso_handle(&self) -> *mut c_void {
        let address = usize::try_from(self.dso_handle).expect("it is an address in this process");
        std::ptr::with_exposed_provenance_mut(address)
    }
}

unsafe extern "C" fn run_destructors(argument: *mut c_void) {
    // SAFETY: `ExitHandlers::register` registered it with this argument, and it is called once.
    let destructors = unsafe { &*argument.cast::<Destructors>() };
    for &destructor in destructors.0.iter().rev() {
        // SAFETY: loading has found the entry to be code; it takes no arguments.
        unsafe { noexcept::call(destructor, [0; 3]) };
    }
}
