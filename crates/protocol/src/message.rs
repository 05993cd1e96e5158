//! The messages. Their order is their encoding: what is new goes last.

use std::fmt;

use farcall_image::Digest;
use serde::{Deserialize, Serialize};

/// What a controller asks for. Each request has one [`Response`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request<'data> {
    /// Load an image. Body: the image, or nothing to offer it by its digest.
    ///
    /// Answered by [`Response::Loaded`], and an offer of an image that is not there by
    /// [`Response::Needed`].
    Load {
        /// The image's digest.
        digest: Digest,
        /// The image's size in bytes.
        size: u64,
        /// A name for the module, which later stands for it; empty for none. It is the newest
        /// module's that was given it.
        #[serde(borrow)]
        name: &'data str,
        /// The modules to import from, in this order; `None` for all in the order in which they
        /// were loaded.
        scope: Option<Vec<Digest>>,
    },
    /// Define a symbol for the images loaded from now on. Answered by [`Response::Defined`].
    Define {
        /// The symbol's name.
        name: &'data str,
        /// Its type in LLVM's syntax, if images that import it are to be checked against it.
        value_type: Option<&'data str>,
        /// What it is.
        #[serde(borrow)]
        definition: Definition<'data>,
    },
    /// Find an export that is not thread-local. Answered by [`Response::Found`].
    Lookup {
        /// The module.
        #[serde(borrow)]
        module: ModuleName<'data>,
        /// The export's name.
        name: &'data str,
    },
    /// Call a function. Body: the bytes of the buffers passed in, one after the other. Answered by
    /// [`Response::Returned`].
    Call {
        /// The module.
        #[serde(borrow)]
        module: ModuleName<'data>,
        /// The function's name.
        function: &'data str,
        /// Its type in LLVM's syntax; needed where the image does not say.
        signature: Option<&'data str>,
        /// What to pass.
        arguments: Vec<Argument>,
    },
    /// Unload a module that no other one imports from and no call is in. Answered by [`Response::Unloaded`].
    Unload {
        /// The module.
        #[serde(borrow)]
        module: ModuleName<'data>,
    },
    /// List the modules. Answered by [`Response::Modules`].
    List {
        /// How many to leave out, in the order in which they were loaded.
        skip: u64,
    },
    /// Nothing. Answered by [`Response::Pong`].
    Ping,
}

/// Which module is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModuleName<'data> {
    /// The one loaded from the image of this digest.
    Digest(Digest),
    /// The newest one that was given this name.
    Name(&'data str),
}

impl From<Digest> for ModuleName<'_> {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

impl<'data> From<&'data str> for ModuleName<'data> {
    fn from(name: &'data str) -> Self {
        Self::Name(name)
    }
}

/// What a defined symbol is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Definition<'data> {
    /// An address in the executor's process, or any other number.
    Address(u64),
    /// Memory that holds the body's bytes, 64-byte aligned. It stays while the definition stands or
    /// a module that uses it is loaded.
    Bytes,
    /// An export of a module.
    Export {
        /// The module.
        #[serde(borrow)]
        module: ModuleName<'data>,
        /// The export's name.
        name: &'data str,
    },
}

/// What is passed for a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Argument {
    /// An integer, in the low bits; whether and how it is extended is the signature's to say.
    Int(u64),
    /// A `float`.
    Float(f32),
    /// A `double`.
    Double(f64),
    /// An address in the executor's process.
    Pointer(u64),
    /// The address of a buffer with the next `size` bytes of the body.
    In {
        /// Its size in bytes.
        size: u64,
    },
    /// The address of a buffer of zeros, which is sent back after the call.
    Out {
        /// Its size in bytes.
        size: u64,
    },
    /// The address of a buffer with the next `size` bytes of the body, which is sent back after
    /// the call.
    InOut {
        /// Its size in bytes.
        size: u64,
    },
}

/// What an executor answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// The image is loaded.
    Loaded {
        /// Whether it had been loaded before: its constructors did not run again.
        was_loaded: bool,
    },
    /// The image offered is not there: load it with its bytes.
    Needed,
    /// The symbol is defined.
    Defined {
        /// Its value.
        address: u64,
    },
    /// The export.
    Found(Symbol),
    /// The function returned. Body: the buffers that are sent back, one after the other.
    Returned {
        /// Its result.
        value: Value,
    },
    /// The module is unloaded.
    Unloaded,
    /// Modules, in the order in which they were loaded.
    Modules {
        /// As many as one response holds; at least one if there is one.
        modules: Vec<ModuleInfo>,
        /// How many there are.
        n_total: u64,
    },
    /// To a ping.
    Pong,
    /// The request could not be done.
    Failed(Failure),
}

/// An export of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbol {
    /// Its address in the executor's process.
    pub address: u64,
    /// What it names.
    pub kind: SymbolKind,
    /// Its type in LLVM's syntax, if the image says.
    pub value_type: Option<String>,
}

/// What a symbol names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SymbolKind {
    /// The image does not say.
    Unknown,
    /// A function.
    Function,
    /// A variable.
    Data,
}

/// What a function returned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// Nothing.
    Void,
    /// An integer.
    Int {
        /// Its width in bits, 1 to 64.
        bits: u32,
        /// Its bits; those above `bits` are zero.
        value: u64,
    },
    /// A `float`.
    Float(f32),
    /// A `double`.
    Double(f64),
    /// An address in the executor's process.
    Pointer(u64),
}

/// A loaded module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleInfo {
    /// The digest of its image.
    pub digest: Digest,
    /// The names that stand for it; the first 16 of more.
    pub names: Vec<String>,
    /// The size of its image in bytes.
    pub size: u64,
    /// The number of its exports.
    pub n_exports: u64,
}

/// Why a request could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of reason it is, for programs.
    pub kind: ErrorKind,
    /// The reason, for people.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A kind of reason. After the first two the executor closes the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A frame that is longer than the executor takes.
    TooLong,
    /// Bytes that are no request, or a body that is not as long as its request says.
    Malformed,
    /// Bytes that are not the image that was meant, or not an image for this machine.
    Image,
    /// An image that could not be loaded; for missing symbols the message names all.
    Load,
    /// No such module.
    UnknownModule,
    /// No such export in the module.
    UnknownSymbol,
    /// Arguments or a signature that do not fit the function.
    Arguments,
    /// A definition that cannot be made.
    Definition,
    /// A module that others import from or a call is in.
    InUse,
    /// More memory than there is or than is given to one request.
    Memory,
    /// A bug of the executor.
    Internal,
    /// The function was called and threw an exception, which nothing in its module caught.
    Threw,
}
