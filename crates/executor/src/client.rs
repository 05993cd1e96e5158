//! A controller's view of an executor.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farcall_image::{Bundle, CpuFeatures, Digest, Image, Machine};
use farcall_loader::SealedFile;
use farcall_loader::invoke::Value;
use farcall_protocol::{
    Callee, DEFAULT_FRAME_LIMIT, Definition, Hello, ModuleInfo, ModuleName, NO_REQUEST, Order,
    Request, Response, Symbol, decode,
};

use crate::argument::Argument;
use crate::channel::{Channel, Haste, Interest, Side, Word};
use crate::closures::Closures;
use crate::dock::Pier;
use crate::exchange::Encoded;
use crate::patience::Patience;
use crate::pending::{Pending, returned};
use crate::remote::RemoteFunction;
use crate::traffic::Traffic;
use crate::transport::Connection;
use crate::{Address, Error, Result, Service, Timeouts};

/// An executor, over one connection. Clones share the connection.
///
/// Any thread may use it, several at a time: requests go out one after the other, and each thread waits for its own answer.
/// Requests are done in the order in which they were sent, but for calls that are to run [at the same time](Order::Concurrent).
#[derive(Clone)]
pub struct Executor {
    pub(crate) shared: Arc<Shared>,
}

/// What the clones of an executor share.
pub(crate) struct Shared {
    pub(crate) channel: Arc<Channel>,
    hello: Hello,
    /// Modules that are known to be loaded there. They may have been unloaded since.
    known: Mutex<HashSet<Digest>>,
    pub(crate) last_id: AtomicU64,
    pub(crate) closures: Closures,
    /// Bytes of images in memory that were handed over.
    pub(crate) passed: AtomicU64,
    /// Through which large images go.
    pub(crate) pier: Mutex<Pier>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The threads for futures have the channel too.
        if self.channel.is_asynchronous() {
            self.channel.close();
        }
    }
}

/// How to load an image.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadOptions<'a> {
    /// A name for the module, of up to 256 bytes, by which any controller can call it; empty for
    /// none.
    pub name: &'a str,
    /// The modules to import from, in this order; `None` for all that are loaded, oldest first.
    pub scope: Option<&'a [Digest]>,
    /// The file in memory that the image's bytes are in, if they are: those of [`SealedFile::bytes`]. A large image then is copied for no
    /// executor of this machine, while without one it is written to a file for each. Of other bytes it is ignored.
    pub file: Option<&'a SealedFile>,
}

/// A module in an executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteModule {
    /// The digest of its image, which stands for it.
    pub digest: Digest,
    /// Whether it had been loaded before.
    pub was_loaded: bool,
    /// Whether its image had to be sent.
    pub was_sent: bool,
}

impl Executor {
    /// Connects to the executor at `address`.
    ///
    /// # Errors
    ///
    /// When nobody listens there, what listens has not said within 10 seconds that it is an executor of this protocol version, or it
    /// has as many connections as it serves.
    pub fn connect(address: &Address) -> Result<Self> {
        Self::connect_with(address, Timeouts::default())
    }

    /// Speaks to an executor through any pair of streams. Of a child's standard output and input [`Connection::pipes`] makes a
    /// connection on which several requests can be on their way.
    ///
    /// # Errors
    ///
    /// When it is not an executor of this protocol version.
    pub fn over(
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
    ) -> Result<Self> {
        Self::speak(Connection::streams(reader, writer))
    }

    /// Starts an executor on a thread of this process and connects to it: all of the way but the
    /// other process, for tests and first steps. It ends with the connection.
    ///
    /// # Errors
    ///
    /// When the system has no more sockets or threads.
    pub fn local() -> Result<Self> {
        let start = || {
            let (controller, executor) = UnixStream::pair()?;
            let serve = move || {
                // What ends the connection, the controller's end of it reports too.
                let _ = Service::default().serve(Connection::unix(executor));
            };
            std::thread::Builder::new()
                .name("executor".to_owned())
                .spawn(serve)?;
            io::Result::Ok(controller)
        };
        let stream = start().map_err(Error::system("start an executor"))?;
        Self::speak(Connection::unix(stream))
    }

    /// Speaks to an executor over a connection.
    ///
    /// # Errors
    ///
    /// When it has not said within 10 seconds that it is an executor of this protocol version, or has as many connections as it serves.
    /// Of [streams](Connection::streams) nobody can tell whether something comes, so on these it may take as long as it wants.
    pub fn speak(connection: Connection) -> Result<Self> {
        Self::speak_within(connection, Timeouts::default().greeting)
    }

    /// Speaks to an executor that has to say who it is within this time.
    pub(crate) fn speak_within(connection: Connection, time: Duration) -> Result<Self> {
        let patience = Patience::of(&connection, time);
        let channel = Channel::new(Side::Controller(read_word), connection);
        let mut own = Vec::new();
        let hello = Hello {
            software: concat!("farcall ", env!("CARGO_PKG_VERSION")).to_owned(),
            machine: String::new(),
            features: 0,
            frame_limit: DEFAULT_FRAME_LIMIT,
            docks: false,
            modules: Vec::new(),
        };
        hello.encode(&mut own)?;
        // What it says of itself is worth more than that it does not listen.
        let sent = channel.send(&own, &[], Haste::Now);
        let hello = channel.greet(patience, DEFAULT_FRAME_LIMIT, |payload| {
            let hello = Hello::decode(payload)?;
            let limit = hello.frame_limit;
            Ok((hello, limit))
        })?;
        sent?;
        let hello = hello.ok_or(Error::Closed { in_frame: false })?;
        Ok(Self {
            shared: Arc::new(Shared {
                channel: Arc::new(channel),
                known: Mutex::new(hello.modules.iter().copied().collect()),
                hello,
                last_id: AtomicU64::new(NO_REQUEST),
                closures: Closures::default(),
                passed: AtomicU64::new(0),
                pier: Mutex::default(),
            }),
        })
    }

    /// What the executor said of itself when it was connected to.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.shared.hello
    }

    /// How much has been said so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let (sent, received) = self.shared.channel.traffic();
        Traffic {
            sent,
            passed: self.shared.passed.load(Ordering::Relaxed),
            received,
            requests: self.shared.last_id.load(Ordering::Relaxed),
        }
    }

    /// The image of a bundle that uses most of the executor's CPU, of those that can run there: for
    /// [`Executor::load`], which sends that one alone.
    ///
    /// Nothing is asked: the executor said what its CPU has when it was connected to.
    ///
    /// # Errors
    ///
    /// [`Error::Image`] when its CPU can run none, with what it lacks for each, or the one chosen is not an image;
    /// [`Error::Machine`] when it is on a machine that this farcall does not know.
    pub fn choose<'data>(&self, bundle: &Bundle<'data>) -> Result<Image<'data>> {
        choose(bundle, &self.hello().machine, self.hello().features)
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, HashSet<Digest>> {
        (self.shared.known.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    /// Defines a symbol for the images that are loaded from now on, and gives its value. The last
    /// definition of a name wins.
    ///
    /// `value_type` is its type in LLVM's syntax: a function's is compared with that of each import
    /// that is bound to it. To define memory, see [`Executor::define_bytes`].
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when a module or its export does not exist, or the type is none.
    pub fn define(
        &self,
        name: &str,
        value_type: Option<&str>,
        definition: Definition<'_>,
    ) -> Result<u64> {
        self.send_definition(name, value_type, definition, &[])
    }

    /// Defines a variable that holds `bytes`, 64-byte aligned, and gives its address there.
    ///
    /// It stays while the name is not defined anew, or a module that imports it is loaded. Shipped
    /// code is only to read it.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when there is not enough memory.
    pub fn define_bytes(&self, name: &str, bytes: &[u8]) -> Result<u64> {
        self.send_definition(name, None, Definition::Bytes, bytes)
    }

    fn send_definition(
        &self,
        name: &str,
        value_type: Option<&str>,
        definition: Definition<'_>,
        body: &[u8],
    ) -> Result<u64> {
        let request = Request::Define {
            name,
            value_type,
            definition,
        };
        match self.ask(&request, &[body])?.response {
            Response::Defined { address } => Ok(address),
            _ => Err(out_of_place()),
        }
    }

    /// Finds an export of a module.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when there is no such module or export.
    pub fn lookup<'a>(&self, module: impl Into<ModuleName<'a>>, name: &'a str) -> Result<Symbol> {
        let module = module.into();
        match self.ask(&Request::Lookup { module, name }, &[])?.response {
            Response::Found(symbol) => Ok(symbol),
            _ => Err(out_of_place()),
        }
    }

    /// Finds a function of a module for many calls, which need not find it again, and which are typed by their arguments and result
    /// if that is wanted.
    ///
    /// `signature` is its type in LLVM's syntax; `None` is for images whose manifest knows it. The module stays loaded as long as the
    /// function is there.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when there is no such module or function, or the function is of another type.
    pub fn function<'a>(
        &self,
        module: impl Into<ModuleName<'a>>,
        function: &'a str,
        signature: Option<&'a str>,
    ) -> Result<RemoteFunction> {
        let request = Request::Prepare {
            module: module.into(),
            function,
            signature,
        };
        match self.ask(&request, &[])?.response {
            Response::Prepared { function } => Ok(RemoteFunction::new(self.clone(), function)),
            _ => Err(out_of_place()),
        }
    }

    /// Calls a function of a module, given by its [`RemoteModule`], digest or name, and waits until
    /// it has returned.
    ///
    /// `signature` is its type in LLVM's syntax, such as `i32 (i32, ptr)`; `None` is for images
    /// whose manifest knows it.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when there is no such function or the arguments do not fit it: then it was
    /// not called. When the connection fails, it may have been.
    pub fn call<'a>(
        &self,
        module: impl Into<ModuleName<'a>>,
        function: &'a str,
        signature: Option<&'a str>,
        arguments: &mut [Argument<'_>],
    ) -> Result<Value> {
        let function = Callee::Export {
            module: module.into(),
            name: function,
            signature,
        };
        let id = self.send_call(function, Order::InTurn, Interest::Awaited, arguments)?;
        returned(&self.answer(id)?, arguments)
    }

    /// Sends a call, and does not wait: see [`Pending`].
    ///
    /// # Errors
    ///
    /// When the connection fails, or the executor does not take as much.
    pub fn start_call<'a>(
        &self,
        module: impl Into<ModuleName<'a>>,
        function: &'a str,
        signature: Option<&'a str>,
        order: Order,
        arguments: &[Argument<'_>],
    ) -> Result<Pending> {
        let function = Callee::Export {
            module: module.into(),
            name: function,
            signature,
        };
        let id = self.send_call(function, order, Interest::Sent, arguments)?;
        Ok(Pending::new(self.clone(), id))
    }

    pub(crate) fn send_call(
        &self,
        function: Callee<'_>,
        order: Order,
        interest: Interest,
        arguments: &[Argument<'_>],
    ) -> Result<u64> {
        let request = call_of(function, order, arguments);
        let body: Vec<&[u8]> = arguments.iter().map(Argument::sent).collect();
        self.send_for(interest, &request, &body, None)
    }

    /// A call as it is sent.
    pub(crate) fn encoded_call<'a>(
        &self,
        function: Callee<'_>,
        order: Order,
        arguments: &'a [Argument<'_>],
    ) -> Result<Encoded<'a>> {
        let request = call_of(function, order, arguments);
        self.encoded(&request, arguments.iter().map(Argument::sent).collect())
    }

    /// Unloads a module.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when there is no such module, another one imports from it, a function of it is prepared or a call into it
    /// is running.
    pub fn unload<'a>(&self, module: impl Into<ModuleName<'a>>) -> Result<()> {
        let module = module.into();
        self.done(&Request::Unload { module }, &[])?;
        if let ModuleName::Digest(digest) = module {
            self.known().remove(&digest);
        }
        Ok(())
    }

    /// Lists the modules, in the order in which they were loaded. Those that others load or unload
    /// in the meantime may be missing or listed twice.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub fn list(&self) -> Result<Vec<ModuleInfo>> {
        let mut all = Vec::new();
        loop {
            let skip = size(all.len());
            let Response::Modules { modules, n_total } =
                self.ask(&Request::List { skip }, &[])?.response
            else {
                return Err(out_of_place());
            };
            let is_end = modules.is_empty() || skip + size(modules.len()) >= n_total;
            let mut known = self.known();
            known.extend(modules.iter().map(|module| module.digest));
            drop(known);
            all.extend(modules);
            if is_end {
                return Ok(all);
            }
        }
    }

    /// Reads memory of the executor's process, such as what a callback was given the address of.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when it is not all readable.
    pub fn peek(&self, address: u64, n_bytes: usize) -> Result<Vec<u8>> {
        let request = Request::Peek {
            address,
            size: size(n_bytes),
        };
        self.bytes(&request, n_bytes)
    }

    /// Writes to memory of the executor's process.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when it is not all writable; then some of it may have been written.
    pub fn poke(&self, address: u64, bytes: &[u8]) -> Result<()> {
        self.done(&Request::Poke { address }, &[bytes])
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor")
            .field("hello", &self.shared.hello)
            .field("traffic", &self.traffic())
            .finish_non_exhaustive()
    }
}

impl<'a> From<&'a RemoteModule> for ModuleName<'a> {
    fn from(module: &'a RemoteModule) -> Self {
        Self::Digest(module.digest)
    }
}

fn read_word(payload: &[u8]) -> farcall_protocol::Result<Word> {
    let received = decode(payload)?;
    Ok(match received.message {
        Response::Failed(failure) => Word::Last(failure),
        Response::Printed { is_error } => Word::Printed {
            is_error,
            n_bytes: received.body.len(),
        },
        _ => Word::Other,
    })
}

fn call_of<'a>(function: Callee<'a>, order: Order, arguments: &[Argument<'_>]) -> Request<'a> {
    Request::Call {
        function,
        arguments: arguments.iter().map(Argument::on_the_wire).collect(),
        order,
    }
}

/// The image of a bundle for a CPU, given as an executor's hello says it.
pub(crate) fn choose<'data>(
    bundle: &Bundle<'data>,
    machine: &str,
    features: u128,
) -> Result<Image<'data>> {
    let machine = Machine::from_name(machine).ok_or_else(|| Error::Machine {
        machine: machine.to_owned(),
    })?;
    // No CPU has what has no number, whatever it says.
    let features = CpuFeatures::from_bits(features);
    let features = features.without(CpuFeatures::UNNUMBERED);
    Ok(bundle.choose(machine, features)?)
}

pub(crate) fn out_of_place() -> Error {
    Error::OutOfPlace {
        what: "an answer of another kind",
    }
}

/// Lossless: farcall runs where a size has at most 64 bits.
pub(crate) fn size(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
