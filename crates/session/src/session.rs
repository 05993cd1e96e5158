//! The session: what its libraries share.

use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};

use farcall_compiler::inkwell::module::Module;
use farcall_compiler::{Compiler, OptLevel};
use farcall_loader::{Definition, FunctionPointer, Loader, UnsafeFunctionPointer};
use farcall_store::{Store, build};

use crate::build::Tier;
use crate::code::{Code, lock};
use crate::compile_process::CompileProcess;
use crate::state::{Busy, State};
use crate::tier_up::TierUp;
use crate::{Error, Function, Library, Options, Result, Unit};

/// Compiles IR and runs it in this process: eagerly, on lookup or on first call.
///
/// It has [libraries](Library), which are scopes of names. The methods of the session itself are those of the one named
/// `main`.
///
/// Clones are the same session, and threads share it: all methods may be called from several threads at a time, also from
/// code of the session. Nothing of the session is locked while something is compiled or its code runs.
/// It lasts until the last session, library, unit and function that was looked up of it is dropped; then the
/// destructors of all units run, on that thread.
#[derive(Debug, Clone)]
pub struct Session {
    main: Library,
}

/// Options of a [`Session`].
pub struct Builder {
    compiler: farcall_compiler::Builder,
    loader: Loader,
    store: Store,
    runtime_archives: Vec<(String, Vec<u8>)>,
    compile_process: Option<PathBuf>,
    on_error: Handler,
}

/// Told of an error at a first call; gives what to bind the function to.
pub(crate) type Handler = Box<dyn Fn(&Error) -> Definition + Send + Sync>;

/// What libraries, units and functions of a session share.
pub(crate) struct Shared {
    options: farcall_compiler::Builder,
    first_compiler: OnceLock<Result<Compiler>>,
    compiler: OnceLock<Result<Compiler>>,
    pub(crate) tier_up: TierUp,
    pub(crate) loader: Loader,
    pub(crate) store: Store,
    build: OnceLock<Option<Vec<u8>>>,
    pub(crate) runtime_archives: Vec<(String, Vec<u8>)>,
    compile_process: Option<PathBuf>,
    pub(crate) on_error: Handler,
    state: Mutex<State>,
    /// Told when a part's phase changes.
    pub(crate) changed: Condvar,
    /// The thread that loads. One at a time, so that what is loaded together is decided once; the others compile meanwhile,
    /// and constructors run after it.
    pub(crate) loading: Mutex<Option<ThreadId>>,
    pub(crate) loaded: Condvar,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            compiler: Compiler::builder(),
            loader: Loader::new(),
            store: Store::off(),
            runtime_archives: Vec::new(),
            compile_process: None,
            on_error: Box::new(|error| give_up(error)),
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("compiler", &self.compiler)
            .field("loader", &self.loader)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Sets the compiler's options. What they have wrong is said when something is compiled. Debug information is left out.
    #[must_use]
    pub fn compiler(mut self, options: farcall_compiler::Builder) -> Self {
        self.compiler = options;
        self
    }

    /// Sets where names are looked for that no library defines: definitions, the host, its libraries, and what may be
    /// imported at all.
    #[must_use]
    pub fn loader(mut self, loader: Loader) -> Self {
        self.loader = loader;
        self
    }

    /// Sets where images are kept, so that what was compiled once, by any process with the same options, is not compiled again.
    #[must_use]
    pub fn store(mut self, store: Store) -> Self {
        self.store = store;
        self
    }

    /// Adds an archive of which each link takes what its code needs and nothing else defines: a compiler's runtime, such as
    /// `libgcc.a`. Each image has its own copy of that.
    #[must_use]
    pub fn runtime_archive(mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.runtime_archives.push((name.into(), bytes.into()));
        self
    }

    /// Has IR compiled in processes of their own, by the program `farcall-compile`, which is at this path: what kills LLVM is an error
    /// then, that names the module. Each compilation costs the start of a process, 20 ms. IR that is compiled on lookup or on first call is
    /// still read, and divided, in this process.
    #[must_use]
    pub fn compile_process(mut self, program: impl Into<PathBuf>) -> Self {
        self.compile_process = Some(program.into());
        self
    }

    /// Sets who is told when a function cannot be compiled or loaded at its first call.
    ///
    /// It is called on the thread that calls the function, in the middle of the call, by several threads at a time if several
    /// call, and gives what the function is bound to for good; or it does not return: it may panic, if the code that calls may be
    /// unwound, and the next call tries again. Unset, the error is printed in full and the process aborts.
    #[must_use]
    pub fn on_first_call_error(
        mut self,
        handler: impl Fn(&Error) -> Definition + Send + Sync + 'static,
    ) -> Self {
        self.on_error = Box::new(handler);
        self
    }
}

/// Ends the process because a function cannot be called.
pub(crate) fn give_up(error: &Error) -> ! {
    use std::io::Write as _;
    // Where there is no standard error nobody can be told.
    let _ = writeln!(std::io::stderr(), "farcall: {error}");
    std::process::abort()
}

impl Session {
    pub(crate) fn of(shared: Shared) -> Self {
        let shared = Arc::new(Owner(Arc::new(shared)));
        let id = shared.state().library_named("main");
        Self {
            main: Library { shared, id },
        }
    }

    /// Options, each at its default.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The library named `main`.
    #[must_use]
    pub fn main(&self) -> &Library {
        &self.main
    }

    /// The library of that name, made if there is none. Its link order is then itself alone, and what the session's loader
    /// finds: [`Library::set_link_order`].
    #[must_use]
    pub fn library(&self, name: &str) -> Library {
        let shared = &self.main.shared;
        let id = shared.state().library_named(name);
        Library {
            shared: Arc::clone(shared),
            id,
        }
    }

    /// As [`Library::add`], in `main`.
    ///
    /// # Errors
    /// As there.
    pub fn add(&self, name: &str, ir: &[u8], options: impl Into<Options>) -> Result<Unit> {
        self.main.add(name, ir, options)
    }

    /// As [`Library::add_module`], in `main`.
    ///
    /// # Errors
    /// As there.
    pub fn add_module(
        &self,
        name: &str,
        module: &Module<'_>,
        options: impl Into<Options>,
    ) -> Result<Unit> {
        self.main.add_module(name, module, options)
    }

    /// As [`Library::add_all`], in `main`.
    ///
    /// # Errors
    /// As there.
    pub fn add_all(&self, inputs: &[(&str, &[u8])], options: impl Into<Options>) -> Result<Unit> {
        self.main.add_all(inputs, options)
    }

    /// As [`Library::add_object`], in `main`.
    ///
    /// # Errors
    /// As there.
    pub fn add_object(
        &self,
        name: &str,
        object: &[u8],
        options: impl Into<Options>,
    ) -> Result<Unit> {
        self.main.add_object(name, object, options)
    }

    /// As [`Library::add_archive`], in `main`.
    ///
    /// # Errors
    /// As there.
    pub fn add_archive(
        &self,
        name: &str,
        archive: &[u8],
        wanted: &[&str],
        options: impl Into<Options>,
    ) -> Result<Unit> {
        self.main.add_archive(name, archive, wanted, options)
    }

    /// As [`Library::add_image`], in `main`.
    ///
    /// # Errors
    /// As there.
    pub fn add_image(&self, name: &str, image: &[u8], options: impl Into<Options>) -> Result<Unit> {
        self.main.add_image(name, image, options)
    }

    /// As [`Library::define`], in `main`.
    ///
    /// # Errors
    /// As there.
    pub fn define(&self, name: &str, definition: Definition) -> Result<()> {
        self.main.define(name, definition)
    }

    /// As [`Library::define_function`], in `main`.
    ///
    /// # Errors
    /// As there.
    pub fn define_function<F: FunctionPointer>(&self, name: &str, function: F) -> Result<()> {
        self.main.define_function(name, function)
    }

    /// As [`Library::lookup`], in `main`.
    ///
    /// # Errors
    /// As there.
    pub fn lookup<F: UnsafeFunctionPointer>(&self, name: &str) -> Result<Function<F>> {
        self.main.lookup(name)
    }
}

impl Shared {
    pub(crate) fn new(builder: Builder) -> Self {
        Self {
            options: builder.compiler,
            first_compiler: OnceLock::new(),
            compiler: OnceLock::new(),
            tier_up: TierUp::default(),
            loader: builder.loader,
            store: builder.store,
            build: OnceLock::new(),
            runtime_archives: builder.runtime_archives,
            compile_process: builder.compile_process,
            on_error: builder.on_error,
            state: Mutex::default(),
            changed: Condvar::new(),
            loading: Mutex::default(),
            loaded: Condvar::new(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Waits while other threads compile or start parts of units, replace or remove them.
    ///
    /// # Errors
    /// [`Error::Busy`] when it is this thread that does, or one that waits for it, [`Error::Removed`] when there is no such unit.
    pub(crate) fn wait_while_busy<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        units: &[&Unit],
    ) -> Result<MutexGuard<'a, State>> {
        'again: loop {
            for unit in units {
                let known = state.unit(unit.id).ok_or_else(|| unit.removed())?;
                match state.busy(known) {
                    None => continue,
                    Some(Busy::ForMe) => {
                        let unit = unit.name().to_owned();
                        return Err(Error::Busy { unit });
                    }
                    Some(busy) => state = self.wait_for(state, busy),
                }
                // Meanwhile another one may have become so.
                continue 'again;
            }
            return Ok(state);
        }
    }

    /// Waits for who has a unit as it is, until something has changed.
    pub(crate) fn wait_for<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        busy: Busy,
    ) -> MutexGuard<'a, State> {
        let me = thread::current().id();
        if let Busy::With(thread) = busy {
            state.waiting.insert(me, thread);
        }
        let woken = self.changed.wait(state);
        let mut state = woken.unwrap_or_else(PoisonError::into_inner);
        state.waiting.remove(&me);
        state
    }

    /// The compiler's options.
    pub(crate) fn compiler_options(&self, tier: Tier) -> farcall_compiler::Builder {
        // Links would drop debug information.
        let options = self.options.clone().share_scope(true).strip_debug(true);
        match tier {
            Tier::First => options.opt_level(OptLevel::O0),
            Tier::Last => options,
        }
    }

    pub(crate) fn compiler(&self, tier: Tier) -> Result<&Compiler> {
        let compiler = match tier {
            Tier::First => &self.first_compiler,
            Tier::Last => &self.compiler,
        };
        let compiler = compiler.get_or_init(|| Ok(self.compiler_options(tier).build()?));
        compiler.as_ref().map_err(Clone::clone)
    }

    /// What compiles in a process of its own, if that is wanted.
    pub(crate) fn compile_process(&self, tier: Tier) -> Option<CompileProcess> {
        let program = self.compile_process.as_ref()?;
        let arguments = self.compiler_options(tier).arguments();
        Some(CompileProcess::new(program, arguments))
    }

    /// Which build makes the images, this process's or also that of the one that compiles: of those that are kept, none is another's.
    pub(crate) fn build_of_process(&self) -> Option<&[u8]> {
        let build = self.build.get_or_init(|| {
            let compiler = self.compile_process(Tier::Last);
            let compiler = compiler.map_or_else(|| Ok(Vec::new()), |process| process.build());
            let build = compiler.and_then(|compiler| Ok([build::of_process()?, compiler].concat()));
            let warn = |error: &_| tracing::warn!(%error, "the store is not used");
            build.inspect_err(warn).ok()
        });
        build.as_deref()
    }
}

/// What libraries, units and functions have of their session. With the last one it ends.
#[derive(Debug)]
pub(crate) struct Owner(Arc<Shared>);

impl Deref for Owner {
    type Target = Arc<Shared>;

    fn deref(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.tier_up.end();
        let units = |state: &State| {
            state
                .units
                .values()
                .map(|unit| Arc::clone(&unit.code))
                .collect()
        };
        let codes: Vec<Arc<Code>> = units(&self.state());
        // Everything is there still: destructors may call what was never called before.
        Code::run_destructors(&codes);
        let state = std::mem::take(&mut *self.state());
        drop(state);
        for code in codes {
            code.release();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}
