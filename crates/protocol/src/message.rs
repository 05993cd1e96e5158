//! The messages. Their order is their encoding: what is new goes last.

use std::fmt;

use farcall_image::Digest;
use serde::{Deserialize, Serialize};

use crate::{ModuleInfo, Statistics};

/// What a controller asks for. Each request has one [`Response`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request<'data> {
    /// Load an image. Body: as [`Form`] says, or nothing to offer the image by its digest.
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
        /// How the image comes.
        form: Form,
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
        /// Which function.
        #[serde(borrow)]
        function: Callee<'data>,
        /// What to pass.
        arguments: Vec<Argument>,
        /// When.
        order: Order,
    },
    /// Unload a module that no other one imports from, no function of which is prepared and no call is in. Answered by [`Response::Done`].
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
    /// Nothing. Answered by [`Response::Done`].
    Ping,
    /// Find a function once, for many calls. Answered by [`Response::Prepared`].
    Prepare {
        /// The module, which stays loaded until the function is released.
        #[serde(borrow)]
        module: ModuleName<'data>,
        /// The function's name.
        function: &'data str,
        /// Its type in LLVM's syntax; needed where the image does not say.
        signature: Option<&'data str>,
    },
    /// Forget what was prepared on this connection. Answered by [`Response::Done`].
    Release {
        /// Its number.
        function: u64,
    },
    /// Make a buffer of zeros, which stays until it is freed or the connection ends. Answered by [`Response::Allocated`].
    Allocate {
        /// Its size in bytes.
        size: u64,
        /// Whether it is a file in memory that comes with this request, for both to use.
        shared: bool,
    },
    /// Write the body to a buffer. Answered by [`Response::Done`].
    Write {
        /// Its number.
        buffer: u64,
        /// Where the body goes, in bytes from its start.
        offset: u64,
    },
    /// Read from a buffer. Answered by [`Response::Bytes`].
    Read {
        /// Its number.
        buffer: u64,
        /// Where to start, in bytes from its start.
        offset: u64,
        /// How many bytes.
        size: u64,
    },
    /// Free a buffer that no call uses. Answered by [`Response::Done`].
    Free {
        /// Its number.
        buffer: u64,
    },
    /// Read memory of the executor's process, such as what a callback was given the address of. Answered by [`Response::Bytes`].
    Peek {
        /// Where.
        address: u64,
        /// How many bytes.
        size: u64,
    },
    /// Write the body to memory of the executor's process. Answered by [`Response::Done`].
    Poke {
        /// Where.
        address: u64,
    },
    /// Do not begin with a request of this connection that has not begun; it fails then. Answered by [`Response::Done`].
    Cancel {
        /// Its id.
        id: u64,
    },
    /// Say what has been done so far. Answered by [`Response::Statistics`].
    Statistics,
    /// Of a supervisor to its template: start a worker that serves the socket which comes with this request. Answered by
    /// [`Response::Forked`].
    Fork {
        /// The most memory that it may take beyond what it starts with, in bytes.
        memory: Option<u64>,
        /// Whether it is kept from files, the network and other processes.
        sandbox: bool,
    },
    /// Of a supervisor to its template: wait for the end of a worker. Answered by [`Response::Ended`].
    Reap {
        /// Its process.
        process: u32,
    },
    /// Forget how often an image has crashed. Answered by [`Response::Done`].
    Pardon {
        /// Its digest.
        digest: Digest,
    },
    /// Go on through memory that both share: a file in memory, with two rings of bytes in it, comes with this request, which is the first of its
    /// connection. Answered by [`Response::Done`], which is the last frame on the old way.
    Share,
    /// Of a supervisor to its template and its workers: what the image of this digest, when it is loaded next, may import that no other image
    /// has. Answered by [`Response::Done`].
    Permit {
        /// The image's digest.
        digest: Digest,
        /// Who says so, for messages.
        by: &'data str,
        /// The names.
        #[serde(borrow)]
        host: Vec<&'data str>,
    },
    /// The answer to a [`Response::CallBack`] of this id. Not answered.
    CalledBack(std::result::Result<Value, String>),
    /// Body: the message and the body of another request, which is none of these two. It is made by what a call that called back waits for, so
    /// that the thread that waits does it, at once. Answered as the other request is.
    Within {
        /// The id of the [`Response::CallBack`].
        callback: u64,
    },
    /// Define functions that lead where the controller says when they are first called: then it is [called back](Response::CallBack), as a function of type
    /// `ptr (i64)`, with the function's place in all requests of this number. It gives the address of the export of that name of a module, which is called
    /// from then on; a call that fails is tried again by the next. A function that is there already, with its type, is this controller's from
    /// now on, until it has been called. Answered by [`Response::Done`].
    DefineOnFirstCall {
        /// What stands for these definitions in scopes, beside modules.
        space: Digest,
        /// The controller's number for them.
        number: u64,
        /// The place of the first of these functions.
        first: u64,
        /// The functions.
        #[serde(borrow)]
        functions: Vec<FirstCall<'data>>,
    },
    /// Share memory for images that are to come: that of [`Request::Share`], of which the first ring is used, comes with this request. It
    /// takes the place of what was shared for this before. Answered by [`Response::Done`].
    Dock,
}

/// A function that leads somewhere from its first call on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstCall<'data> {
    /// Its name, also that of the export.
    pub name: &'data str,
    /// Another name of it.
    pub alias: &'data str,
    /// Its type in LLVM's syntax, if that is known.
    pub value_type: Option<&'data str>,
}

/// How an image comes with a request to load it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// The body is the image, or nothing.
    Plain,
    /// The body is the image, compressed by Zstandard (RFC 8878), in one frame.
    Zstandard,
    /// A sealed file in memory, which comes with the request, holds it; there is no body.
    File,
    /// It comes through the memory of [`Request::Dock`], and then one byte: 1 when the controller has found that it has its digest, else 0; there is no
    /// body.
    Docked,
}

/// Which function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Callee<'data> {
    /// An export.
    Export {
        /// The module.
        #[serde(borrow)]
        module: ModuleName<'data>,
        /// The function's name.
        name: &'data str,
        /// Its type in LLVM's syntax; needed where the image does not say.
        signature: Option<&'data str>,
    },
    /// One that was prepared on this connection, by its number.
    Prepared(u64),
}

/// When a call runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Order {
    /// After what was asked before on this connection, and before what is asked after.
    #[default]
    InTurn,
    /// At the same time as others, on a thread of its own.
    Concurrent,
    /// In turn, and the answers to what was asked before may wait for its own: who sends it with what it depends on waits for both.
    WithAnswersBefore,
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
    /// A function that calls the controller back ([`Response::CallBack`]), over the connection on which it is defined; its type is needed.
    Callback {
        /// The controller's number for it.
        number: u64,
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
    /// The address of a byte in a buffer that was allocated on this connection.
    Buffer {
        /// Its number.
        buffer: u64,
        /// The byte's offset from its start.
        offset: u64,
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
    /// Modules, in the order in which they were loaded.
    Modules {
        /// As many as one response holds; at least one if there is one.
        modules: Vec<ModuleInfo>,
        /// How many there are.
        n_total: u64,
    },
    /// It is done, and there is nothing else to say.
    Done,
    /// The request could not be done.
    Failed(Failure),
    /// The function was found.
    Prepared {
        /// Its number on this connection.
        function: u64,
    },
    /// The buffer is there.
    Allocated {
        /// Its number on this connection.
        buffer: u64,
        /// Its address in the executor's process.
        address: u64,
    },
    /// Body: the bytes.
    Bytes,
    /// What has been done so far.
    Statistics(Box<Statistics>),
    /// A worker was started.
    Forked {
        /// Its process.
        process: u32,
    },
    /// A worker has ended.
    Ended {
        /// As wait(2) gives it; `None` when it is not known.
        status: Option<i32>,
    },
    /// No answer: the body is what shipped code has printed. It comes before the answer of the call that printed it; its id is
    /// [`NO_REQUEST`](crate::NO_REQUEST).
    Printed {
        /// Whether it is standard error, and not standard output.
        is_error: bool,
    },
    /// No answer: shipped code calls a function that this controller has defined, and waits for a [`Request::CalledBack`] of this id, which
    /// is one from [`FIRST_CALLBACK`](crate::FIRST_CALLBACK) on.
    CallBack {
        /// The request in which it is called; [`NO_REQUEST`](crate::NO_REQUEST) if that is none of this connection, or the code runs on a thread
        /// of its own.
        request: u64,
        /// The controller's number for the function.
        number: u64,
        /// What is passed: numbers and addresses.
        arguments: Vec<Value>,
    },
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

/// A kind of reason. After the first two, and after [`ErrorKind::Refused`], the executor closes the connection.
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
    /// It had not begun when it was cancelled.
    Cancelled,
    /// No such buffer or prepared function on this connection, or not as large as that.
    UnknownBuffer,
    /// The connection does not pass files.
    NoFile,
    /// Loading the image would run its code.
    RunsCode,
    /// The function was called, and its process ended.
    Crashed,
    /// The function took too long, and its process was ended.
    TimedOut,
    /// The image has crashed too often.
    Quarantined,
    /// As many calls run as may.
    Busy,
    /// The executor does not serve the connection: it has as many as it takes, or nothing said in time who is there.
    NotServed,
    /// The executor's policy does not let the image in, or does not let it have an import, or does not let this be asked.
    Refused,
    /// The function was called, and a function of a controller's that it called back failed.
    CallBack,
    /// The executor is stopping. It was not begun; nor, as its last word, was anything that has no answer.
    Stopping,
}
