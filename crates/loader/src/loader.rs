//! What imports mean, and loading with it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ffi::CString;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};

use farcall_image::{Image, Variant};

use crate::load::{self, Arguments};
use crate::mapping::Pages;
use crate::permission::Verifier;
use crate::resolve::resolve;
use crate::source::{FileBytes, ImageFile, Source};
use crate::sys::host::{self, Library};
use crate::{
    Definition, Error, FunctionPointer, ImportBinding, LazyScope, Module, Result, TrustedImage,
    fork, program, together,
};

/// What the names that images import mean, and the way to load them.
///
/// A name is looked for in this order, and the first place that has it wins:
///
/// 1. the definitions given;
/// 2. the images loaded together with the one that imports ([`Loader::load_all`]), in their order;
/// 3. the modules in scope, in the order given at the load;
/// 4. the symbols that the host and its libraries export (what `dlsym` finds), unless turned off
///    ([`Loader::host_exports`]);
/// 5. the host's own symbol table, if turned on ([`Loader::host_symbols`]);
/// 6. the system libraries named, in order. One is opened only when a name was found nowhere
///    before, and stays open as long as a module is bound to it.
///
/// `__tls_get_addr` and the functions that register a thread's destructors are always the loader's
/// own: they tell the modules apart.
///
/// A loader may be shared by threads, which load at the same time; loading changes nothing in it that
/// anyone sees. Changing it takes it alone (`&mut`), locks nothing and costs an entry in a table.
#[derive(Debug, Clone)]
pub struct Loader {
    pub(crate) definitions: HashMap<Vec<u8>, Definition>,
    pub(crate) host_exports: bool,
    pub(crate) host_symbols: bool,
    pub(crate) filter: Option<Filter>,
    pub(crate) verifier: Option<Verifier>,
    pub(crate) libraries: Vec<Arc<NamedLibrary>>,
    pub(crate) lazy: Option<LazyScope>,
}

/// A system library that is opened when it is needed.
#[derive(Debug)]
pub(crate) struct NamedLibrary {
    pub(crate) name: String,
    /// Open as long as a module is bound to it.
    opened: Mutex<Weak<Library>>,
}

impl NamedLibrary {
    /// The library, opened unless it is.
    ///
    /// # Errors
    ///
    /// The dynamic linker's message.
    pub(crate) fn open(&self) -> Result<Arc<Library>, String> {
        let opened = fork::lock(&self.opened).upgrade();
        if let Some(library) = opened {
            return Ok(library);
        }
        let name = host::c_string(self.name.as_bytes());
        let name = name.ok_or_else(|| "its name has a zero byte".to_owned())?;
        // Not under the lock: the host's dynamic linker has locks of its own, and runs code of others. A
        // library that two threads open is one, opened twice.
        let library = Arc::new(Library::open(&name)?);
        *fork::lock(&self.opened) = Arc::downgrade(&library);
        Ok(library)
    }
}

/// Which names images may import.
#[derive(Clone)]
pub(crate) struct Filter(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl Filter {
    pub(crate) fn new(allow: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(allow))
    }

    /// What is no text is not on anyone's list.
    pub(crate) fn allows(&self, name: &[u8]) -> bool {
        std::str::from_utf8(name).is_ok_and(&*self.0)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter")
    }
}

impl Default for Loader {
    fn default() -> Self {
        Self::new()
    }
}

impl Loader {
    /// A loader with no definitions that looks among the host's exports. It costs nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            definitions: HashMap::new(),
            host_exports: true,
            host_symbols: false,
            filter: None,
            verifier: None,
            libraries: Vec::new(),
            lazy: None,
        }
    }

    /// Says what `name` means. The last definition of a name wins; modules that are loaded already
    /// keep what they are bound to.
    ///
    /// Costs an entry in a table and its name's copy.
    pub fn define(&mut self, name: &str, definition: Definition) -> &mut Self {
        self.definitions.insert(name.into(), definition);
        self
    }

    /// Gives images a function of the host's.
    ///
    /// An import of another type is an error at load. A function that may unwind, because a C++
    /// exception or a panic passes through it, is an `extern "C-unwind" fn`.
    ///
    /// Costs what [`Loader::define`] does, and the type's description.
    pub fn define_function<F: FunctionPointer>(&mut self, name: &str, function: F) -> &mut Self {
        self.define(name, Definition::function(function))
    }

    /// Whether names are looked for among what the host and its libraries export. They are unless
    /// this says otherwise.
    ///
    /// An import that is found there costs a `dlsym`, under the dynamic linker's lock; one of the C library or the
    /// program that this process has asked for before, a look-up without a lock.
    ///
    /// A fully static program exports nothing. There these are the functions that compilers call on their
    /// own: `memcpy` and its like, `__cxa_atexit`, `_Unwind_Resume`.
    pub fn host_exports(&mut self, search: bool) -> &mut Self {
        self.host_exports = search;
        self
    }

    /// Whether names are looked for in the symbol table of the program that the process runs, after
    /// what it exports: all its functions and variables, also those that it does not export, so that
    /// it need not be linked with `-rdynamic`. They are not unless this says so.
    ///
    /// Names are those of the linker: mangled, where a language mangles them. Global symbols come
    /// before those that are local to a source file (`static` in C), and a local name that several
    /// files have is not found. That a name is a function or a variable, shared or thread-local, must
    /// agree with the import; types are not known. The linker leaves out of a program what nothing in
    /// it uses, and `strip` removes the table; then the error says so.
    ///
    /// The table is read from the program's file when an image first imports what was found nowhere
    /// before, by one thread while others that need it wait. It takes memory for each name, about
    /// 100 bytes, to the end of the process.
    pub fn host_symbols(&mut self, search: bool) -> &mut Self {
        self.host_symbols = search;
        self
    }

    /// Lets images import only names for which `allow` gives true, wherever these would be found. Any
    /// other import, a weak one too, is an error at load, before anything is searched. The last filter
    /// given holds.
    ///
    /// Names are given as images have them: mangled, and with `@` and the version where one is asked
    /// for. The functions that are always the loader's own are not asked for.
    ///
    /// It says what images *link* to. It is no sandbox: machine code can make system calls without
    /// importing anything.
    ///
    /// `allow` is called once for each import of each image, on the thread that loads; by several
    /// threads at a time if several load.
    pub fn allow_imports(
        &mut self,
        allow: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> &mut Self {
        self.filter = Some(Filter::new(allow));
        self
    }

    /// Adds a system library, named as for `dlopen`: `libm.so.6`. It is opened by the first load that
    /// needs it, which takes the dynamic linker's lock and runs the library's constructors. Adding it costs its name.
    /// That it does not open is an error of loads that find a name nowhere, which say why.
    ///
    /// A fully static program cannot open libraries: there it is never found, and errors say so.
    pub fn library(&mut self, name: &str) -> &mut Self {
        self.libraries.push(Arc::new(NamedLibrary {
            name: name.to_owned(),
            opened: Mutex::default(),
        }));
        self
    }

    /// Binds functions that images import at their first call, by `scope`, unless they are found among the
    /// definitions, the images loaded together and the modules in scope at the load. They are all bound at
    /// load unless this says otherwise. The last scope given holds.
    ///
    /// What [`LazyScope`] says changes: a function that is missing is an error when it is called, and its
    /// address is not the same in each image. Variables, weak imports, and what the manifest does not
    /// know to be a function are bound at load, as always.
    pub fn bind_lazily(&mut self, scope: &LazyScope) -> &mut Self {
        self.lazy = Some(scope.clone());
        self
    }

    /// Loads an image and runs its constructors on this thread.
    ///
    /// Modules of `scope` whose exports it imports stay loaded as long as it does.
    ///
    /// # Cost and threads
    ///
    /// Any thread may call it, several at a time, also from constructors, destructors and functions of images:
    /// no lock is held while they run. A signal handler may not, nor a fork handler.
    ///
    /// O(size): a copy, the relocations, the functions that unwind. A small image is loaded with no system call
    /// once there is a window; one of 128 KiB or more takes some. An import costs a search in each place until it is
    /// found; of the places the process's exports and the system libraries take the dynamic linker's lock. The
    /// lock of windows is held to find a place and to enter what unwinds; that of thread-local variables by images
    /// that have some.
    ///
    /// # Errors
    ///
    /// An [`Error`] that names the image and what is wrong, with all forbidden imports, all missing
    /// symbols or all mismatched types at once. Nothing is left behind.
    pub fn load(&self, image: &TrustedImage<'_>, scope: &[&Module]) -> Result<Module> {
        self.load_from(image, None, scope)
    }

    /// Loads an image whose bytes are in `source` too, if that is given.
    pub(crate) fn load_from(
        &self,
        image: &TrustedImage<'_>,
        source: Option<Source<'_>>,
        scope: &[&Module],
    ) -> Result<Module> {
        let permission = self.admit(image)?;
        let resolve = || resolve(image, self, scope, &permission);
        let published = load::publish(image, source, Pages::Shared, resolve)?;
        let module = published.start(Arguments::none())?;
        tracing::debug!(module = module.name(), "loaded");
        Ok(module)
    }

    /// Loads images together: each may import what any of them exports, also in a circle. Either all
    /// are loaded or none; the modules are in the order of the images.
    ///
    /// An image's constructors run after those of the images that it imports from; in a circle, and
    /// where nothing else decides, the order given counts.
    ///
    /// A module keeps those that it imports from. Modules of a circle keep each other: all of them
    /// are unloaded when none has an owner and nothing else imports from any, their destructors in
    /// the reverse order of their constructors.
    ///
    /// # Cost and threads
    ///
    /// As [`Loader::load`]. The time is that of loading one after the other in the right order, and of a table of
    /// what all of them export, so that finding an import among them does not depend on how many they are. Chains
    /// and circles take no stack.
    ///
    /// # Errors
    ///
    /// As [`Loader::load`]; one error has what is wrong with the imports of all the images, and a
    /// symbol that many of them miss once. Some circles are refused: through an image that has
    /// indirect functions, and through a thread-local variable that its image uses in the
    /// initial-exec model.
    pub fn load_all(&self, images: &[&TrustedImage<'_>], scope: &[&Module]) -> Result<Vec<Module>> {
        let modules = together::load_all(self, images, scope)?;
        tracing::debug!(count = modules.len(), "loaded together");
        Ok(modules)
    }

    /// Loads images together as [`Loader::load_all`] does, with imports bound one by one: for who has scopes of
    /// their own, such as a JIT session.
    ///
    /// `bind` is asked for each import, by the position of the image that imports it and the name, before any other
    /// place is searched. When it says nothing the import is looked for among this loader's definitions and after
    /// them; neither fellows nor a scope are searched by name. `publish` is given the modules, in the order of
    /// the images, when all is done but for running their constructors, which may want to know them.
    ///
    /// # Cost and threads
    ///
    /// As [`Loader::load_all`], without its table. `bind` may be called more than once for an import.
    ///
    /// # Errors
    ///
    /// As [`Loader::load_all`]. `publish` has been called only if the system then could not register destructors.
    pub fn load_bound(
        &self,
        images: &[&TrustedImage<'_>],
        bind: &dyn Fn(usize, &[u8]) -> Option<ImportBinding>,
        publish: impl FnOnce(Vec<Module>),
    ) -> Result<()> {
        together::load_bound(self, images, bind, publish)
    }

    /// Loads an image from a file, read into private memory first: what happens to the file later is nothing to the
    /// module. Of a bundle it reads the table and the variant for this CPU ([`crate::cpu::choose`]).
    ///
    /// Costs the reading and [`Image::parse`], and is otherwise as [`Loader::load`]. The bytes that were read are
    /// freed at the end.
    ///
    /// # Safety
    ///
    /// As [`TrustedImage::assume_trusted`], for what the file holds.
    ///
    /// # Errors
    ///
    /// As [`Loader::load`], and when the file cannot be read, is not an image, or is a bundle of which this CPU can run
    /// nothing.
    pub unsafe fn load_file(&self, path: impl AsRef<Path>, scope: &[&Module]) -> Result<Module> {
        let path = path.as_ref();
        let (bytes, variant) = ImageFile::open(path)?.read()?;
        let image = parsed(&bytes, variant.as_ref(), path)?;
        // SAFETY: the caller's contract.
        let image = unsafe { TrustedImage::assume_trusted(image) };
        self.load(&image.named(path.display().to_string()), scope)
    }

    /// Loads an image from a file that stays as it is: constants and code of a large one are mapped from
    /// it, so that all processes that load it share one copy, and what nobody uses is never read. Of a bundle only the
    /// table and the variant for this CPU are.
    ///
    /// Costs no copy of a large file, unlike [`Loader::load_file`], and counts on it as `dlopen` does. A file of less
    /// than 128 KiB is read. Otherwise as [`Loader::load`]. The last large file that was loaded and unloaded twice in a
    /// row stays mapped, for the next time; its data takes memory till then, and its file system is in use. With a
    /// verifier ([`Loader::verify_images`]) it is [`Loader::load_file`].
    ///
    /// # Safety
    ///
    /// As [`TrustedImage::assume_trusted`], for what the file holds. And nobody writes to the file or
    /// truncates it while the module is loaded, which would change code that runs: a new version is a
    /// new file, renamed over the old one.
    ///
    /// # Errors
    ///
    /// As [`Loader::load_file`].
    pub unsafe fn map_file(&self, path: impl AsRef<Path>, scope: &[&Module]) -> Result<Module> {
        let path = path.as_ref();
        if self.verifier.is_some() {
            // SAFETY: the caller's contract.
            return unsafe { self.load_file(path, scope) };
        }
        let (file, variant) = FileBytes::open(path)?;
        // SAFETY: the caller's contract.
        let image = parsed(unsafe { file.bytes() }, variant.as_ref(), path)?;
        // SAFETY: the caller's contract.
        let image = unsafe { TrustedImage::assume_trusted(image) };
        self.load_from(
            &image.named(path.display().to_string()),
            file.source(),
            scope,
        )
    }

    /// Runs an image's `main` as if the process had been started for it, and ends the process with
    /// its result. Returns only errors.
    ///
    /// `args` are the program's, with its name first. As in a program linked natively, constructors
    /// and `main` get the arguments and the environment, exit handlers and destructors run at
    /// `exit` in the reverse order of their registration, an exception that nobody catches
    /// terminates, and `SIGPIPE`, `SIGSEGV` and `SIGBUS`, which Rust's runtime changes, have their
    /// default action.
    ///
    /// # Safety
    ///
    /// Call it on the main thread. Other threads of the process must bear that it exits and that its
    /// signal actions change. Locks that the caller holds are held for good.
    ///
    /// # Errors
    ///
    /// As [`Loader::load`], and when the image exports no function `main`. No code of the image has
    /// run then.
    pub unsafe fn run_program(
        &self,
        image: &TrustedImage<'_>,
        scope: &[&Module],
        args: Vec<CString>,
    ) -> Result<Infallible> {
        let permission = self.admit(image)?;
        let resolve = || resolve(image, self, scope, &permission);
        let published = load::publish(image, None, Pages::Own, resolve)?;
        // SAFETY: the caller's contract.
        unsafe { program::run(published, args) }
    }
}

/// The image of a file, of a bundle that of this variant.
fn parsed<'data>(
    bytes: &'data [u8],
    variant: Option<&Variant>,
    path: &Path,
) -> Result<Image<'data>> {
    let image = variant.map_or_else(|| Image::parse(bytes), |variant| variant.image(bytes));
    image.map_err(|source| Error::Image {
        image: path.display().to_string(),
        source,
    })
}
