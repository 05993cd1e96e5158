//! Functions of a controller that shipped code calls.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use farcall_image::Digest;
use farcall_loader::invoke::Value;
use farcall_protocol::{
    Definition, FirstCall, Frame, HEAD_LIMIT, Request, Response, Value as WireValue, decode, encode,
};

use crate::channel::{Event, Haste, Others};
use crate::client::{Executor, out_of_place, size};
use crate::doing::{DEEPEST, Doing};
use crate::failures::shorten;
use crate::peer::wire_value;
use crate::pending::loaders_value;
use crate::workers::Workers;
use crate::{Error, Result};

type Closure = dyn Fn(&Executor, &[Value]) -> Result<Value, String> + Send + Sync;

/// Does what shipped code calls by a number.
type Relay = dyn Fn(u64, &[Value]) -> Result<Value, String> + Send + Sync;

/// What a controller does on a connection when shipped code calls it.
#[derive(Default)]
pub(crate) struct Closures {
    /// By their numbers.
    defined: Mutex<HashMap<u64, Arc<Closure>>>,
    /// Where other numbers go.
    relay: OnceLock<Box<Relay>>,
    /// Run closures while only futures wait, or threads that do something else for the executor.
    threads: Workers,
}

impl Closures {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Closure>>> {
        self.defined.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Executor {
    /// Defines a function for the images that are loaded from now on: shipped code that imports `name` calls `function`, here, and waits until
    /// it has returned. Gives its address there, which may be passed as a pointer to a function.
    ///
    /// `signature` is its type in LLVM's syntax, such as `i32 (i32, ptr)`, with `zeroext` or `signext` where the importing code counts on it.
    /// The closure is given as many values as there are parameters, of their types, integers in the low bits with zeros above; it gives a value
    /// of the type of the result. An error is the failure of the call of shipped code in whose middle it was called, of kind
    /// [`CallBack`](crate::ErrorKind::CallBack), and so are a panic and a value of another type: the shipped code is unwound, as by an exception of another
    /// language, which it must not keep.
    ///
    /// **When it runs.** A call is one for the thread that waits for it here: the closure runs on the thread that called the function which
    /// called it. What no thread waits for (of a [`Pending`](crate::Pending) that nobody waits for yet, of a thread that shipped code has started, of another
    /// controller's call) is done by whichever thread waits for an answer on this connection, or, while only futures wait and closures, on a thread for it; when none does, it
    /// waits until one does, or for a [thread of its own](Executor::serve_in_background). Several closures may run at once.
    ///
    /// **What it may do.** Anything, also ask this executor, through whichever clone: that is done at once, in the middle of the call. That holds
    /// for the thread that the closure runs on; what other threads ask for waits for its turn, which may come when the call is over. Up to 64 calls may be
    /// within one another. Once a function is defined, at most 512 requests of this connection are without an answer; sending one more waits.
    ///
    /// **What it costs.** One round trip on the connection for each call, as a call of shipped code does, and two allocations there.
    ///
    /// The definition is the executor's, for all controllers, until one defines the name anew, and modules keep what they were loaded with. But
    /// calls of it fail when this connection has ended. The closure is kept as long as the connection: one that keeps a clone of
    /// this executor keeps it for ever, so use the one that it is given.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when the signature is none, or has types that are not passed by value in one register.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use farcall_executor::{Executor, Value};
    ///
    /// # fn main() -> farcall_executor::Result<()> {
    /// # let executor = Executor::local()?;
    /// executor.define_function("log_line", "void (ptr, i64)", |executor, arguments| {
    ///     let [Value::Pointer(text), Value::Int { value: size, .. }] = *arguments else {
    ///         unreachable!("as the signature says");
    ///     };
    ///     let size = usize::try_from(size).map_err(|error| error.to_string())?;
    ///     let text = executor.peek(text, size).map_err(|error| error.to_string())?;
    ///     println!("{}", String::from_utf8_lossy(&text));
    ///     Ok(Value::Void)
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn define_function(
        &self,
        name: &str,
        signature: &str,
        function: impl Fn(&Self, &[Value]) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Result<u64> {
        let shared = &self.shared;
        let number = self.keep(Arc::new(function));
        let defined = self.define(name, Some(signature), Definition::Callback { number });
        if matches!(defined, Err(Error::Failed(_))) {
            shared.closures.lock().remove(&number);
        }
        defined
    }

    /// Defines functions that lead where `resolve` says when they are first called: it is given the function's place in `functions`, and gives the
    /// address of an export of that name of a module, which stays loaded from then on. It runs as the closures of [`Executor::define_function`] do, and may load
    /// that module. Threads that call at the same time may each ask; the first answer holds. When it fails, the call does, and the next one asks again.
    ///
    /// The names hold for images with `space` in their [scope](crate::LoadOptions::scope), and come before all others there. Each
    /// function has one address, under both of its names. A function that is there already, of the same type, asks this controller from now on.
    ///
    /// One round trip, for much more than 10,000 functions a few.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when a function is there with another type. Those before it are defined then.
    pub fn define_on_first_call(
        &self,
        space: Digest,
        functions: &[FirstCall<'_>],
        resolve: impl Fn(&Self, usize) -> Result<u64, String> + Send + Sync + 'static,
    ) -> Result<()> {
        let number = self.keep(Arc::new(move |executor: &Self, arguments: &[Value]| {
            let [Value::Int { value: place, .. }] = *arguments else {
                return Err("a function's place is one number".to_owned());
            };
            let place = usize::try_from(place).map_err(|error| error.to_string())?;
            resolve(executor, place).map(Value::Pointer)
        }));
        let mut first = 0;
        while first < functions.len() {
            let mut n_bytes = 0;
            let fit = functions[first..].iter().take_while(|function| {
                let value_type = function.value_type.map_or(0, str::len);
                n_bytes += 32 + function.name.len() + function.alias.len() + value_type;
                n_bytes <= HEAD_LIMIT / 2
            });
            // A name that is too long is the protocol's error.
            let end = first + fit.count().max(1);
            let request = Request::DefineOnFirstCall {
                space,
                number,
                first: size(first),
                functions: functions[first..end].to_vec(),
            };
            self.done(&request, &[])?;
            first = end;
        }
        Ok(())
    }

    /// Keeps a closure, which is called by the number that this gives.
    fn keep(&self, closure: Arc<Closure>) -> u64 {
        self.expect_calls();
        let number = self.next_id();
        self.shared.closures.lock().insert(number, closure);
        number
    }

    /// Has what shipped code calls passed to `relay`, with its number, if it is none of the closures. The first that is given stays.
    pub(crate) fn relay_calls(
        &self,
        relay: impl Fn(u64, &[Value]) -> Result<Value, String> + Send + Sync + 'static,
    ) {
        let _ = self.shared.closures.relay.set(Box::new(relay));
    }

    fn expect_calls(&self) {
        let shared = Arc::downgrade(&self.shared);
        let serve = move |frame| {
            // When nobody has the connection any more it ends.
            if let Some(shared) = shared.upgrade() {
                Self { shared }.run_elsewhere(frame);
            }
        };
        self.shared.channel.is_called_back(Box::new(serve));
    }

    /// Does what the executor asks for that this thread does not wait for. In the middle of a closure that is left to others: it may have locks
    /// that this needs.
    pub(crate) fn run_other(&self, frame: Frame) -> Result<()> {
        if Doing::something() {
            self.run_elsewhere(frame);
            return Ok(());
        }
        self.run_closure(&frame)
    }

    /// Does what the executor asks for, on another thread.
    fn run_elsewhere(&self, frame: Frame) {
        let frame = Arc::new(frame);
        let (executor, own) = (self.clone(), Arc::clone(&frame));
        // What ends the connection whoever waits is told.
        let run = move || drop(executor.run_closure(&own));
        if let Err(error) = self.shared.closures.threads.run(Box::new(run))
            && let Ok(received) = decode::<Response>(&frame)
        {
            let _ = self.called_back(received.id, Err(format!("no thread: {error}")));
        }
    }

    /// Starts a thread that runs closures that shipped code calls, as one that waits for an answer does, until what this gives is dropped or the
    /// connection ends.
    ///
    /// # Errors
    ///
    /// The system's, when there is no thread.
    pub fn serve_in_background(&self) -> Result<Serving> {
        let id = self.next_id();
        let executor = self.clone();
        let serve = move || {
            // An answer to this id is what ends it; that the connection ends whoever asks is told.
            while let Ok(Some(Event::Other(frame))) =
                executor.shared.channel.wait(Some(id), Others::Done)
            {
                if executor.run_closure(&frame).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("callbacks".to_owned())
            .spawn(serve)
            .map_err(Error::system("start a thread"))?;
        let executor = self.clone();
        Ok(Serving { executor, id })
    }

    /// Does what the executor asks for.
    pub(crate) fn run_closure(&self, frame: &Frame) -> Result<()> {
        let received = decode::<Response>(frame)?;
        let Response::CallBack {
            number, arguments, ..
        } = received.message
        else {
            return Err(out_of_place());
        };
        let arguments: Vec<Value> = arguments.into_iter().map(loaders_value).collect();
        let result = self.run(received.id, number, &arguments);
        self.called_back(received.id, result.map(wire_value))
    }

    fn called_back(&self, id: u64, mut result: Result<WireValue, String>) -> Result<()> {
        let channel = &self.shared.channel;
        if let Err(message) = &mut result {
            shorten(message);
        }
        let mut head = Vec::new();
        let limit = channel.peer_limit();
        let answer = Request::CalledBack(result);
        if let Err(error) = encode(&mut head, id, &answer, 0, limit) {
            let answer = Request::CalledBack(Err(error.to_string()));
            encode(&mut head, id, &answer, 0, limit)?;
        }
        channel.send(&head, &[], Haste::Now)
    }

    fn run(&self, id: u64, number: u64, arguments: &[Value]) -> Result<Value, String> {
        let closures = &self.shared.closures;
        let closure = closures.lock().get(&number).cloned();
        let run = || match (&closure, closures.relay.get()) {
            (Some(closure), _) => closure(self, arguments),
            (None, Some(relay)) => relay(number, arguments),
            (None, None) => Err("no such function of the controller's".to_owned()),
        };
        let _doing = Doing::begin(&self.shared.channel, id)
            .ok_or_else(|| format!("more than {DEEPEST} calls within one another"))?;
        catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|panic| Err(format!("panicked: {}", panic_message(&*panic))))
    }
}

/// A thread that runs closures: see [`Executor::serve_in_background`].
#[derive(Debug)]
#[must_use = "the thread ends when this is dropped"]
pub struct Serving {
    executor: Executor,
    id: u64,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.executor.shared.channel.answer_here(self.id);
        // The thread may be the one that reads; then the answer to this wakes it.
        self.executor.send_and_forget(&Request::Ping);
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
}
