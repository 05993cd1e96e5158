//! Libraries: scopes of names, and how units get into them.

use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt;
use std::sync::{Arc, Weak};

use farcall_compiler::inkwell::module::Module;
use farcall_compiler::{DefinedKind, DefinedSymbol, bitcode_of};
use farcall_image::{self as image, SymbolKind};
use farcall_loader::{Definition, FunctionPointer, Redirect, UnsafeFunctionPointer};

use crate::build::{self, Job, Source, Tier};
use crate::code::Code;
use crate::materialize::materialize;
use crate::session::{Owner, Shared, give_up};
use crate::state::{
    Compiled, Export, Found, LibraryId, Name, Part, PartId, Phase, UnitId, UnitState,
};
use crate::unit::Unit;
use crate::{Error, Function, Options, Result, When};

/// A scope of names: what is added to it defines names, each once, and its units' imports are looked for in it first, then in
/// the libraries of its link order, then where the session's loader looks.
///
/// Its units are to each other what the objects of a program are. Weak definitions (C++'s inline functions and variables, templates) may be
/// there many times, and all units mean the same one: the first that is loaded. Hidden names are found by its units alone.
#[derive(Clone)]
pub struct Library {
    pub(crate) shared: Arc<Owner>,
    pub(crate) id: LibraryId,
}

impl Library {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        self.shared.state().library(self.id).name.to_string()
    }

    /// Says where names are looked for after the library itself, in this order. It holds for what is bound from now on.
    ///
    /// # Panics
    /// When one of them is another session's.
    pub fn set_link_order(&self, libraries: &[&Self]) {
        let mut libraries_of = libraries.iter().map(|library| &library.shared);
        assert!(
            libraries_of.all(|shared| Arc::ptr_eq(shared, &self.shared)),
            "a library's link order is of its own session's libraries"
        );
        let order = libraries.iter().map(|library| library.id).collect();
        self.shared.state().library_mut(self.id).order = order;
    }

    /// Adds a module of IR, text or bitcode. `name` names it in errors.
    ///
    /// [`When::Eager`], the usual one: when this returns, all of it is compiled, linked, loaded and its constructors have run;
    /// or nothing of it is there, and the error says why. [`When::OnLookup`] and [`When::OnFirstCall`] read the IR, so that
    /// invalid IR is an error here, and compile later.
    ///
    /// # Cost and threads
    /// That of compiling, which takes other threads' time too ([`farcall_compiler::Compiler`]). Threads that add and look up at the
    /// same time do not wait for each other's compilations, unless they need them.
    ///
    /// # Errors
    /// What the compiler, the linker and the loader say; [`Error::Duplicate`] when a name is defined already.
    pub fn add(&self, name: &str, ir: &[u8], options: impl Into<Options>) -> Result<Unit> {
        let options = options.into();
        if options.is_divided() {
            return crate::divided::add(self, name, ir, &options);
        }
        self.add_modules(&[(name, ir)], name.into(), &options)
    }

    /// Adds a module that is in memory, as [`Library::add`] does. It is only read, and stays the caller's: compiling uses a context of its own.
    ///
    /// # Errors
    /// As [`Library::add`].
    pub fn add_module(
        &self,
        name: &str,
        module: &Module<'_>,
        options: impl Into<Options>,
    ) -> Result<Unit> {
        self.add(name, &bitcode_of(name, module)?, options)
    }

    /// Adds modules of IR that belong together, as one unit: they are compiled on all cores and linked to one image, in their order,
    /// as a program's objects are. So they may need each other, what they have in common is there once, and constructors run in their order.
    ///
    /// [`When::OnFirstCall`] and [tiers](Options::tier_up) are for single modules: here the first stands for [`When::OnLookup`], and
    /// the second does nothing.
    ///
    /// # Errors
    /// As [`Library::add`].
    pub fn add_all(&self, inputs: &[(&str, &[u8])], options: impl Into<Options>) -> Result<Unit> {
        let name = match inputs {
            [] => "nothing".into(),
            [(name, _)] => (*name).into(),
            [(name, _), rest @ ..] => format!("{name} and {} more", rest.len()).into(),
        };
        self.add_modules(inputs, name, &options.into().whole())
    }

    fn add_modules(
        &self,
        inputs: &[(&str, &[u8])],
        name: Arc<str>,
        options: &Options,
    ) -> Result<Unit> {
        if options.when != When::Eager {
            return self.add_outlined(inputs, name, options);
        }
        let module = |&(name, ir): &(&str, &[u8])| build::Module {
            name: name.into(),
            ir: ir.to_vec(),
        };
        let job = Job {
            name: Arc::clone(&name),
            source: Source::Ir(inputs.iter().map(module).collect()),
        };
        let compiled = build::build_all(&self.shared, &[job]).remove(0)?;
        self.add_built(Image { name, compiled }, options)
    }

    /// Adds an object (ET_REL). It is linked at once, and loaded at once or on lookup: [`When::OnFirstCall`] stands for that here.
    ///
    /// # Errors
    /// As [`Library::add`].
    pub fn add_object(
        &self,
        name: &str,
        object: &[u8],
        options: impl Into<Options>,
    ) -> Result<Unit> {
        let object = farcall_compiler::Object {
            name: name.to_owned(),
            bytes: object.to_vec(),
        };
        let image = build::link(&self.shared, name, &[object])?;
        self.add_image(name, &image, options)
    }

    /// Adds an archive of objects, linked at once to one image: the members that define `wanted` names and what those need, or
    /// all members when no name is given. It is loaded as an object is. An archive of which each unit is to have a copy of its own is one for
    /// [`Builder::runtime_archive`](crate::Builder::runtime_archive).
    ///
    /// # Errors
    /// As [`Library::add`].
    pub fn add_archive(
        &self,
        name: &str,
        archive: &[u8],
        wanted: &[&str],
        options: impl Into<Options>,
    ) -> Result<Unit> {
        let mut linker = build::linker(&self.shared);
        match wanted {
            [] => linker.add_whole_archive(name, archive),
            _ => linker.add(name, archive),
        };
        for name in wanted {
            linker.export(*name);
        }
        let image = linker.link().map_err(|errors| Error::link(name, errors))?;
        self.add_image(name, &image, options)
    }

    /// Adds an image. It is loaded at once or on lookup: [`When::OnFirstCall`] stands for that here.
    ///
    /// # Errors
    /// As [`Library::add`], and [`Error::Image`] when the bytes are no image.
    pub fn add_image(&self, name: &str, image: &[u8], options: impl Into<Options>) -> Result<Unit> {
        let image = Image {
            name: name.into(),
            compiled: build::compiled(name, image.into())?,
        };
        self.add_built(image, &options.into().whole())
    }

    /// Says what a name of the library means. A definition of the same name is replaced; who is bound to it stays so.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when a unit defines it.
    pub fn define(&self, name: &str, definition: Definition) -> Result<()> {
        let old = self.shared.state().define(self.id, name, definition)?;
        // Not under the lock: it may let go of a module.
        drop(old);
        Ok(())
    }

    /// Gives units a function of the host's, with its type.
    ///
    /// # Errors
    /// As [`Library::define`].
    pub fn define_function<F: FunctionPointer>(&self, name: &str, function: F) -> Result<()> {
        self.define(name, Definition::function(function))
    }

    /// The function of that name, in this library or those of its link order. What it needs is compiled, loaded and
    /// started first, once, whoever asks first; others who need it wait.
    ///
    /// # Cost
    /// When it is there, a lock for a moment and two hash look-ups.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Load`] when it has another type; and what goes wrong when it is compiled and loaded:
    /// the next lookup tries again.
    pub fn lookup<F: UnsafeFunctionPointer>(&self, name: &str) -> Result<Function<F>> {
        let (function, code) = match self.find(name)? {
            Target::Definition(definition) => (definition.as_function::<F>(name)?, None),
            Target::Stub(redirect, code) => (*redirect.lookup::<F>()?, Some(code)),
            Target::Part(part, code) => {
                let module = code.module(part).ok_or_else(|| self.not_found(name))?;
                let function = *module.lookup::<F>(name)?;
                (function, Some(code))
            }
        };
        Ok(Function {
            function,
            code,
            shared: Arc::clone(&self.shared),
        })
    }

    /// The address of the function or variable of that name, as [`Library::lookup`] finds it. It is good until its unit is
    /// removed.
    ///
    /// # Errors
    /// As [`Library::lookup`].
    pub fn address(&self, name: &str) -> Result<*mut c_void> {
        match self.find(name)? {
            Target::Definition(definition) => Ok(definition.address(name)?),
            Target::Stub(redirect, _) => Ok(redirect.address()),
            Target::Part(part, code) => {
                let module = code.module(part).ok_or_else(|| self.not_found(name))?;
                Ok(module.address(name)?)
            }
        }
    }

    fn find(&self, name: &str) -> Result<Target> {
        // What this thread, or one that waits for it, is starting is found too, once there is nothing to wait for.
        let mut has_waited = false;
        loop {
            let part = {
                let state = self.shared.state();
                let found = state.find(self.id, name.as_bytes());
                let found = found.ok_or_else(|| state.not_found(self.id, name))?;
                let part = found.needs();
                let is_there = |part| match &state.parts[&part].phase {
                    Phase::Ready => true,
                    phase => has_waited && phase.is_started(),
                };
                if part.is_none_or(is_there) {
                    return Ok(match found {
                        Found::Definition(definition) => Target::Definition(definition),
                        Found::Stub { part, redirect, .. } => {
                            Target::Stub(redirect, Arc::clone(&state.parts[&part].code))
                        }
                        Found::Part(part) => {
                            Target::Part(part, Arc::clone(&state.parts[&part].code))
                        }
                    });
                }
                part.expect("what needs no part is ready")
            };
            materialize(&self.shared, &[part])?;
            has_waited = true;
        }
    }

    fn not_found(&self, name: &str) -> Error {
        self.shared.state().not_found(self.id, name)
    }

    fn add_outlined(
        &self,
        inputs: &[(&str, &[u8])],
        name: Arc<str>,
        options: &Options,
    ) -> Result<Unit> {
        let compiler = self.shared.compiler(Tier::Last)?;
        let mut modules = Vec::with_capacity(inputs.len());
        let mut symbols = Vec::new();
        for &(name, ir) in inputs {
            let outline = compiler.outline(name, ir)?;
            symbols.extend(outline.definitions.into_iter().map(Symbol::from));
            modules.push(build::Module {
                name: name.into(),
                ir: outline.bitcode,
            });
        }
        let mut state = self.shared.state();
        let draft = Draft::new(&self.shared, &mut state, name, self.id, options);
        let part = state.next_part();
        let source = Source::Ir(modules.into());
        let (unit, part) = draft.single(part, source, Phase::Added, symbols, None)?;
        let handle = unit.handle(&self.shared);
        let removed = state.add(unit.id, unit.state, vec![part])?;
        drop(state);
        drop(removed);
        Ok(handle)
    }

    /// Adds an image, and loads it if it is to be loaded at once.
    fn add_built(&self, image: Image, options: &Options) -> Result<Unit> {
        let symbols = image.symbols()?;
        let mut state = self.shared.state();
        let draft = Draft::new(&self.shared, &mut state, image.name, self.id, options);
        let id = state.next_part();
        let phase = Phase::Compiled(image.compiled);
        let (draft, part) = draft.single(id, Source::Image, phase, symbols, None)?;
        let unit = draft.handle(&self.shared);
        let removed = state.add(draft.id, draft.state, vec![part])?;
        drop(state);
        drop(removed);
        if options.when == When::Eager
            && let Err(error) = materialize(&self.shared, &[id])
        {
            let taken = self.shared.state().take(unit.id);
            drop(taken);
            return Err(error);
        }
        Ok(unit)
    }
}

/// What a lookup has found, and that can be called.
enum Target {
    Definition(Definition),
    Stub(Arc<Redirect>, Arc<Code>),
    Part(PartId, Arc<Code>),
}

/// An image that is to become a unit.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) name: Arc<str>,
    pub(crate) compiled: Compiled,
}

/// What a unit will define.
#[derive(Debug)]
pub(crate) struct Symbol {
    pub(crate) name: Name,
    pub(crate) is_weak: bool,
    pub(crate) is_hidden: bool,
    /// Of a function its type, if it is known.
    pub(crate) function_type: Option<Option<String>>,
}

impl From<DefinedSymbol> for Symbol {
    fn from(symbol: DefinedSymbol) -> Self {
        let is_function = symbol.kind == DefinedKind::Function;
        Self {
            name: symbol.name.into_bytes().into(),
            is_weak: symbol.is_weak,
            is_hidden: symbol.is_hidden,
            function_type: is_function.then_some(Some(symbol.value_type)),
        }
    }
}

impl Image {
    pub(crate) fn symbols(&self) -> Result<Vec<Symbol>> {
        let parsed = image::Image::parse(&self.compiled.image);
        let parsed = parsed.map_err(|error| Error::image(&self.name, error))?;
        let manifest = parsed.manifest();
        let symbols = parsed.all_exports().map(|(index, symbol)| Symbol {
            name: symbol.name.into(),
            is_weak: symbol.binding == image::Binding::Weak,
            is_hidden: symbol.is_hidden,
            function_type: (symbol.kind == SymbolKind::Function)
                .then(|| manifest.symbol_type(index).map(str::to_owned)),
        });
        Ok(symbols.collect())
    }
}

/// A unit that is being put together.
pub(crate) struct Draft {
    pub(crate) id: UnitId,
    pub(crate) state: UnitState,
    shared: Weak<Shared>,
    has_stubs: bool,
}

impl Draft {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        state: &mut crate::state::State,
        name: Arc<str>,
        library: LibraryId,
        options: &Options,
    ) -> Self {
        Self {
            id: state.next_unit(),
            state: UnitState {
                name,
                library,
                when: options.when,
                parts: Vec::new(),
                exports: Vec::new(),
                weak: HashMap::new(),
                private: HashMap::new(),
                code: Arc::default(),
                users: HashMap::new(),
                changing: None,
                has_claimed: false,
                is_removed: false,
            },
            shared: Arc::downgrade(shared),
            has_stubs: options.has_stubs(),
        }
    }

    pub(crate) fn handle(&self, shared: &Arc<Owner>) -> Unit {
        Unit {
            shared: Arc::clone(shared),
            id: self.id,
            name: Arc::clone(&self.state.name),
        }
    }

    /// A unit of one part. Stubs that are in `known` are taken from there.
    pub(crate) fn single(
        mut self,
        id: PartId,
        source: Source,
        phase: Phase,
        symbols: Vec<Symbol>,
        known: Option<&Code>,
    ) -> Result<(Self, (PartId, Part))> {
        let mut stubs = Vec::new();
        for symbol in symbols {
            if let Some(value_type) = symbol.function_type.filter(|_| self.has_stubs) {
                let name = &symbol.name;
                self.add_stub(id, name, value_type.as_deref(), known)?;
                stubs.push(name.clone());
            }
            self.state.exports.push(Export {
                name: symbol.name,
                part: id,
                is_weak: symbol.is_weak,
                is_hidden: symbol.is_hidden,
            });
        }
        let part = Part {
            unit: self.id,
            code: Arc::clone(&self.state.code),
            name: Arc::clone(&self.state.name),
            source,
            phase,
            after: None,
            stubs: stubs.into(),
            uses: HashMap::new(),
            is_loading: false,
            failure: None,
        };
        self.state.parts.push(id);
        Ok((self, (id, part)))
    }

    /// Has a function of a part be called through a stub, which compiles the part when it is called.
    pub(crate) fn add_stub(
        &mut self,
        part: PartId,
        name: &[u8],
        value_type: Option<&str>,
        known: Option<&Code>,
    ) -> Result<Arc<Redirect>> {
        let redirect = match known.and_then(|known| known.redirect(name)) {
            Some(redirect) => {
                redirect.check_type(value_type)?;
                redirect
            }
            None => {
                let shared = self.shared.clone();
                let text = String::from_utf8_lossy(name).into_owned();
                let code = Arc::downgrade(&self.state.code);
                let resolve = {
                    let (unit, name) = (self.id, text.clone());
                    move || first_call(&shared, &code, unit, part, &name)
                };
                Arc::new(Redirect::on_first_call(&text, value_type, resolve)?)
            }
        };
        self.state
            .code
            .set_redirects([(name.into(), Arc::clone(&redirect))]);
        Ok(redirect)
    }
}

/// What a function is that is being called and has not been compiled.
fn first_call(
    shared: &Weak<Shared>,
    code: &Weak<Code>,
    unit: UnitId,
    part: PartId,
    name: &str,
) -> Definition {
    let (Some(shared), Some(code)) = (shared.upgrade(), code.upgrade()) else {
        // What a unit that is gone calls for the first time, in its last destructors, is not compiled any more.
        let unit = name.to_owned();
        give_up(&Error::Removed { unit });
    };
    let definition = materialize(&shared, &[part]).and_then(|()| {
        let gone = || Error::Removed {
            unit: name.to_owned(),
        };
        let definition = code.definition(part, name);
        // Its unit may have been replaced in the middle of the call.
        let definition = definition.or_else(|| shared.state().definition(unit, name));
        definition.ok_or_else(gone)?
    });
    definition.unwrap_or_else(|error| (shared.on_error)(&error))
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Library").field(&self.name()).finish()
    }
}
