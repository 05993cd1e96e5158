//! A controller's view of an executor.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use farcall_image::{Bundle, CpuFeatures, Digest, Image, Machine};
use farcall_loader::invoke::Value;
use farcall_protocol::{
    DEFAULT_FRAME_LIMIT, Definition, Deframer, Failure, HELLO_LIMIT, Hello, ModuleInfo, ModuleName,
    NO_REQUEST, Request, Response, Symbol, decode, encode,
};

use crate::listener::Connection;
use crate::serve::{next_payload, write_frame};
use crate::{Address, Error, Result, Service};

/// An image up to this size, in bytes, is sent along with the question whether it is there: that
/// costs less than a second round trip.
const SMALL_IMAGE: usize = 64 << 10;

/// A connection to an executor. One request at a time; for several at once, connect several times.
pub struct Executor {
    connection: Connection,
    deframer: Deframer,
    hello: Hello,
    /// Modules that are known to be loaded there. They may have been unloaded since.
    known: HashSet<Digest>,
    last_id: u64,
    traffic: Traffic,
}

/// How much has been said on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// Requests made: one round trip each.
    pub requests: u64,
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

/// An argument of a call.
#[derive(Debug)]
pub enum Argument<'a> {
    /// For an integer parameter of up to 64 bits, truncated to its width.
    Int(u64),
    /// For a `float` parameter.
    Float(f32),
    /// For a `double` parameter.
    Double(f64),
    /// For a `ptr` parameter: an address in the executor's process.
    Pointer(u64),
    /// For a `ptr` parameter: the address of a copy of these bytes.
    In(&'a [u8]),
    /// For a `ptr` parameter: the address of as many zero bytes, which are copied here when the
    /// function has returned.
    Out(&'a mut [u8]),
    /// For a `ptr` parameter: the address of a copy of these bytes, which is copied back here when
    /// the function has returned.
    InOut(&'a mut [u8]),
}

impl Executor {
    /// Connects to the executor at `address`.
    ///
    /// # Errors
    ///
    /// When nobody listens there, what listens stays silent for 10 seconds, or it is not an executor
    /// of this protocol version.
    pub fn connect(address: &Address) -> Result<Self> {
        let (connection, patience) = Connection::to(address)?;
        let executor = Self::greet(connection).map_err(|error| match error {
            Error::Connection(source) if source.kind() == io::ErrorKind::WouldBlock => {
                Error::Silent {
                    address: address.clone(),
                }
            }
            other => other,
        })?;
        patience.without_limit()?;
        Ok(executor)
    }

    /// Speaks to an executor through any pair of streams, such as the standard input and output of
    /// a child.
    ///
    /// # Errors
    ///
    /// When it is not an executor of this protocol version.
    pub fn over(
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
    ) -> Result<Self> {
        Self::greet(Connection {
            reader: Box::new(reader),
            writer: Box::new(writer),
        })
    }

    /// Starts an executor on a thread of this process and connects to it: all of the way but the
    /// other process, for tests and first steps. It ends with the connection.
    ///
    /// # Errors
    ///
    /// When the system has no more sockets or threads.
    pub fn local() -> Result<Self> {
        let start = || {
            let (controller, mut executor) = UnixStream::pair()?;
            let mut reader = executor.try_clone()?;
            let serve = move || {
                // What ends the connection, the controller's end of it reports too.
                let _ = Service::default().serve(&mut reader, &mut executor);
            };
            std::thread::Builder::new()
                .name("executor".to_owned())
                .spawn(serve)?;
            io::Result::Ok((controller.try_clone()?, controller))
        };
        let (reader, writer) = start().map_err(Error::system("start an executor"))?;
        Self::over(reader, writer)
    }

    fn greet(mut connection: Connection) -> Result<Self> {
        let mut own = Vec::new();
        let hello = Hello {
            software: concat!("farcall ", env!("CARGO_PKG_VERSION")).to_owned(),
            machine: String::new(),
            features: 0,
            frame_limit: DEFAULT_FRAME_LIMIT,
            modules: Vec::new(),
        };
        hello.encode(&mut own)?;
        connection.writer.write_all(&own)?;
        connection.writer.flush()?;

        let mut deframer = Deframer::new(HELLO_LIMIT);
        let payload = next_payload(&mut deframer, &mut connection.reader)?
            .ok_or(Error::Closed { in_frame: false })?;
        let traffic = Traffic {
            sent: size(own.len()),
            received: frame_size(payload),
            requests: 0,
        };
        let hello = Hello::decode(payload)?;
        deframer.set_limit(DEFAULT_FRAME_LIMIT);
        Ok(Self {
            connection,
            deframer,
            known: hello.modules.iter().copied().collect(),
            hello,
            last_id: NO_REQUEST,
            traffic,
        })
    }

    /// What the executor said of itself when it was connected to.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// How much has been said so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.traffic
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
        let name = &self.hello.machine;
        let machine = Machine::from_name(name).ok_or_else(|| Error::Machine {
            machine: name.clone(),
        })?;
        // No CPU has what has no number, whatever it says.
        let features = CpuFeatures::from_bits(self.hello.features);
        let features = features.without(CpuFeatures::UNNUMBERED);
        Ok(bundle.choose(machine, features)?)
    }

    /// Loads an image, with no name and all modules in scope.
    ///
    /// # Errors
    ///
    /// As [`Executor::load_with`].
    pub fn load(&mut self, image: &Image<'_>) -> Result<RemoteModule> {
        self.load_with(image, LoadOptions::default())
    }

    /// Loads an image. Its bytes are sent only when the executor has no module of its digest; then
    /// nothing is loaded and the module that is there has the scope that it was loaded with.
    ///
    /// A small image takes one round trip, a large one that is not there two.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when it cannot be loaded; nothing of it is left there.
    pub fn load_with(
        &mut self,
        image: &Image<'_>,
        options: LoadOptions<'_>,
    ) -> Result<RemoteModule> {
        let digest = image.digest();
        let bytes = image.bytes();
        let request = Request::Load {
            digest,
            size: size(bytes.len()),
            name: options.name,
            scope: options.scope.map(<[Digest]>::to_vec),
        };
        let body = [bytes];
        let mut was_sent = bytes.len() <= SMALL_IMAGE && !self.known.contains(&digest);
        let mut response = self.ask(&request, if was_sent { &body } else { &[] })?.0;
        if response == Response::Needed && !was_sent {
            was_sent = true;
            response = self.ask(&request, &body)?.0;
        }
        let Response::Loaded { was_loaded } = response else {
            return Err(out_of_place());
        };
        self.known.insert(digest);
        Ok(RemoteModule {
            digest,
            was_loaded,
            was_sent,
        })
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
        &mut self,
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
    pub fn define_bytes(&mut self, name: &str, bytes: &[u8]) -> Result<u64> {
        self.send_definition(name, None, Definition::Bytes, bytes)
    }

    fn send_definition(
        &mut self,
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
        match self.ask(&request, &[body])?.0 {
            Response::Defined { address } => Ok(address),
            _ => Err(out_of_place()),
        }
    }

    /// Finds an export of a module.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when there is no such module or export.
    pub fn lookup<'a>(
        &mut self,
        module: impl Into<ModuleName<'a>>,
        name: &'a str,
    ) -> Result<Symbol> {
        let module = module.into();
        match self.ask(&Request::Lookup { module, name }, &[])?.0 {
            Response::Found(symbol) => Ok(symbol),
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
        &mut self,
        module: impl Into<ModuleName<'a>>,
        function: &'a str,
        signature: Option<&'a str>,
        arguments: &mut [Argument<'_>],
    ) -> Result<Value> {
        let request = Request::Call {
            module: module.into(),
            function,
            signature,
            arguments: arguments.iter().map(Argument::on_the_wire).collect(),
        };
        let body: Vec<&[u8]> = arguments.iter().map(Argument::sent).collect();
        let (response, mut body) = self.ask(&request, &body)?;
        let Response::Returned { value } = response else {
            return Err(out_of_place());
        };
        for argument in arguments {
            if let Argument::Out(buffer) | Argument::InOut(buffer) = argument {
                let (bytes, rest) = (body.split_at_checked(buffer.len()))
                    .ok_or(Error::OutOfPlace { what: BUFFERS })?;
                buffer.copy_from_slice(bytes);
                body = rest;
            }
        }
        if !body.is_empty() {
            return Err(Error::OutOfPlace { what: BUFFERS });
        }
        Ok(loaders_value(value))
    }

    /// Unloads a module.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when there is no such module, another one imports from it or a call into it
    /// is running.
    pub fn unload<'a>(&mut self, module: impl Into<ModuleName<'a>>) -> Result<()> {
        let module = module.into();
        match self.ask(&Request::Unload { module }, &[])?.0 {
            Response::Unloaded => {
                if let ModuleName::Digest(digest) = module {
                    self.known.remove(&digest);
                }
                Ok(())
            }
            _ => Err(out_of_place()),
        }
    }

    /// Lists the modules, in the order in which they were loaded. Those that others load or unload
    /// in the meantime may be missing or listed twice.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub fn list(&mut self) -> Result<Vec<ModuleInfo>> {
        let mut all = Vec::new();
        loop {
            let skip = size(all.len());
            let response = self.ask(&Request::List { skip }, &[])?.0;
            let Response::Modules { modules, n_total } = response else {
                return Err(out_of_place());
            };
            let is_end = modules.is_empty() || skip + size(modules.len()) >= n_total;
            self.known
                .extend(modules.iter().map(|module| module.digest));
            all.extend(modules);
            if is_end {
                return Ok(all);
            }
        }
    }

    /// Waits for an answer that says nothing else.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub fn ping(&mut self) -> Result<()> {
        match self.ask(&Request::Ping, &[])?.0 {
            Response::Pong => Ok(()),
            _ => Err(out_of_place()),
        }
    }

    /// Sends a request with its body, and gives the response with its own.
    fn ask(&mut self, request: &Request<'_>, body: &[&[u8]]) -> Result<(Response, &[u8])> {
        self.last_id += 1;
        let body_size = body.iter().map(|part| part.len()).sum();
        let mut head = Vec::new();
        encode(
            &mut head,
            self.last_id,
            request,
            body_size,
            self.hello.frame_limit,
        )?;
        self.traffic.requests += 1;
        self.traffic.sent += size(head.len()) + size(body_size);
        let written = write_frame(&mut self.connection.writer, head, body);

        // Even when it could not all be written: what the executor says of it is worth more.
        let payload = match next_payload(&mut self.deframer, &mut self.connection.reader) {
            Ok(Some(payload)) => payload,
            other => {
                written?;
                other?;
                return Err(Error::Closed { in_frame: false });
            }
        };
        self.traffic.received += frame_size(payload);
        let response = decode::<Response>(payload)?;
        match response.message {
            Response::Failed(failure) if [self.last_id, NO_REQUEST].contains(&response.id) => {
                Err(Error::Failed(failure))
            }
            message if response.id == self.last_id => Ok((message, response.body)),
            _ => Err(Error::OutOfPlace {
                what: "an answer to another request",
            }),
        }
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor")
            .field("hello", &self.hello)
            .field("traffic", &self.traffic)
            .finish_non_exhaustive()
    }
}

impl Argument<'_> {
    fn on_the_wire(&self) -> farcall_protocol::Argument {
        use farcall_protocol::Argument as Wire;
        match self {
            Self::Int(value) => Wire::Int(*value),
            Self::Float(value) => Wire::Float(*value),
            Self::Double(value) => Wire::Double(*value),
            Self::Pointer(value) => Wire::Pointer(*value),
            Self::In(bytes) => Wire::In {
                size: size(bytes.len()),
            },
            Self::Out(bytes) => Wire::Out {
                size: size(bytes.len()),
            },
            Self::InOut(bytes) => Wire::InOut {
                size: size(bytes.len()),
            },
        }
    }

    /// The bytes that go with the request.
    fn sent(&self) -> &[u8] {
        match self {
            Self::In(bytes) => bytes,
            Self::InOut(bytes) => bytes,
            _ => &[],
        }
    }
}

impl<'a> From<&'a RemoteModule> for ModuleName<'a> {
    fn from(module: &'a RemoteModule) -> Self {
        Self::Digest(module.digest)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

const BUFFERS: &str = "an answer with buffers of another size";

fn out_of_place() -> Error {
    Error::OutOfPlace {
        what: "an answer of another kind",
    }
}

/// Lossless: farcall runs where a size has at most 64 bits.
fn size(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The size in bytes of the frame with this payload.
fn frame_size(payload: &[u8]) -> u64 {
    size(farcall_protocol::LENGTH_SIZE + payload.len())
}

fn loaders_value(value: farcall_protocol::Value) -> Value {
    use farcall_protocol::Value as Wire;
    match value {
        Wire::Void => Value::Void,
        Wire::Int { bits, value } => Value::Int { bits, value },
        Wire::Float(value) => Value::Float(value),
        Wire::Double(value) => Value::Double(value),
        Wire::Pointer(value) => Value::Pointer(value),
    }
}
