//! A controller's view of an executor.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farcall_image::{Bundle, CpuFeatures, Digest, Image, Machine};
use farcall_loader::SealedFile;
use farcall_loader::invoke::Value;
use farcall_protocol::{
    Callee, DEFAULT_FRAME_LIMIT, Definition, Failure, Form, Frame, Hello, MAX_ANNOUNCED_MODULES,
    ModuleInfo, ModuleName, NO_REQUEST, Order, Request, Response, Statistics, Symbol, decode,
    encode,
};

use crate::argument::Argument;
use crate::channel::{Channel, Event, Haste, Side};
use crate::listener::connect;
use crate::pending::{Pending, PendingLoad};
use crate::remote::RemoteFunction;
use crate::remote_buffer::RemoteBuffer;
use crate::traffic::Traffic;
use crate::transport::Connection;
use crate::{Address, Error, Result, Service, compress};

/// An image of this size or more, in bytes, goes in a file in memory where files can be passed.
const LARGE_IMAGE: usize = 64 << 10;

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
    pub(crate) channel: Channel,
    hello: Hello,
    /// Modules that are known to be loaded there. They may have been unloaded since.
    known: Mutex<HashSet<Digest>>,
    last_id: AtomicU64,
    /// Bytes of files in memory that were handed over.
    passed: AtomicU64,
}

/// How to load an image.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadOptions<'a> {
    /// A name for the module, of up to 256 bytes, by which any controller can call it; empty for
    /// none.
    pub name: &'a str,
    /// The modules to import from, in this order; `None` for all that are loaded, oldest first.
    pub scope: Option<&'a [Digest]>,
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

/// An answer, with its body.
pub(crate) struct Answer {
    pub(crate) response: Response,
    frame: Frame,
    n_head: usize,
}

impl Answer {
    pub(crate) fn read(frame: Frame) -> Result<Self> {
        let received = decode::<Response>(&frame)?;
        let n_head = frame.len() - received.body.len();
        match received.message {
            Response::Failed(failure) => Err(Error::Failed(failure)),
            response => Ok(Self {
                response,
                frame,
                n_head,
            }),
        }
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.frame[self.n_head..]
    }
}

impl Executor {
    /// Connects to the executor at `address`.
    ///
    /// # Errors
    ///
    /// When nobody listens there, what listens stays silent for 10 seconds, or it is not an executor
    /// of this protocol version.
    pub fn connect(address: &Address) -> Result<Self> {
        let (connection, patience) = connect(address)?;
        let executor = Self::speak(connection).map_err(|error| match error {
            Error::Connection(source) if source.kind() == io::ErrorKind::WouldBlock => {
                Error::Silent {
                    address: address.clone(),
                }
            }
            other => other,
        })?;
        drop(patience);
        Ok(executor)
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
    /// When it is not an executor of this protocol version.
    pub fn speak(connection: Connection) -> Result<Self> {
        let channel = Channel::new(Side::Controller(last_word), connection);
        let mut own = Vec::new();
        let hello = Hello {
            software: concat!("farcall ", env!("CARGO_PKG_VERSION")).to_owned(),
            machine: String::new(),
            features: 0,
            frame_limit: DEFAULT_FRAME_LIMIT,
            modules: Vec::new(),
        };
        hello.encode(&mut own)?;
        // What it says of itself is worth more than that it does not listen.
        let sent = channel.send(&own, &[], Haste::Now);
        let hello = channel.greet(DEFAULT_FRAME_LIMIT, |payload| {
            let hello = Hello::decode(payload)?;
            let limit = hello.frame_limit;
            Ok((hello, limit))
        })?;
        sent?;
        let hello = hello.ok_or(Error::Closed { in_frame: false })?;
        Ok(Self {
            shared: Arc::new(Shared {
                channel,
                known: Mutex::new(hello.modules.iter().copied().collect()),
                hello,
                last_id: AtomicU64::new(NO_REQUEST),
                passed: AtomicU64::new(0),
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

    /// Loads an image, with no name and all modules in scope.
    ///
    /// # Errors
    ///
    /// As [`Executor::load_with`].
    pub fn load(&self, image: &Image<'_>) -> Result<RemoteModule> {
        self.load_with(image, LoadOptions::default())
    }

    /// Loads an image. Its bytes are sent unless the executor is known to have a module of its digest; then
    /// nothing is loaded and the module that is there has the scope that it was loaded with.
    ///
    /// One round trip; two when the executor no longer has the module, or has so many that it did not list all, and the image is
    /// large.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when it cannot be loaded; nothing of it is left there.
    pub fn load_with(&self, image: &Image<'_>, options: LoadOptions<'_>) -> Result<RemoteModule> {
        self.start_load(image, options)?.wait()
    }

    /// Begins to load an image, as [`Executor::load_with`] does. What is asked afterwards is done afterwards, so that a call can be
    /// sent without waiting for this: both take one round trip.
    ///
    /// # Errors
    ///
    /// When the connection fails, or the executor does not take as much.
    pub fn start_load<'a>(
        &self,
        image: &'a Image<'a>,
        options: LoadOptions<'a>,
    ) -> Result<PendingLoad<'a>> {
        let digest = image.digest();
        let is_large = image.bytes().len() >= LARGE_IMAGE;
        // Whether it has one that it did not list is worth a question where the answer may save much.
        let is_unsure = is_large && self.hello().modules.len() == MAX_ANNOUNCED_MODULES;
        let sends = !is_unsure && !self.known().contains(&digest);
        let id = self.send_image(image, options, sends)?;
        Ok(PendingLoad {
            executor: self.clone(),
            id: Some(id),
            image,
            options,
            was_sent: sends,
        })
    }

    /// Sends a request to load an image, with it or as an offer.
    pub(crate) fn send_image(
        &self,
        image: &Image<'_>,
        options: LoadOptions<'_>,
        sends: bool,
    ) -> Result<u64> {
        let bytes = image.bytes();
        let mut request = Request::Load {
            digest: image.digest(),
            size: size(bytes.len()),
            name: options.name,
            scope: options.scope.map(<[Digest]>::to_vec),
            form: Form::Plain,
        };
        if !sends {
            return self.send(&request, &[], None);
        }
        if bytes.len() >= LARGE_IMAGE && self.shared.channel.passes_files() {
            // Without files in memory it goes the other way.
            if let Ok(file) = SealedFile::create(bytes) {
                if let Request::Load { form, .. } = &mut request {
                    *form = Form::File;
                }
                let passed = &self.shared.passed;
                passed.fetch_add(size(bytes.len()), Ordering::Relaxed);
                return self.send(&request, &[], Some(&file));
            }
        }
        let packed = if self.shared.channel.is_far() {
            compress::pack(bytes)
        } else {
            None
        };
        let Some(packed) = packed else {
            return self.send(&request, &[bytes], None);
        };
        if let Request::Load { form, .. } = &mut request {
            *form = Form::Zstandard;
        }
        self.send(&request, &[&packed], None)
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
        self.start_call(module, function, signature, Order::InTurn, arguments)?
            .wait_into(arguments)
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
        self.send_call(function, order, arguments)
    }

    pub(crate) fn send_call(
        &self,
        function: Callee<'_>,
        order: Order,
        arguments: &[Argument<'_>],
    ) -> Result<Pending> {
        let request = Request::Call {
            function,
            arguments: arguments.iter().map(Argument::on_the_wire).collect(),
            order,
        };
        let body: Vec<&[u8]> = arguments.iter().map(Argument::sent).collect();
        let id = self.send(&request, &body, None)?;
        Ok(Pending::new(self.clone(), id))
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

    /// Waits for an answer that says nothing else: that the executor is well.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub fn ping(&self) -> Result<()> {
        self.done(&Request::Ping, &[])
    }

    /// What the executor has done so far, for all its controllers.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub fn statistics(&self) -> Result<Statistics> {
        match self.ask(&Request::Statistics, &[])?.response {
            Response::Statistics(statistics) => Ok(statistics),
            _ => Err(out_of_place()),
        }
    }

    /// Makes a buffer there, of zeros, for calls to use: see [`RemoteBuffer`].
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when there is not as much memory.
    pub fn allocate(&self, n_bytes: u64) -> Result<RemoteBuffer> {
        let request = Request::Allocate { size: n_bytes };
        match self.ask(&request, &[])?.response {
            Response::Allocated { buffer, address } => Ok(RemoteBuffer {
                executor: self.clone(),
                number: buffer,
                address,
                size: n_bytes,
            }),
            _ => Err(out_of_place()),
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

    /// Asks for what is answered by bytes.
    pub(crate) fn bytes(&self, request: &Request<'_>, n_bytes: usize) -> Result<Vec<u8>> {
        let answer = self.ask(request, &[])?;
        match answer.response {
            Response::Bytes if answer.body().len() == n_bytes => Ok(answer.body().to_vec()),
            _ => Err(out_of_place()),
        }
    }

    /// Asks for what is answered by its being done.
    pub(crate) fn done(&self, request: &Request<'_>, body: &[&[u8]]) -> Result<()> {
        match self.ask(request, body)?.response {
            Response::Done => Ok(()),
            _ => Err(out_of_place()),
        }
    }

    /// Sends a request with its body, and gives the answer.
    fn ask(&self, request: &Request<'_>, body: &[&[u8]]) -> Result<Answer> {
        let id = self.send(request, body, None)?;
        self.answer(id)
    }

    /// Sends a request with its body, and a file. Gives its id.
    pub(crate) fn send(
        &self,
        request: &Request<'_>,
        body: &[&[u8]],
        file: Option<&OwnedFd>,
    ) -> Result<u64> {
        let shared = &self.shared;
        let id = 1 + shared.last_id.fetch_add(1, Ordering::Relaxed);
        let body_size = body.iter().map(|part| part.len()).sum();
        let mut head = Vec::new();
        encode(
            &mut head,
            id,
            request,
            body_size,
            shared.channel.peer_limit(),
        )?;
        let file = file.map(|file| file.as_fd());
        if let Err(error) = shared.channel.request(id, &head, body, file) {
            let has_ended = matches!(&error, Error::Connection(source)
                if matches!(source.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset));
            if !has_ended {
                // Such as a file that the system does not pass on: no answer comes.
                shared.channel.abandon(id);
                return Err(error);
            }
            // What the executor says of it, before it went, is worth more.
            return match self.answer(id) {
                Err(Error::Failed(failure)) => Err(Error::Failed(failure)),
                _ => Err(error),
            };
        }
        Ok(id)
    }

    /// Waits for the answer to a request.
    pub(crate) fn answer(&self, id: u64) -> Result<Answer> {
        match self.shared.channel.wait(Some(id), false)? {
            Some(Event::Answer(frame)) => Answer::read(frame),
            _ => Err(Error::Closed { in_frame: false }),
        }
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

impl Executor {
    /// Sends a request whose answer nobody waits for.
    pub(crate) fn send_and_forget(&self, request: &Request<'_>) {
        // A connection that has ended has freed everything.
        if let Ok(id) = self.send(request, &[], None) {
            self.shared.channel.abandon(id);
        }
    }
}

impl<'a> From<&'a RemoteModule> for ModuleName<'a> {
    fn from(module: &'a RemoteModule) -> Self {
        Self::Digest(module.digest)
    }
}

fn last_word(payload: &[u8]) -> farcall_protocol::Result<Option<Failure>> {
    Ok(match decode(payload)?.message {
        Response::Failed(failure) => Some(failure),
        _ => None,
    })
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
