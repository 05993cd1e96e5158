//! A controller's view of a bare executor: a process that offers memory and calls, and has no loader.
//!
//! What a loader does there is done here, and the bytes that are sent are final.

mod error;
mod module;
mod steps;

use std::collections::HashMap;
use std::fmt;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use farcall_image::{Bundle, CpuFeatures, Image, Machine};
use farcall_loader::invoke::Value;
use farcall_loader::{cpu, place_unresolved};
use farcall_protocol::{
    BareHello, DEFAULT_FRAME_LIMIT, Failure, HELLO_LIMIT, NO_REQUEST, Outcome, Outcomes, Step,
    decode, encode,
};

use crate::argument::take_buffers;
use crate::channel::{Channel, Event, Haste, Interest, Others, Side, Wanted, Word};
use crate::client::{choose, out_of_place};
use crate::patience::Patience;
use crate::{Address, Argument, Connection, Error, Result, Timeouts, Traffic};

pub use error::BareError;
pub use module::PlacedModule;

use module::{Call, HOST_FUNCTIONS, define, wanted};
use steps::{Steps, parts};

/// A connection to a bare executor, which has no loader: images are placed here, and what is sent are their final
/// bytes. One request at a time.
///
/// Placing an image takes two round trips: one to reserve memory and to look up what it imports, one to write and protect
/// it and to run its constructors. An image with indirect functions takes one more, because its code says which they are;
/// one that is larger than half of the frames that the executor takes, one for each half. What has been placed stays when
/// the connection ends.
///
/// # Examples
///
/// ```no_run
/// use farcall_executor::{Address, BareExecutor, PlaceOptions, Value};
/// use farcall_image::Image;
///
/// let bytes = std::fs::read("five.image")?;
/// let image = Image::parse(&bytes)?;
///
/// let process = BareExecutor::connect(&"unix:/run/plugin.sock".parse::<Address>()?)?;
/// let module = process.place(&image, PlaceOptions::default())?;
/// let five = process.call(&module, "five", Some("i32 ()"), &mut [])?;
/// assert_eq!(five, Value::Int { bits: 32, value: 5 });
/// process.free(module)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BareExecutor {
    channel: Channel,
    hello: BareHello,
    last_id: AtomicU64,
}

/// What an image imports from: definitions, then modules that have been placed, then the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlaceOptions<'a> {
    /// Names and their addresses in the executor's process, or any other number.
    pub definitions: &'a [(&'a str, u64)],
    /// Modules of this executor, in this order. They have to stay as long as the one that imports.
    pub modules: &'a [&'a PlacedModule<'a>],
}

/// A call that is to be made as soon as an image has been started.
#[derive(Clone, Copy)]
struct Wish<'a> {
    function: &'a str,
    signature: Option<&'a str>,
    arguments: &'a [Argument<'a>],
}

/// What an executor says to steps.
#[derive(Debug, Default)]
struct Answer {
    done: Vec<Outcome>,
    failure: Option<Failure>,
    body: Vec<u8>,
}

impl Answer {
    /// The outcomes of all steps and the body, if none has failed.
    fn complete(self) -> Result<(Vec<Outcome>, Vec<u8>)> {
        match self.failure {
            None => Ok((self.done, self.body)),
            Some(failure) => Err(Error::Failed(failure)),
        }
    }
}

impl BareExecutor {
    /// Connects to the bare executor at `address`.
    ///
    /// # Errors
    ///
    /// When nobody listens there, or what listens has not said within 10 seconds that it is a bare executor of this protocol
    /// version.
    pub fn connect(address: &Address) -> Result<Self> {
        Self::connect_with(address, Timeouts::default())
    }

    /// Speaks to a bare executor through any pair of streams, such as the standard input and output of a child.
    ///
    /// # Errors
    ///
    /// When it is no bare executor of this protocol version.
    pub fn over(
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
    ) -> Result<Self> {
        Self::speak(Connection::streams(reader, writer))
    }

    /// Speaks to a bare executor over a connection.
    ///
    /// # Errors
    ///
    /// When it is no bare executor of this protocol version.
    pub fn speak(connection: Connection) -> Result<Self> {
        Self::speak_within(connection, Timeouts::default().greeting)
    }

    /// Speaks to a bare executor that has to say who it is within this time.
    pub(crate) fn speak_within(connection: Connection, time: Duration) -> Result<Self> {
        let patience = Patience::of(&connection, time);
        let channel = Channel::new(Side::Controller(last_word), connection);
        let mut own = Vec::new();
        let hello = BareHello {
            software: concat!("farcall ", env!("CARGO_PKG_VERSION")).to_owned(),
            machine: String::new(),
            features: 0,
            frame_limit: DEFAULT_FRAME_LIMIT,
            page_size: 0,
        };
        hello.encode(&mut own)?;
        // What it says of itself is worth more than that it does not listen.
        let sent = channel.send(&own, &[], Haste::Now);
        let hello = channel.greet(patience, DEFAULT_FRAME_LIMIT, |payload| {
            let hello = BareHello::decode(payload)?;
            let limit = hello.frame_limit;
            Ok((hello, limit))
        })?;
        sent?;
        let hello = hello.ok_or(Error::Closed { in_frame: false })?;
        // What is written is cut into frames: into very many if they were as short as the peer likes.
        if !hello.page_size.is_power_of_two() || hello.frame_limit < HELLO_LIMIT {
            return Err(Error::OutOfPlace {
                what: "a bare executor without pages or with frames shorter than its hello may be",
            });
        }
        Ok(Self {
            channel,
            hello,
            last_id: AtomicU64::new(NO_REQUEST),
        })
    }

    /// What the executor said of itself when it was connected to.
    #[must_use]
    pub fn hello(&self) -> &BareHello {
        &self.hello
    }

    /// How much has been said so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let (sent, received) = self.channel.traffic();
        Traffic {
            sent,
            passed: 0,
            received,
            requests: self.last_id.load(Ordering::Relaxed),
        }
    }

    /// The image of a bundle that uses most of the executor's CPU, of those that can run there; as
    /// [`Executor::choose`](crate::Executor::choose).
    ///
    /// # Errors
    ///
    /// [`Error::Image`] when its CPU can run none, [`Error::Machine`] when it is on a machine that this farcall does not know.
    pub fn choose<'data>(&self, bundle: &Bundle<'data>) -> Result<Image<'data>> {
        choose(bundle, &self.hello.machine, self.hello.features)
    }

    /// Places an image there, and runs its constructors.
    ///
    /// # Errors
    ///
    /// [`Error::Bare`] when an import is found nowhere, with all of them, when it requires what the CPU lacks, or has
    /// thread-local variables, which take a loader; [`Error::Image`] when it is for another machine; [`Error::Failed`] when
    /// the executor has not the memory. Nothing of it is left there.
    pub fn place<'data>(
        &self,
        image: &Image<'data>,
        options: PlaceOptions<'_>,
    ) -> Result<PlacedModule<'data>> {
        let (mut module, found) = self.reserve(image, options)?;
        let filled = self.fill(&mut module, options, &found, None);
        match filled.and_then(|(answer, _)| answer.complete()) {
            Ok(_) => Ok(module),
            Err(error) => Err(self.give_back(&module, error)),
        }
    }

    /// Places an image there, runs its constructors and calls one of its functions, in as many round trips as placing
    /// takes alone.
    ///
    /// # Errors
    ///
    /// As [`BareExecutor::place`] and [`BareExecutor::call`]. When the call fails, the image is not there any more.
    pub fn place_and_call<'data>(
        &self,
        image: &Image<'data>,
        options: PlaceOptions<'_>,
        function: &str,
        signature: Option<&str>,
        arguments: &mut [Argument<'_>],
    ) -> Result<(PlacedModule<'data>, Value)> {
        let (mut module, found) = self.reserve(image, options)?;
        let wish = Wish {
            function,
            signature,
            arguments,
        };
        let filled = self.fill(&mut module, options, &found, Some(wish));
        let value = filled.and_then(|(answer, call)| match call {
            Some(call) => returned(&call, answer, arguments),
            None => Err(out_of_place()),
        });
        match value {
            Ok(value) => Ok((module, value)),
            Err(error) => Err(self.give_back(&module, error)),
        }
    }

    /// Calls a function of a module and waits until it has returned; as [`Executor::call`](crate::Executor::call).
    ///
    /// # Errors
    ///
    /// [`Error::Bare`] when there is no such function or the arguments do not fit it: then it was not called.
    /// [`Error::Failed`] when it threw. When the connection fails, it may have been called.
    pub fn call(
        &self,
        module: &PlacedModule<'_>,
        function: &str,
        signature: Option<&str>,
        arguments: &mut [Argument<'_>],
    ) -> Result<Value> {
        let call = module.call(function, signature, arguments)?;
        let mut steps = Steps::default();
        let body = arguments.iter().map(Argument::sent).collect();
        steps.push_with(call.step.clone(), body);
        let answer = self.ask(steps)?;
        returned(&call, answer, arguments)
    }

    /// Runs a module's exit handlers and destructors, and gives its memory back.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when a call is in it.
    pub fn free(&self, module: PlacedModule<'_>) -> Result<()> {
        self.ask(module.end())?.complete().map(|_| ())
    }

    /// Waits for an answer that says nothing else.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub fn ping(&self) -> Result<()> {
        self.ask(Steps::default())?.complete().map(|_| ())
    }

    /// Reserves memory for an image and looks up what it imports: gives the module that it is to be, and the addresses.
    fn reserve<'data>(
        &self,
        image: &Image<'data>,
        options: PlaceOptions<'_>,
    ) -> Result<(PlacedModule<'data>, HashMap<Vec<u8>, u64>)> {
        self.check(image)?;
        let wanted: Vec<String> = wanted(image, options).into_iter().collect();
        let names = HOST_FUNCTIONS
            .into_iter()
            .chain(wanted.iter().map(String::as_str));
        let mut steps = Steps::default();
        steps.push(Step::Lookup {
            names: names.collect(),
        });
        steps.push(Step::Reserve {
            size: image.span(),
            align: image.align(),
        });
        let (done, _) = self.ask(steps)?.complete()?;
        let [
            Outcome::Symbols { addresses },
            Outcome::Reserved { address },
        ] = &done[..]
        else {
            return Err(out_of_place());
        };
        let (host, found) = addresses.split_first_chunk().ok_or_else(out_of_place)?;
        let module = PlacedModule::reserved(image.clone(), *address, *host);
        let found = wanted
            .into_iter()
            .map(String::into_bytes)
            .zip(found.iter().copied());
        let found = found.filter(|(_, address)| *address != 0).collect();
        Ok((module, found))
    }

    /// Writes and protects an image where memory has been reserved for it, starts it and, if asked, calls one of its
    /// functions.
    fn fill(
        &self,
        module: &mut PlacedModule<'_>,
        options: PlaceOptions<'_>,
        found: &HashMap<Vec<u8>, u64>,
        wish: Option<Wish<'_>>,
    ) -> Result<(Answer, Option<Call>)> {
        let (base, page_size) = (module.base(), self.hello.page_size);
        let find = |name: &[u8]| options.address(name).or_else(|| found.get(name).copied());
        let placed = place_unresolved(module.image(), base, |name| define(name, find));
        let unresolved = placed.map_err(|source| BareError::Place { source })?;
        let parts = parts(module.image());
        let functions: Vec<u64> = unresolved.resolvers().collect();
        // Whoever chooses indirect functions runs with all that is there already.
        let is_late = |part: &&steps::Part| part.is_written_late && !functions.is_empty();
        let early = |steps: &mut Steps<'_>| {
            for part in parts.iter().filter(|part| !is_late(part)) {
                steps.push(part.protect(base, page_size));
            }
        };
        let placed;
        let mut steps = Steps::default();
        if functions.is_empty() {
            placed = unresolved.resolve(&[]);
            for part in &parts {
                steps.write(base + part.range.start, part.bytes(&placed));
            }
            early(&mut steps);
        } else {
            let mut first = Steps::default();
            for part in &parts {
                first.write(base + part.range.start, part.bytes(unresolved.placed()));
            }
            early(&mut first);
            first.push(Step::Resolve {
                functions: functions.clone(),
            });
            let (done, _) = self.ask(first)?.complete()?;
            let Some(Outcome::Symbols { addresses }) = done.last() else {
                return Err(out_of_place());
            };
            if addresses.len() != functions.len() {
                return Err(out_of_place());
            }
            let words: Vec<u64> = unresolved.words().collect();
            placed = unresolved.resolve(addresses);
            for word in words {
                let range = word - base..word - base + 8;
                steps.write(word, placed.bytes(range).unwrap_or(&[]));
            }
            for part in parts.iter().filter(is_late) {
                steps.push(part.protect(base, page_size));
            }
        }
        steps.append(module.start(&placed)?);
        let n_steps = steps.len();
        let call = wish.map(|wish| module.call(wish.function, wish.signature, wish.arguments));
        // It has not been started before the executor says so.
        let call = call.transpose().inspect_err(|_| module.forget_start())?;
        if let (Some(call), Some(wish)) = (&call, wish) {
            let body = wish.arguments.iter().map(Argument::sent).collect();
            steps.push_with(call.step.clone(), body);
        }
        let answer = self.ask(steps);
        let is_started = |answer: &Answer| answer.done.len() >= n_steps;
        if !answer.as_ref().is_ok_and(is_started) {
            module.forget_start();
        }
        Ok((answer?, call))
    }

    /// Refuses an image that cannot run there.
    fn check(&self, image: &Image<'_>) -> Result<()> {
        let name = &self.hello.machine;
        let machine = Machine::from_name(name).ok_or_else(|| Error::Machine {
            machine: name.clone(),
        })?;
        if machine != image.machine() {
            return Err(Error::Image(farcall_image::Error::WrongMachine {
                found: image.machine(),
                expected: machine,
            }));
        }
        // No CPU has what has no number, whatever it says.
        let features = CpuFeatures::from_bits(self.hello.features);
        let features = features.without(CpuFeatures::UNNUMBERED);
        let missing = cpu::missing_from(features, image);
        if missing.is_empty() {
            return Ok(());
        }
        let known = missing.features.into_iter().map(str::to_owned);
        let missing = known.chain(missing.unknown).collect();
        Err(Error::Bare(BareError::Cpu { missing }))
    }

    /// Gives back what was reserved for a module that is not to be, and the error that says why.
    fn give_back(&self, module: &PlacedModule<'_>, error: Error) -> Error {
        // What goes wrong with that too is of no use to whoever reads the first error.
        let _ = self.ask(module.end());
        error
    }

    /// Has steps done, in as few frames as the executor takes; those after the first that fails are not sent.
    fn ask(&self, steps: Steps<'_>) -> Result<Answer> {
        let mut all = Answer::default();
        for frame in steps.frames(self.hello.frame_limit) {
            let (steps, body) = frame.message();
            let answer = self.ask_once(&steps, &body)?;
            all.done.extend(answer.done);
            all.body.extend(answer.body);
            all.failure = answer.failure;
            if all.failure.is_some() {
                break;
            }
        }
        Ok(all)
    }

    /// Sends one request.
    fn ask_once(&self, steps: &[Step<'_>], body: &[&[u8]]) -> Result<Answer> {
        let id = 1 + self.last_id.fetch_add(1, Ordering::Relaxed);
        let body_size = body.iter().map(|part| part.len()).sum();
        let mut head = Vec::new();
        encode(&mut head, id, &steps, body_size, self.hello.frame_limit)?;
        let wanted = Wanted {
            ids: &[id],
            interest: Interest::Awaited,
            at_once: false,
        };
        let sent = self.channel.request(wanted, &head, body, None);
        if let Ok(Some(_)) = sent {
            return Err(Error::OutOfPlace {
                what: "a request of a bare executor's",
            });
        }
        // Even when it could not all be written: what the executor says of it is worth more.
        let frame = match self.channel.wait(Some(id), Others::None) {
            Ok(Some(Event::Answer(frame))) => frame,
            other => {
                sent?;
                other?;
                return Err(Error::Closed { in_frame: false });
            }
        };
        let response = decode::<Outcomes>(&frame)?;
        let Outcomes { done, failure } = response.message;
        let is_whole = match &failure {
            None => done.len() == steps.len(),
            Some(_) => done.len() < steps.len().max(1),
        };
        if !is_whole {
            return Err(Error::OutOfPlace {
                what: "an answer to another request",
            });
        }
        Ok(Answer {
            done,
            failure,
            body: response.body.to_vec(),
        })
    }
}

fn last_word(payload: &[u8]) -> farcall_protocol::Result<Word> {
    let failure = decode::<Outcomes>(payload)?.message.failure;
    Ok(failure.map_or(Word::Other, Word::Last))
}

/// The result of a call that was the last step, and its buffers.
fn returned(call: &Call, answer: Answer, arguments: &mut [Argument<'_>]) -> Result<Value> {
    let (done, body) = answer.complete()?;
    let Some(Outcome::Returned { bits }) = done.last() else {
        return Err(out_of_place());
    };
    take_buffers(arguments, &body)?;
    Ok(call.result(*bits))
}

impl fmt::Debug for BareExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BareExecutor")
            .field("hello", &self.hello)
            .field("traffic", &self.traffic())
            .finish_non_exhaustive()
    }
}
