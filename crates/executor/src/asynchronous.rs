//! An executor for programs that wait for many things at once: futures, which any runtime can run.

use std::future::Future;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use farcall_image::{Digest, Image};
use farcall_loader::invoke::Value;
use farcall_protocol::{
    Callee, Definition, ModuleInfo, ModuleName, Order, Request, Response, Statistics, Symbol,
};

use crate::argument::Argument;
use crate::asking::{Asking, Unanswered};
use crate::client::{Executor, LoadOptions, RemoteModule, out_of_place, size};
use crate::exchange::Answer;
use crate::pending::{Pending, returned};
use crate::remote::RemoteFunction;
use crate::typed::{FunctionType, TypedFunction};
use crate::{Address, Error, RemoteBuffer, Result, TlsClient};

/// An executor whose requests are futures, over one connection. Clones share the connection.
///
/// A request is sent when its future is first polled, and is done in the order in which it was sent, but for calls that are to run
/// [at the same time](Order::Concurrent): so a load and a call that are polled one after the other take one round trip. Any number can be on
/// their way. Any runtime can poll them, on any thread; what they need is a thread that reads, which starts with the first of them and reads
/// while any waits, and, once something cannot be written at once, one that writes.
///
/// A future that is dropped is forgotten: a call or a load that has not begun does not begin, one that has begun is done and its answer is
/// not looked at. When the connection ends, all futures end with its error.
///
/// Threads may wait on the same connection ([`AsyncExecutor::executor`]). What futures and threads ask is done in one order.
///
/// ```
/// use farcall_executor::{AsyncExecutor, Executor};
///
/// async fn is_well(executor: &AsyncExecutor) -> bool {
///     executor.ping().await.is_ok()
/// }
///
/// # fn block_on<F: Future>(future: F) -> F::Output {
/// #     struct Unpark(std::thread::Thread);
/// #     impl std::task::Wake for Unpark {
/// #         fn wake(self: std::sync::Arc<Self>) { self.0.unpark() }
/// #     }
/// #     let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
/// #     let mut context = std::task::Context::from_waker(&waker);
/// #     let mut future = std::pin::pin!(future);
/// #     loop {
/// #         match future.as_mut().poll(&mut context) {
/// #             std::task::Poll::Ready(output) => return output,
/// #             std::task::Poll::Pending => std::thread::park(),
/// #         }
/// #     }
/// # }
/// let executor = Executor::local()?.asynchronous();
/// assert!(block_on(is_well(&executor)));
/// # Ok::<(), farcall_executor::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct AsyncExecutor {
    executor: Executor,
}

impl Executor {
    /// The same connection for futures.
    #[must_use]
    pub fn asynchronous(&self) -> AsyncExecutor {
        let executor = self.clone();
        AsyncExecutor { executor }
    }
}

impl AsyncExecutor {
    /// Connects to the executor at `address`, on a thread that ends with that.
    ///
    /// # Errors
    ///
    /// As [`Executor::connect`].
    pub async fn connect(address: &Address) -> Result<Self> {
        let address = address.clone();
        let executor = on_thread("farcall-connect", move || Executor::connect(&address))?.await?;
        Ok(Self { executor })
    }

    /// Connects to the executor at `address`, which is `tls:HOST:PORT`, on a thread that ends with that.
    ///
    /// # Errors
    ///
    /// As [`Executor::connect_tls`].
    pub async fn connect_tls(address: &Address, tls: &TlsClient) -> Result<Self> {
        let (address, tls) = (address.clone(), tls.clone());
        let connect = move || Executor::connect_tls(&address, &tls);
        let executor = on_thread("farcall-connect", connect)?.await?;
        Ok(Self { executor })
    }

    /// The same connection for threads.
    #[must_use]
    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    /// As [`Executor::load`].
    ///
    /// # Errors
    ///
    /// As [`Executor::load_with`].
    pub async fn load(&self, image: &Image<'_>) -> Result<RemoteModule> {
        self.load_with(image, LoadOptions::default()).await
    }

    /// As [`Executor::load_with`].
    ///
    /// # Errors
    ///
    /// As [`Executor::load_with`].
    pub async fn load_with(
        &self,
        image: &Image<'_>,
        options: LoadOptions<'_>,
    ) -> Result<RemoteModule> {
        let digest = image.digest();
        let mut was_sent = self.executor.is_to_be_sent(image);
        loop {
            let shipment = self.executor.shipment(image, options, was_sent);
            let body: &[&[u8]] = &[&shipment.body];
            let file = shipment.file.as_ref().map(AsFd::as_fd);
            let answer = Asking::new(&self.executor, &shipment.request, body, file)?.await?;
            match answer.response {
                Response::Loaded { was_loaded } => {
                    self.executor.known().insert(digest);
                    return Ok(RemoteModule {
                        digest,
                        was_loaded,
                        was_sent,
                    });
                }
                Response::Needed if !was_sent => was_sent = true,
                _ => return Err(out_of_place()),
            }
        }
    }

    /// As [`Executor::define`].
    ///
    /// # Errors
    ///
    /// As [`Executor::define`].
    pub async fn define(
        &self,
        name: &str,
        value_type: Option<&str>,
        definition: Definition<'_>,
    ) -> Result<u64> {
        self.send_definition(name, value_type, definition, &[])
            .await
    }

    /// As [`Executor::define_bytes`].
    ///
    /// # Errors
    ///
    /// As [`Executor::define_bytes`].
    pub async fn define_bytes(&self, name: &str, bytes: &[u8]) -> Result<u64> {
        self.send_definition(name, None, Definition::Bytes, bytes)
            .await
    }

    async fn send_definition(
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
        match self.ask(&request, body).await?.response {
            Response::Defined { address } => Ok(address),
            _ => Err(out_of_place()),
        }
    }

    /// As [`Executor::lookup`].
    ///
    /// # Errors
    ///
    /// As [`Executor::lookup`].
    pub async fn lookup<'a>(
        &self,
        module: impl Into<ModuleName<'a>>,
        name: &str,
    ) -> Result<Symbol> {
        let module = module.into();
        match self.ask(&Request::Lookup { module, name }, &[]).await? {
            Answer {
                response: Response::Found(symbol),
                ..
            } => Ok(symbol),
            _ => Err(out_of_place()),
        }
    }

    /// As [`Executor::function`]; [`RemoteFunction::call_async`] calls it.
    ///
    /// # Errors
    ///
    /// As [`Executor::function`].
    pub async fn function<'a>(
        &self,
        module: impl Into<ModuleName<'a>>,
        function: &str,
        signature: Option<&str>,
    ) -> Result<RemoteFunction> {
        let request = Request::Prepare {
            module: module.into(),
            function,
            signature,
        };
        Ok(prepare(&self.executor, &request).await?)
    }

    /// As [`Executor::typed`]; [`call_async`](TypedFunction#method.call_async) calls it.
    ///
    /// # Errors
    ///
    /// As [`Executor::typed`].
    pub async fn typed<'a, F: FunctionType>(
        &self,
        module: impl Into<ModuleName<'a>>,
        function: &str,
    ) -> Result<TypedFunction<F::Parameters, F::Result>> {
        let signature = F::signature();
        let function = self.function(module, function, Some(&signature));
        Ok(TypedFunction::new(function.await?))
    }

    /// As [`Executor::call`].
    ///
    /// # Errors
    ///
    /// As [`Executor::call`].
    pub async fn call<'a>(
        &self,
        module: impl Into<ModuleName<'a>>,
        function: &str,
        signature: Option<&str>,
        arguments: &mut [Argument<'_>],
    ) -> Result<Value> {
        let function = Callee::Export {
            module: module.into(),
            name: function,
            signature,
        };
        Ok(call(&self.executor, function, Order::InTurn, arguments).await?)
    }

    /// As [`Executor::unload`].
    ///
    /// # Errors
    ///
    /// As [`Executor::unload`].
    pub async fn unload<'a>(&self, module: impl Into<ModuleName<'a>>) -> Result<()> {
        let module = module.into();
        self.done(&Request::Unload { module }, &[]).await?;
        if let ModuleName::Digest(digest) = module {
            self.executor.known().remove(&digest);
        }
        Ok(())
    }

    /// As [`Executor::list`].
    ///
    /// # Errors
    ///
    /// As [`Executor::list`].
    pub async fn list(&self) -> Result<Vec<ModuleInfo>> {
        let mut all: Vec<ModuleInfo> = Vec::new();
        loop {
            let skip = size(all.len());
            let answer = self.ask(&Request::List { skip }, &[]).await?;
            let Response::Modules { modules, n_total } = answer.response else {
                return Err(out_of_place());
            };
            let is_end = modules.is_empty() || skip + size(modules.len()) >= n_total;
            let digests = modules.iter().map(|module| module.digest);
            self.executor
                .known()
                .extend(digests.collect::<Vec<Digest>>());
            all.extend(modules);
            if is_end {
                return Ok(all);
            }
        }
    }

    /// As [`Executor::ping`].
    ///
    /// # Errors
    ///
    /// As [`Executor::ping`].
    pub async fn ping(&self) -> Result<()> {
        self.done(&Request::Ping, &[]).await
    }

    /// As [`Executor::statistics`].
    ///
    /// # Errors
    ///
    /// As [`Executor::statistics`].
    pub async fn statistics(&self) -> Result<Statistics> {
        match self.ask(&Request::Statistics, &[]).await?.response {
            Response::Statistics(statistics) => Ok(*statistics),
            _ => Err(out_of_place()),
        }
    }

    /// As [`Executor::allocate`].
    ///
    /// # Errors
    ///
    /// As [`Executor::allocate`].
    pub async fn allocate(&self, n_bytes: u64) -> Result<RemoteBuffer> {
        let request = Request::Allocate {
            size: n_bytes,
            shared: false,
        };
        let answer = self.ask(&request, &[]).await?;
        RemoteBuffer::allocated(&self.executor, n_bytes, None, &answer.response)
    }

    /// As [`RemoteBuffer::write`], of a buffer of this connection.
    ///
    /// # Errors
    ///
    /// As [`RemoteBuffer::write`].
    pub async fn write(&self, buffer: &RemoteBuffer, offset: u64, bytes: &[u8]) -> Result<()> {
        for (piece, offset) in buffer.pieces(offset, bytes.len()) {
            let buffer = buffer.number;
            let request = Request::Write { buffer, offset };
            self.done(&request, &bytes[piece]).await?;
        }
        Ok(())
    }

    /// As [`RemoteBuffer::read`], of a buffer of this connection.
    ///
    /// # Errors
    ///
    /// As [`RemoteBuffer::read`].
    pub async fn read(&self, buffer: &RemoteBuffer, offset: u64, bytes: &mut [u8]) -> Result<()> {
        for (piece, offset) in buffer.pieces(offset, bytes.len()) {
            let request = Request::Read {
                buffer: buffer.number,
                offset,
                size: size(piece.len()),
            };
            let answer = self.ask(&request, &[]).await?;
            let read = answer.bytes(piece.len())?;
            bytes[piece].copy_from_slice(read);
        }
        Ok(())
    }

    /// As [`Executor::peek`].
    ///
    /// # Errors
    ///
    /// As [`Executor::peek`].
    pub async fn peek(&self, address: u64, n_bytes: usize) -> Result<Vec<u8>> {
        let request = Request::Peek {
            address,
            size: size(n_bytes),
        };
        let answer = self.ask(&request, &[]).await?;
        Ok(answer.bytes(n_bytes)?.to_vec())
    }

    /// As [`Executor::poke`].
    ///
    /// # Errors
    ///
    /// As [`Executor::poke`].
    pub async fn poke(&self, address: u64, bytes: &[u8]) -> Result<()> {
        self.done(&Request::Poke { address }, bytes).await
    }

    async fn done(&self, request: &Request<'_>, body: &[u8]) -> Result<()> {
        match self.ask(request, body).await?.response {
            Response::Done => Ok(()),
            _ => Err(out_of_place()),
        }
    }

    async fn ask(&self, request: &Request<'_>, body: &[u8]) -> Result<Answer> {
        Ok(Asking::new(&self.executor, request, &[body], None)?.await?)
    }
}

impl RemoteFunction {
    /// As [`RemoteFunction::call`].
    ///
    /// # Errors
    ///
    /// As [`Executor::call`].
    pub async fn call_async(&self, arguments: &mut [Argument<'_>]) -> Result<Value> {
        self.call_async_in(Order::InTurn, arguments).await
    }

    /// The same, of a call that [runs at the same time as others](Order::Concurrent) or takes its turn.
    ///
    /// # Errors
    ///
    /// As [`Executor::call`].
    pub async fn call_async_in(
        &self,
        order: Order,
        arguments: &mut [Argument<'_>],
    ) -> Result<Value> {
        let function = Callee::Prepared(self.number);
        Ok(call(&self.executor, function, order, arguments).await?)
    }
}

/// As [`Pending::wait`].
impl Future for Pending {
    type Output = Result<Value>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Value>> {
        let channel = &self.executor.shared.channel;
        let answered = std::task::ready!(channel.poll_answer_in(self.id, context));
        self.is_answered = true;
        let answer = answered.and_then(Answer::read);
        Poll::Ready(answer.and_then(|answer| returned(&answer, &mut [])))
    }
}

/// Finds a function.
pub(crate) async fn prepare(
    executor: &Executor,
    request: &Request<'_>,
) -> Result<RemoteFunction, Unanswered> {
    let answer = Asking::new(executor, request, &[], None)?.await?;
    match answer.response {
        Response::Prepared { function } => Ok(RemoteFunction::new(executor.clone(), function)),
        _ => Err(unanswered(out_of_place())),
    }
}

/// Calls a function.
pub(crate) async fn call(
    executor: &Executor,
    function: Callee<'_>,
    order: Order,
    arguments: &mut [Argument<'_>],
) -> Result<Value, Unanswered> {
    let request = Request::Call {
        function,
        arguments: arguments.iter().map(Argument::on_the_wire).collect(),
        order,
    };
    let body: Vec<&[u8]> = arguments.iter().map(Argument::sent).collect();
    let answer = Asking::new(executor, &request, &body, None)?.await?;
    returned(&answer, arguments).map_err(unanswered)
}

/// What is wrong with an answer.
fn unanswered(error: Error) -> Unanswered {
    let is_unsent = false;
    Unanswered { error, is_unsent }
}

/// Does something that waits on a thread of its own.
pub(crate) fn on_thread<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<OnThread<T>> {
    let future = OnThread(Arc::default());
    let done = Arc::clone(&future.0);
    let run = move || {
        let output = run();
        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
        done.output = Some(output);
        let waker = done.waker.take();
        drop(done);
        if let Some(waker) = waker {
            waker.wake();
        }
    };
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(run).map_err(Error::system("start a thread"))?;
    Ok(future)
}

/// What a thread gives at its end.
pub(crate) struct OnThread<T>(Arc<Mutex<Done<T>>>);

struct Done<T> {
    output: Option<T>,
    waker: Option<Waker>,
}

impl<T> Default for Done<T> {
    fn default() -> Self {
        Self {
            output: None,
            waker: None,
        }
    }
}

impl<T> Future for OnThread<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut done = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match done.output.take() {
            Some(output) => Poll::Ready(output),
            None => {
                done.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
