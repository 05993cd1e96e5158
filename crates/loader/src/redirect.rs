//! Exports that can be re-pointed while threads call them.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use crate::definition::Provider;
use crate::error::listed;
use crate::fork::{self, Locked};
use crate::held::Kept;
use crate::kind::Kind;
use crate::lazy;
use crate::load::pointer;
use crate::relocate::Value;
use crate::stubs::Stub;
use crate::users::Users;
use crate::{Definition, Error, Module, Result, Symbol, UnsafeFunctionPointer};

/// A function whose code can be replaced while threads call it: an address that stays, and leads to an
/// export of one module, then to that of another.
///
/// Images import it as [`Redirect::definition`], the host calls it by [`Redirect::lookup`]. Both have the
/// same address, that of a *stub*, so that function pointers are equal wherever they were taken; but code of
/// the module that it leads to means its own function by its own name. A call through it costs one
/// more jump.
///
/// It keeps the module that it leads to. Dropping it leaves that to the images that import it, the last of
/// which lets go of both. A module that it leads to and that imports it keeps itself: replace it first.
///
/// Threads may share it. It takes 32 bytes for the stub and an allocation or two; places of stubs are used
/// again.
#[derive(Debug)]
pub struct Redirect {
    shared: Arc<Redirected>,
}

/// What a redirect and those who import it share.
#[derive(Debug)]
pub(crate) struct Redirected {
    name: String,
    kind: Kind,
    // Dropped before what it leads to.
    stub: Stub,
    target: Arc<Mutex<Target>>,
    users: Mutex<Users>,
}

/// Where a redirect leads.
#[derive(Debug)]
enum Target {
    /// To who is asked at the first call.
    Open,
    To {
        address: u64,
        /// What has the function, unless it is the host's.
        provider: Option<Provider>,
    },
}

impl Target {
    fn of(name: &str, address: u64, definition: &Definition) -> Self {
        let provider = definition.provider.as_ref().map(|provider| {
            Provider::new(
                provider.kept.clone(),
                format!("a redirect of {name}"),
                provider.description.clone(),
            )
        });
        Self::To { address, provider }
    }

    fn description(&self) -> &str {
        match self {
            Self::Open => "nothing yet",
            Self::To { provider: None, .. } => "the host's definition",
            Self::To {
                provider: Some(provider),
                ..
            } => &provider.description,
        }
    }

    fn into_kept(self) -> Option<Kept> {
        match self {
            Self::Open => None,
            Self::To { provider, .. } => provider.map(Provider::into_kept),
        }
    }
}

impl Redirect {
    /// A redirect that leads to the function that `module` exports as `name`.
    ///
    /// Costs a lookup and, for the first of each 4096, memory for them: 64 KiB of code, and as much as is
    /// used of 64 KiB of data.
    ///
    /// # Errors
    ///
    /// [`Error::NoExport`] when there is none, [`Error::WrongType`] when it is not known to be a function,
    /// [`Error::System`] when there is no memory for a stub.
    pub fn new(module: &Module, name: &str) -> Result<Self> {
        let (address, kind) = function(module, name)?;
        let stub = Stub::to(address).map_err(|source| Error::System {
            image: module.name().to_owned(),
            call: format!("a stub for {name}"),
            source,
        })?;
        let target = target(module, name, address);
        Ok(Self::with(name, kind, stub, Arc::new(Mutex::new(target))))
    }

    /// A redirect that leads nowhere yet: when it is first called `resolve` is asked for the function, and the call
    /// goes there.
    ///
    /// `value_type` is its type in LLVM's syntax, if it is known: the one that imports and lookups are compared with.
    ///
    /// Any thread that calls it may call `resolve`, in the middle of that call, several at a time; the first answer
    /// holds, unless [`Redirect::replace`] or [`Redirect::lead_to`] comes before it. The function must have the type
    /// that is given. `resolve` may unwind, if the code that calls may be unwound; then the next call asks again.
    ///
    /// # Errors
    ///
    /// [`Error::System`] when there is no memory for a stub.
    pub fn on_first_call(
        name: &str,
        value_type: Option<&str>,
        resolve: impl Fn() -> Definition + Send + Sync + 'static,
    ) -> Result<Self> {
        let target = Arc::new(Mutex::new(Target::Open));
        let kind = value_type.map_or(Kind::Function(None), Kind::of_type);
        let first = FirstCall {
            name: name.to_owned(),
            kind: kind.clone(),
            target: Arc::clone(&target),
        };
        let resolver = move || first.lead_to(&resolve());
        let stub = Stub::on_first_call(Box::new(resolver)).map_err(|source| Error::System {
            image: name.to_owned(),
            call: "a stub".to_owned(),
            source,
        })?;
        Ok(Self::with(name, kind, stub, target))
    }

    fn with(name: &str, kind: Kind, stub: Stub, target: Arc<Mutex<Target>>) -> Self {
        Self {
            shared: Arc::new(Redirected {
                name: name.to_owned(),
                kind,
                stub,
                target,
                users: Mutex::default(),
            }),
        }
    }

    /// Has it lead to the function of the same name that `module` exports, at once for all calls that begin
    /// from now on. Gives what keeps the module that it led to before.
    ///
    /// A call goes to one of the two, never to anything between. Calls that have begun go on in the old
    /// module, and nothing here waits for them: drop what this gives, which may unload the module, when no
    /// thread is in its code any more, nor will return to it. If in doubt, keep it.
    ///
    /// Any thread may call it, several at a time; the last one wins. Costs a lookup and a store, no system
    /// call. In a process that was forked off it changes that process alone.
    ///
    /// # Errors
    ///
    /// As [`Redirect::new`], and [`Error::WrongType`] when the function has another type, as far as both are
    /// known. Nothing changes then.
    pub fn replace(&self, module: &Module) -> Result<Replaced> {
        let Redirected {
            name, kind, stub, ..
        } = &*self.shared;
        let (address, found) = function(module, name)?;
        if !kind.accepts(&found) {
            return Err(wrong_type(module, name, kind, &found));
        }
        let new = target(module, name, address);
        let mut target = fork::lock(&self.shared.target);
        stub.redirect(address);
        let target = std::mem::replace(&mut *target, new);
        Ok(Replaced { target })
    }

    /// Has it lead to the function that `definition` is, as [`Redirect::replace`] does.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] when it is no function or has another type, as far as both are known. Nothing changes then.
    pub fn lead_to(&self, definition: &Definition) -> Result<Replaced> {
        let Redirected {
            name, kind, stub, ..
        } = &*self.shared;
        let address = match definition.value {
            Value::Address(address) if kind.accepts(&definition.kind) => address,
            _ => {
                let provider = definition.provider.as_ref();
                return Err(Error::WrongType {
                    module: provider
                        .map_or("the host's definition", |it| &it.description)
                        .to_owned(),
                    name: name.clone(),
                    expected: kind.to_string(),
                    found: definition.kind.to_string(),
                });
            }
        };
        let new = Target::of(name, address, definition);
        let mut target = fork::lock(&self.shared.target);
        stub.redirect(address);
        let target = std::mem::replace(&mut *target, new);
        Ok(Replaced { target })
    }

    /// Whether it may lead to a function of this type, in LLVM's syntax, if it is known.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] when it may not.
    pub fn check_type(&self, value_type: Option<&str>) -> Result<()> {
        let Redirected { name, kind, .. } = &*self.shared;
        let found = value_type.map_or(Kind::Function(None), Kind::of_type);
        if kind.accepts(&found) {
            return Ok(());
        }
        Err(Error::WrongType {
            module: format!("a redirect of {name}"),
            name: name.clone(),
            expected: kind.to_string(),
            found: found.to_string(),
        })
    }

    /// Lets go of what it leads to and leads nowhere, whoever imports it: a call ends the process, as one through a
    /// null pointer does. Gives what keeps what it led to.
    ///
    /// # Safety
    ///
    /// Nobody calls it any more.
    pub unsafe fn clear(&self) -> Replaced {
        let mut target = fork::lock(&self.shared.target);
        self.shared.stub.redirect(0);
        let target = std::mem::replace(
            &mut *target,
            Target::To {
                address: 0,
                provider: None,
            },
        );
        Replaced { target }
    }

    /// What [`Loader::define`](crate::Loader::define) takes for images to import it, with the type of the
    /// export that it led to first. The definition, and each module bound to it, keep the redirect and what
    /// it leads to.
    #[must_use]
    pub fn definition(&self) -> Definition {
        let Redirected {
            name, kind, stub, ..
        } = &*self.shared;
        let provider = Provider::new(
            Kept::Redirect(Arc::clone(&self.shared)),
            format!("a definition of {name}"),
            format!("a redirect of {name}"),
        );
        Definition {
            value: Value::Address(stub.address()),
            kind: kind.clone(),
            provider: Some(Arc::new(provider)),
        }
    }

    /// The function, as a pointer of type `F`, compared with its type as [`Module::lookup`] does.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] when it has another type.
    pub fn lookup<F: UnsafeFunctionPointer>(&self) -> Result<Symbol<'_, F>> {
        let shared = &*self.shared;
        let expected = Kind::Function(Some(F::signature()));
        if !expected.accepts(&shared.kind) {
            let module = fork::lock(&shared.target).description().to_owned();
            return Err(Error::WrongType {
                module,
                name: shared.name.clone(),
                expected: expected.to_string(),
                found: shared.kind.to_string(),
            });
        }
        let address = pointer(shared.stub.address());
        Ok(Symbol {
            // SAFETY: the address is that of a function. Calling it is unsafe, and that is where the
            // caller vouches for its type.
            function: unsafe { F::at(address.addr()) },
            module: PhantomData,
        })
    }

    /// The address of the function, which stays as long as the redirect.
    #[must_use]
    pub fn address(&self) -> *mut std::ffi::c_void {
        pointer(self.shared.stub.address())
    }

    /// Ends it, if nothing imports it. Gives what keeps the module that it led to.
    ///
    /// # Errors
    ///
    /// [`RedirectInUse`], with the redirect, while a module imports it or a definition has it.
    pub fn end(self) -> Result<Replaced, RedirectInUse> {
        let mut shared = self.shared;
        loop {
            shared = match Arc::try_unwrap(shared) {
                Ok(shared) => {
                    return Ok(Replaced {
                        target: shared.into_target(),
                    });
                }
                Err(shared) => shared,
            };
            let importers = shared.users().importers();
            if !importers.is_empty() {
                return Err(RedirectInUse {
                    redirect: Self { shared },
                    importers,
                });
            }
            // A user has left the list and is about to let go.
            std::thread::yield_now();
        }
    }
}

impl Redirected {
    pub(crate) fn users(&self) -> Locked<'_, Users> {
        fork::lock(&self.users)
    }

    /// Lets go of the module that it leads to, and gives it.
    pub(crate) fn end(self) -> Option<Kept> {
        self.into_target().into_kept()
    }

    fn into_target(self) -> Target {
        let mut target = fork::lock(&self.target);
        // The code that resolves a first call shares it, and is about to be dropped.
        std::mem::replace(&mut *target, Target::Open)
    }
}

/// What a redirect is at its first call. Its stub has it, and the redirect has the stub.
struct FirstCall {
    name: String,
    kind: Kind,
    target: Arc<Mutex<Target>>,
}

impl FirstCall {
    /// Has the redirect lead to `definition`, unless it leads somewhere by now. Gives the address to go to.
    fn lead_to(&self, definition: &Definition) -> u64 {
        let address = address_in(definition, &self.name, &self.kind);
        let address = address.unwrap_or_else(|error| lazy::give_up(&error));
        let new = Target::of(&self.name, address, definition);
        let mut target = fork::lock(&self.target);
        if let Target::To { address, .. } = *target {
            drop(target);
            // Not under the lock: it lets go of a module.
            drop(new);
            return address;
        }
        *target = new;
        address
    }
}

/// What a redirect led to before, kept until this is dropped.
#[derive(Debug)]
pub struct Replaced {
    target: Target,
}

impl Replaced {
    /// The name of the module.
    #[must_use]
    pub fn name(&self) -> &str {
        self.target.description()
    }
}

/// Why a redirect was not ended. It hands the redirect back.
pub struct RedirectInUse {
    /// The redirect.
    pub redirect: Redirect,
    /// The names of those that import it, each once, sorted.
    pub importers: Vec<String>,
}

impl fmt::Debug for RedirectInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for RedirectInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.redirect.shared.name;
        let importers = listed(&self.importers);
        write!(f, "a redirect of {name}: in use: imported by {importers}")
    }
}

impl std::error::Error for RedirectInUse {}

/// The address of the function that `definition` is.
fn address_in(definition: &Definition, name: &str, kind: &Kind) -> Result<u64> {
    if let Value::Address(address) = definition.value
        && kind.accepts(&definition.kind)
    {
        return Ok(address);
    }
    Err(definition.wrong_type(name, &kind.to_string()))
}

/// The address of the function that `module` exports as `name`, and what is known of it.
fn function(module: &Module, name: &str) -> Result<(u64, Kind)> {
    let export = module.export(name)?;
    let value_type = module.loaded().manifest().symbol_type(export.index);
    let kind = Kind::of_export(export.symbol.kind, value_type);
    match (export.value, &kind) {
        (Value::Address(address), Kind::Function(_)) => Ok((address, kind)),
        _ => Err(wrong_type(module, name, &Kind::Function(None), &kind)),
    }
}

/// Has a redirect of `name` keep `module`.
fn target(module: &Module, name: &str, address: u64) -> Target {
    let provider = Provider::new(
        Kept::Module(module.loaded().clone()),
        format!("a redirect of {name}"),
        module.name().to_owned(),
    );
    Target::To {
        address,
        provider: Some(provider),
    }
}

fn wrong_type(module: &Module, name: &str, expected: &Kind, found: &Kind) -> Error {
    Error::WrongType {
        module: module.name().to_owned(),
        name: name.to_owned(),
        expected: expected.to_string(),
        found: found.to_string(),
    }
}
