//! What the host gives images to import.

use std::ffi::c_void;
use std::sync::Arc;

use farcall_image::Signature;

use crate::held::Kept;
use crate::kind::Kind;
use crate::load::pointer;
use crate::relocate::Value;
use crate::{Error, FunctionPointer, Module, Result, UnsafeFunctionPointer};

/// What a name that an image imports means.
///
/// Making one and cloning it cost an allocation or two at most, and take no lock but for
/// [`Definition::export`] and [`Redirect::definition`](crate::Redirect::definition), which lock a list of
/// users.
#[derive(Debug, Clone)]
pub struct Definition {
    pub(crate) value: Value,
    pub(crate) kind: Kind,
    /// What it keeps: the module that it is an export of.
    pub(crate) provider: Option<Arc<Provider>>,
}

/// What [`Loader::load_bound`](crate::Loader::load_bound) binds an import to.
#[derive(Debug, Clone)]
pub enum ImportBinding {
    /// A definition.
    To(Definition),
    /// An export of an image that is loaded together with the one that imports.
    Image {
        /// The position of that image.
        position: usize,
        /// The name of the export there.
        name: Box<[u8]>,
    },
}

/// What a definition keeps, and that knows of it.
#[derive(Debug)]
pub(crate) struct Provider {
    // Dropped first.
    #[expect(dead_code, reason = "ends the entry in the list of users")]
    entry: Entry,
    pub(crate) kept: Kept,
    /// What it is in messages.
    pub(crate) description: String,
}

/// An entry in a list of users, until it is dropped.
#[derive(Debug)]
struct Entry {
    of: Kept,
    user: String,
}

impl Provider {
    /// `user` is what the list of users says.
    pub(crate) fn new(kept: Kept, user: String, description: String) -> Self {
        kept.add_importer(&user);
        let entry = Entry {
            of: kept.clone(),
            user,
        };
        Self {
            entry,
            kept,
            description,
        }
    }

    /// Ends the entry; gives what was kept.
    pub(crate) fn into_kept(self) -> Kept {
        self.kept
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.of.remove_importer(&self.user);
    }
}

impl Definition {
    /// A function of the host's. Its type is compared with the type of each import that it is
    /// bound to.
    #[must_use]
    pub fn function<F: FunctionPointer>(function: F) -> Self {
        Self::at(
            function.address() as u64,
            Kind::Function(Some(F::signature())),
        )
    }

    /// The function at an address, of this type if it is known.
    ///
    /// # Safety
    ///
    /// A function that follows the C calling convention and has this type is at `address` for as
    /// long as a module lives that was loaded with this definition.
    #[must_use]
    pub unsafe fn function_at(address: *const c_void, signature: Option<Signature>) -> Self {
        Self::at(
            address.expose_provenance() as u64,
            Kind::Function(signature),
        )
    }

    /// The variable at an address.
    ///
    /// # Safety
    ///
    /// A variable of the type and constness that images believe in is at `address` for as long as
    /// a module lives that was loaded with this definition, and accesses by host and images do not
    /// race.
    #[must_use]
    pub unsafe fn data_at(address: *mut c_void) -> Self {
        Self::at(address.expose_provenance() as u64, Kind::Variable)
    }

    /// A symbol whose address is this number: an absolute symbol.
    ///
    /// Safe, because an image that uses it as an address breaks its own contract.
    #[must_use]
    pub fn absolute(value: u64) -> Self {
        Self::at(value, Kind::Unknown)
    }

    /// The export named `name` of a module: a function, a variable, also a thread-local one. Defined
    /// under another name it is an alias; defined under its own it comes before what modules in scope
    /// have.
    ///
    /// Its type is compared with that of each import that it is bound to, where both are known. The
    /// definition keeps the module loaded, as long as a loader has it, and so does each module that is
    /// bound to it.
    ///
    /// # Errors
    ///
    /// [`crate::Error::NoExport`] when there is none.
    pub fn export(module: &Module, name: &str) -> Result<Self> {
        let export = module.export(name)?;
        let value_type = module.loaded().manifest().symbol_type(export.index);
        let provider = Provider::new(
            Kept::Module(module.loaded().clone()),
            format!("a definition of {name}"),
            format!("an export of {}", module.name()),
        );
        Ok(Self {
            value: export.value,
            kind: Kind::of_export(export.symbol.kind, value_type),
            provider: Some(Arc::new(provider)),
        })
    }

    /// The function that it is, as a pointer of type `F`, compared with its type as [`Module::lookup`] does. `name` is what errors
    /// call it.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] when it is no function or has another type.
    pub fn as_function<F: UnsafeFunctionPointer>(&self, name: &str) -> Result<F> {
        let expected = Kind::Function(Some(F::signature()));
        match self.value {
            Value::Address(address) if expected.accepts(&self.kind) => {
                let address = pointer(address);
                // SAFETY: whoever made the definition says what is there. Calling it is unsafe, and that is where the caller
                // vouches for its type.
                Ok(unsafe { F::at(address.addr()) })
            }
            _ => Err(self.wrong_type(name, &expected.to_string())),
        }
    }

    /// The address of what it is.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] when it is thread-local.
    pub fn address(&self, name: &str) -> Result<*mut c_void> {
        match self.value {
            Value::Address(address) => Ok(pointer(address)),
            Value::ThreadLocal { .. } => {
                Err(self.wrong_type(name, "a function or variable that all threads share"))
            }
        }
    }

    pub(crate) fn wrong_type(&self, name: &str, expected: &str) -> Error {
        let provider = self.provider.as_ref();
        let place = provider.map_or("the host's definition", |it| &it.description);
        Error::WrongType {
            module: place.to_owned(),
            name: name.to_owned(),
            expected: expected.to_owned(),
            found: self.kind.to_string(),
        }
    }

    fn at(address: u64, kind: Kind) -> Self {
        Self {
            value: Value::Address(address),
            kind,
            provider: None,
        }
    }
}

/// Gives images functions of the host's under their own names, each with the type that imports of it
/// must have: `host_fn!(loader, log: extern "C" fn(i64), now: extern "C" fn() -> i64)`.
///
/// It is [`Loader::define_function`](crate::Loader::define_function) for each of them; that a function
/// of the host has the type given is checked by the compiler.
///
/// # Examples
///
/// ```
/// use farcall_loader::{Loader, host_fn};
///
/// extern "C" fn log(value: i64) {
///     println!("{value}");
/// }
/// extern "C" fn double(value: i32) -> i32 {
///     2 * value
/// }
///
/// let mut loader = Loader::new();
/// host_fn!(loader, log: extern "C" fn(i64), double: extern "C" fn(i32) -> i32);
/// ```
#[macro_export]
macro_rules! host_fn {
    ($loader:expr, $($name:ident: $function:ty),+ $(,)?) => {
        $loader$(.define_function(::core::stringify!($name), $name as $function))+
    };
}
