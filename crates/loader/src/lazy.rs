//! Functions that are bound at their first call.
//!
//! Such an import is bound to a stub at load. Who calls it first has it looked up, in a scope that
//! the host may still add to, and from then on the stub leads to what was found.

use std::fmt;
use std::io::{self, Write};
use std::panic::RefUnwindSafe;
use std::sync::{Arc, Mutex};

use farcall_image::{Binding, Manifest, Referrer, Symbol, SymbolIndex, SymbolKind};

use crate::definition::Provider;
use crate::error::{Error, TypeMismatch};
use crate::fork;
use crate::held::{Held, Kept};
use crate::kind::Kind;
use crate::relocate::Value;
use crate::resolve::{LateResolution, resolve_late};
use crate::stubs::Stub;
use crate::sys::host::Library;
use crate::{Definition, FunctionPointer, Loader, Module, Permission};

/// Where functions are looked for at their first call: see [`Loader::bind_lazily`].
///
/// That is done by the rules of the loader that the scope was made with, with the modules in scope that were
/// given since: definitions, modules, the host's exports, and so on. Definitions and modules given later are
/// found by first calls from then on; what is bound stays.
///
/// What differs from binding at load:
///
/// - An error comes when the function is called. A call has no way to return it, so it goes to the handler
///   ([`LazyScope::with_handler`]).
/// - An image that imports a function lazily has an address of its own for it. Pointers to it that two
///   images took are not equal.
/// - Whether a library must be opened is seen at a first call too, which runs its constructors then.
/// - A first call takes the time of a search, locks, and a few kilobytes of stack beyond what saves the
///   processor's registers. It must not happen in a signal handler.
/// - Each call costs one more jump, and each import 32 bytes and a copy of its name and type.
///
/// In turn what is never called is never looked for, and need not exist.
///
/// Clones are the same scope. Threads may share it. It stays as long as a loader or an image loaded by it,
/// and keeps the modules that it was given. A module found at a first call is kept by the image that
/// calls it, as others that it imports from are; two that come to import from each other in this way are never
/// unloaded.
#[derive(Debug, Clone)]
pub struct LazyScope {
    shared: Arc<Shared>,
}

struct Shared {
    rules: Mutex<Rules>,
    handler: Handler,
    /// [`make_stub`]. Programs without a scope do not refer to it, and are smaller for that.
    make_stub: fn(Arc<LazyImage>, LazyImport) -> io::Result<Stub>,
}

/// What is searched. Whoever searches has a copy, because nothing may be locked meanwhile.
#[derive(Debug, Clone)]
struct Rules {
    loader: Arc<Loader>,
    modules: Arc<Vec<Arc<Provider>>>,
}

// Modules are unwind-safe, and have this. A handler that panics leaves nothing of ours half done.
impl RefUnwindSafe for Shared {}

type Handler = Box<dyn Fn(&Error) -> Definition + Send + Sync>;

impl LazyScope {
    /// A scope with the rules of `loader`. A function that is not found, or found as something else, ends
    /// the process: the error is printed in full, then it aborts.
    #[must_use]
    pub fn new(loader: Loader) -> Self {
        Self::with_handler(loader, |error| give_up(error))
    }

    /// As [`LazyScope::new`], with a handler that is told what a first call failed with.
    ///
    /// It is called on the thread that calls the function, in the middle of that call; by several threads at
    /// a time if several call. It gives a definition to bind the function to for good, of the
    /// type that the import has, else the process ends as with [`LazyScope::new`]. Or it does not
    /// return: it may end the process, or panic, if the code that calls may be unwound; then the next call
    /// searches again.
    #[must_use]
    pub fn with_handler(
        loader: Loader,
        handler: impl Fn(&Error) -> Definition + Send + Sync + 'static,
    ) -> Self {
        let rules = Rules {
            loader: Arc::new(loader),
            modules: Arc::default(),
        };
        let shared = Shared {
            rules: Mutex::new(rules),
            handler: Box::new(handler),
            make_stub,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Says what `name` means at first calls from now on, as [`Loader::define`].
    pub fn define(&self, name: &str, definition: Definition) -> &Self {
        let mut rules = fork::lock(&self.shared.rules);
        let definitions = &mut Arc::make_mut(&mut rules.loader).definitions;
        let old = definitions.insert(name.into(), definition);
        drop(rules);
        // Letting go of it may take locks.
        drop(old);
        self
    }

    /// Gives images a function of the host's, as [`Loader::define_function`].
    pub fn define_function<F: FunctionPointer>(&self, name: &str, function: F) -> &Self {
        self.define(name, Definition::function(function))
    }

    /// Adds a module, after those added before, and keeps it.
    pub fn add(&self, module: &Module) -> &Self {
        let provider = Provider::new(
            Kept::Module(module.loaded().clone()),
            "a lazy scope".to_owned(),
            module.name().to_owned(),
        );
        let mut rules = fork::lock(&self.shared.rules);
        Arc::make_mut(&mut rules.modules).push(Arc::new(provider));
        drop(rules);
        self
    }

    /// Takes a module out, so that it is found no more. What is bound to it stays.
    pub fn remove(&self, module: &Module) -> &Self {
        let is_it = |provider: &Provider| matches!(&provider.kept, Kept::Module(kept) if kept.is(module.loaded()));
        let mut rules = fork::lock(&self.shared.rules);
        let modules = Arc::make_mut(&mut rules.modules).iter().cloned();
        let (removed, rest): (Vec<_>, _) = modules.partition(|it| is_it(it));
        let old = std::mem::replace(&mut rules.modules, Arc::new(rest));
        drop(rules);
        drop((removed, old));
        self
    }

    fn rules(&self) -> Rules {
        fork::lock(&self.shared.rules).clone()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// What an image has of its imports that are bound at their first call. Most images have none.
#[derive(Debug, Default)]
pub(crate) struct LazyImports {
    image: Option<Arc<LazyImage>>,
    /// Those that have no stub yet, by index in the symbol table.
    waiting: Vec<(SymbolIndex, LazyImport)>,
    stubs: Vec<Stub>,
}

/// One of them: what the image's manifest says of it.
#[derive(Debug)]
pub(crate) struct LazyImport {
    pub(crate) name: Box<[u8]>,
    value_type: Option<Box<str>>,
    /// The object and the place.
    referrer: Option<(Box<str>, Box<str>)>,
}

/// An image that has such imports.
#[derive(Debug)]
struct LazyImage {
    name: String,
    scope: LazyScope,
    permission: Permission,
    bound: Mutex<Bound>,
}

/// What must stay for the functions that have been called.
#[derive(Debug, Default)]
struct Bound {
    providers: Vec<Kept>,
    libraries: Vec<Arc<Library>>,
}

impl LazyImports {
    /// The imports of the image `name` that are in `waiting`.
    pub(crate) fn new(
        name: &str,
        scope: Option<&LazyScope>,
        waiting: Vec<(SymbolIndex, LazyImport)>,
        permission: &Permission,
    ) -> Self {
        let scope = scope.filter(|_| !waiting.is_empty());
        let image = scope.map(|scope| {
            Arc::new(LazyImage {
                name: name.to_owned(),
                scope: scope.clone(),
                permission: permission.clone(),
                bound: Mutex::default(),
            })
        });
        Self {
            image,
            waiting,
            stubs: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.image.is_none()
    }

    /// Makes a stub for each; `set` is told the import's index and the stub's address.
    pub(crate) fn make_stubs(&mut self, mut set: impl FnMut(SymbolIndex, u64)) -> io::Result<()> {
        let Some(image) = &self.image else {
            return Ok(());
        };
        self.stubs.reserve_exact(self.waiting.len());
        for (index, import) in self.waiting.drain(..) {
            let stub = (image.scope.shared.make_stub)(Arc::clone(image), import)?;
            set(index, stub.address());
            self.stubs.push(stub);
        }
        Ok(())
    }

    /// What the image keeps for the functions that have been called. None is called any more.
    pub(crate) fn take_providers(&self) -> Vec<Kept> {
        let image = self.image.as_ref();
        image.map_or_else(Vec::new, |image| {
            std::mem::take(&mut fork::lock(&image.bound).providers)
        })
    }
}

/// The stub of an import of an image.
fn make_stub(image: Arc<LazyImage>, import: LazyImport) -> io::Result<Stub> {
    Stub::on_first_call(Box::new(move || image.bind(&import)))
}

impl Drop for LazyImage {
    /// A load that failed after code of the image had run: nobody has taken what that code was bound to.
    fn drop(&mut self) {
        let bound = std::mem::take(&mut *fork::lock(&self.bound));
        for provider in &bound.providers {
            provider.remove_importer(&self.name);
        }
    }
}

impl LazyImport {
    /// The import at `index`, if it may wait for its first call: a function that must be there.
    pub(crate) fn new(
        manifest: &Manifest<'_>,
        index: SymbolIndex,
        symbol: &Symbol<'_>,
    ) -> Option<Self> {
        let value_type = manifest.symbol_type(index);
        // A variable's type does not end so.
        let is_function = match value_type {
            Some(value_type) => value_type.ends_with(')'),
            None => symbol.kind == SymbolKind::Function,
        };
        // Code asks whether a weak one is there by looking at its address.
        (is_function && symbol.binding == Binding::Global).then(|| Self {
            name: symbol.name.into(),
            value_type: value_type.map(Into::into),
            referrer: (manifest.referrer(index))
                .map(|referrer| (referrer.object.into(), referrer.place.into())),
        })
    }

    /// A manifest that says of the symbol at `index`, and of no other, what that of its image did.
    pub(crate) fn manifest(&self, index: SymbolIndex) -> Manifest<'_> {
        let before = usize::try_from(index).unwrap_or(0);
        let mut symbol_types = vec![0; before];
        symbol_types.push(u32::from(self.value_type.is_some()));
        let referrer = self.referrer.as_ref();
        let referrer = referrer.map(|(object, place)| Referrer {
            symbol: index,
            object,
            place,
        });
        Manifest {
            producer: "",
            cpus: "",
            requires: 0,
            requires_unnumbered: "",
            types: self.value_type.as_deref().into_iter().collect(),
            symbol_types,
            referrers: referrer.into_iter().collect(),
        }
    }

    fn kind(&self) -> Kind {
        let value_type = self.value_type.as_deref();
        value_type.map_or(Kind::Function(None), Kind::of_type)
    }
}

impl LazyImage {
    /// The function that `import` is, which is being called.
    fn bind(&self, import: &LazyImport) -> u64 {
        let Rules { loader, modules } = self.scope.rules();
        let scope = modules.iter().filter_map(|provider| match &provider.kept {
            Kept::Module(module) => Some(module),
            Kept::Redirect(_) | Kept::Callback(_) => None,
        });
        let scope: Vec<&Held> = scope.collect();
        let found = resolve_late(&self.name, import, &loader, &scope, &self.permission);
        let found = found.unwrap_or_else(|error| self.replacement(import, &error));
        for provider in found.providers {
            self.keep(provider);
        }
        fork::lock(&self.bound).libraries.extend(found.libraries);
        found.address
    }

    /// What the handler has for a function that failed with `error`.
    fn replacement(&self, import: &LazyImport, error: &Error) -> LateResolution {
        let definition = (self.scope.shared.handler)(error);
        let expected = import.kind();
        match definition.value {
            Value::Address(address) if expected.accepts(&definition.kind) => LateResolution {
                address,
                providers: definition
                    .provider
                    .map_or_else(Vec::new, |provider| vec![provider.kept.clone()]),
                libraries: Vec::new(),
            },
            _ => give_up(&Error::Mismatched {
                image: self.name.clone(),
                symbols: vec![TypeMismatch {
                    image: self.name.clone(),
                    name: String::from_utf8_lossy(&import.name).into_owned(),
                    referrer: None,
                    expected: expected.to_string(),
                    found: definition.kind.to_string(),
                    place: format!("what was given after an error ({error})"),
                }],
            }),
        }
    }

    /// Has the image import from `provider`, unless it does.
    fn keep(&self, provider: Kept) {
        provider.add_importer(&self.name);
        let mut bound = fork::lock(&self.bound);
        if !bound.providers.iter().any(|known| known.is(&provider)) {
            bound.providers.push(provider);
            return;
        }
        drop(bound);
        provider.remove_importer(&self.name);
    }
}

/// Ends the process because a function cannot be called.
pub(crate) fn give_up(error: &Error) -> ! {
    // Where there is no standard error nobody can be told.
    let _ = writeln!(io::stderr(), "farcall: {error}");
    std::process::abort()
}
