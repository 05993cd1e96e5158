//! A function that any executor of a pool can be asked to run.

use std::fmt;
use std::sync::{Arc, Weak};

use farcall_loader::invoke::Value;
use farcall_protocol::{Callee, Order};

use super::link::Link;
use super::members::{Flight, For, Members, Patience, is_stopping};
use super::{Again, Judged, Pool, PoolModule};
use crate::argument::Argument;
use crate::asking::Unanswered;
use crate::block_on::{all, block_on};
use crate::typed::{FunctionType, TypedFunction};
use crate::{Error, RemoteFunction, Result, asynchronous};

/// A function of a pool's module: each call of it goes to the executor that has the least to do. Clones are the same function.
///
/// When an executor stops, what it has begun it answers, and other calls go to others. When one is lost, calls that were not sent to it go to another one. A call that was is an error, [`Error::MayHaveRun`], unless the
/// function is [`repeatable`](PoolFunction::repeatable).
///
/// Calls run [at the same time](Order::Concurrent) also where they run in the same executor, unless they are to be [in
/// turn](PoolFunction::in_turn).
#[derive(Clone)]
pub struct PoolFunction {
    pool: Pool,
    meant: Arc<Meant>,
    order: Order,
    is_repeatable: bool,
}

/// Which function is meant.
pub(super) struct Meant {
    pub(super) number: u64,
    pub(super) module: u64,
    pub(super) name: String,
    pub(super) signature: Option<String>,
    members: Weak<Members>,
}

impl Drop for Meant {
    fn drop(&mut self) {
        let Some(members) = self.members.upgrade() else {
            return;
        };
        let links: Vec<_> = members.lock().links().cloned().collect();
        for link in links {
            link.forget(self.number);
        }
    }
}

impl Pool {
    /// Finds a function on all executors, for many calls, as [`Executor::function`](crate::Executor::function) does on one.
    ///
    /// # Errors
    ///
    /// [`Error::Member`] when one says that there is no such function, or that it is of another type; [`Error::NoExecutor`].
    pub fn function(
        &self,
        module: &PoolModule,
        function: &str,
        signature: Option<&str>,
    ) -> Result<PoolFunction> {
        block_on(self.function_async(module, function, signature))
    }

    /// The same as a future.
    ///
    /// # Errors
    ///
    /// As [`Pool::function`].
    pub async fn function_async(
        &self,
        module: &PoolModule,
        function: &str,
        signature: Option<&str>,
    ) -> Result<PoolFunction> {
        let meant = Arc::new(Meant {
            number: super::next_number(),
            module: module.number,
            name: function.to_owned(),
            signature: signature.map(str::to_owned),
            members: Arc::downgrade(self.members()),
        });
        let mut again = Again::default();
        loop {
            let links = self.links().await?;
            let found = all(links.iter().map(|link| link.function(&meant))).await;
            let found = found.into_iter().map(|found| match found {
                Ok(_) => Ok(()),
                Err(unanswered) => Err(unanswered.error),
            });
            if self.judge(&links, found, &mut again)? == Judged::Done {
                break;
            }
        }
        Ok(PoolFunction {
            pool: self.clone(),
            meant,
            order: Order::Concurrent,
            is_repeatable: false,
        })
    }

    /// Finds a function of this type on all executors, as [`Executor::typed`](crate::Executor::typed) does on one.
    ///
    /// # Errors
    ///
    /// As [`Pool::function`].
    pub fn typed<F: FunctionType>(
        &self,
        module: &PoolModule,
        function: &str,
    ) -> Result<TypedFunction<F::Parameters, F::Result, PoolFunction>> {
        block_on(self.typed_async::<F>(module, function))
    }

    /// The same as a future.
    ///
    /// # Errors
    ///
    /// As [`Pool::function`].
    pub async fn typed_async<F: FunctionType>(
        &self,
        module: &PoolModule,
        function: &str,
    ) -> Result<TypedFunction<F::Parameters, F::Result, PoolFunction>> {
        let signature = F::signature();
        let function = self.function_async(module, function, Some(&signature));
        Ok(TypedFunction::new(function.await?))
    }
}

impl PoolFunction {
    /// Says that calls may run more than once: one whose executor was lost is made again on another, three times at the most.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.is_repeatable = true;
        self
    }

    /// Says that calls which are sent to the same executor are done one after the other, which takes less of it: for functions that take
    /// microseconds.
    #[must_use]
    pub fn in_turn(mut self) -> Self {
        self.order = Order::InTurn;
        self
    }

    /// Calls it on any executor, and waits until it has returned. Waits before when all have as many calls as they may, or when none is there.
    ///
    /// # Errors
    ///
    /// As [`Executor::call`](crate::Executor::call), of whichever executor it was; [`Error::NoExecutor`] when it was not called because none is there;
    /// [`Error::MayHaveRun`] when the one that it was sent to was lost; [`Error::OutOfPlace`] for a buffer, which is one executor's.
    pub fn call(&self, arguments: &mut [Argument<'_>]) -> Result<Value> {
        let members = self.pool.members();
        let mut tries = self.tries(arguments)?;
        loop {
            let take = |state: &mut _| members.take(state, &mut tries.patience);
            let flight = members.wait(For::Room, take)?;
            let called = self.call_on(&flight.link, arguments);
            if let Some(called) = tries.judge(members, &flight, called) {
                return called;
            }
        }
    }

    /// The same as a future.
    ///
    /// # Errors
    ///
    /// As [`PoolFunction::call`].
    pub async fn call_async(&self, arguments: &mut [Argument<'_>]) -> Result<Value> {
        let members = self.pool.members();
        let mut tries = self.tries(arguments)?;
        loop {
            let take = |state: &mut _| members.take(state, &mut tries.patience);
            let flight = members.wait_async(For::Room, take).await?;
            let called = self.call_on_async(&flight.link, arguments).await;
            if let Some(called) = tries.judge(members, &flight, called) {
                return called;
            }
        }
    }

    fn call_on(&self, link: &Link, arguments: &mut [Argument<'_>]) -> Result<Value, Unanswered> {
        check(link)?;
        let function = match link.known(&self.meant) {
            Some(function) => function,
            None => block_on(link.function(&self.meant))?,
        };
        let unanswered = |is_unsent| move |error| Unanswered { error, is_unsent };
        let pending = function.start_in(self.order, arguments);
        let pending = pending.map_err(unanswered(true))?;
        pending.wait_into(arguments).map_err(unanswered(false))
    }

    async fn call_on_async(
        &self,
        link: &Link,
        arguments: &mut [Argument<'_>],
    ) -> Result<Value, Unanswered> {
        check(link)?;
        let function: Arc<RemoteFunction> = link.function(&self.meant).await?;
        let callee = Callee::Prepared(function.number);
        asynchronous::call(&link.executor, callee, self.order, arguments).await
    }

    fn tries(&self, arguments: &[Argument<'_>]) -> Result<Tries> {
        let is_one_s = |it: &Argument<'_>| matches!(it, Argument::Buffer(..));
        if arguments.iter().any(is_one_s) {
            return Err(Error::OutOfPlace {
                what: "a buffer of one executor in a call of any",
            });
        }
        Ok(Tries {
            patience: Patience::default(),
            n_left: if self.is_repeatable { MOST_REPEATED } else { 0 },
        })
    }
}

/// How often a call is made again that may have run: one that ends its executor is not to end them all for ever.
const MOST_REPEATED: usize = 3;

/// What a call has been through.
struct Tries {
    patience: Patience,
    /// How often it may yet run again.
    n_left: usize,
}

impl Tries {
    /// What comes of a call, or nothing when it is to be made again.
    fn judge(
        &mut self,
        members: &Arc<Members>,
        flight: &Flight,
        called: Result<Value, Unanswered>,
    ) -> Option<Result<Value>> {
        let Err(Unanswered { error, is_unsent }) = called else {
            return Some(called.map_err(Error::from));
        };
        let link = &flight.link;
        if is_stopping(&error) {
            drop(members.leave(link, &error));
            return None;
        }
        let is_lost = link.has_ended() && (is_unsent || !matches!(error, Error::Failed(_)));
        if !is_lost {
            return Some(Err(error));
        }
        members.lost(link, &error);
        if is_unsent {
            return None;
        }
        if self.n_left > 0 {
            self.n_left -= 1;
            return None;
        }
        let address = members.lock().members[link.member].address.clone();
        let source = Box::new(error);
        Some(Err(Error::MayHaveRun { address, source }))
    }
}

/// Whether an executor can still be asked: over TCP one that has gone takes a request, and nobody knows whether it was there to take it.
fn check(link: &Link) -> Result<(), Unanswered> {
    if link.executor.shared.channel.has_hung_up() {
        link.executor.shared.channel.close();
        let error = Error::Closed { in_frame: false };
        let is_unsent = true;
        return Err(Unanswered { error, is_unsent });
    }
    Ok(())
}

impl<P, R> TypedFunction<P, R, PoolFunction> {
    /// As [`PoolFunction::repeatable`].
    #[must_use]
    pub fn repeatable(self) -> Self {
        Self::new(self.into_untyped().repeatable())
    }

    /// As [`PoolFunction::in_turn`].
    #[must_use]
    pub fn in_turn(self) -> Self {
        Self::new(self.into_untyped().in_turn())
    }
}

impl fmt::Debug for PoolFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolFunction")
            .field("name", &self.meant.name)
            .field("signature", &self.meant.signature)
            .field("is_repeatable", &self.is_repeatable)
            .finish_non_exhaustive()
    }
}
