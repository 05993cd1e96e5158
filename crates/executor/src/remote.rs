//! A function in an executor, found once for many calls.

use farcall_loader::invoke::Value;
use farcall_protocol::{Callee, Order, Request};

use crate::Result;
use crate::argument::Argument;
use crate::channel::Interest;
use crate::client::Executor;
use crate::pending::{Pending, returned};

/// A function in an executor. Dropping it lets go of its module.
#[derive(Debug)]
pub struct RemoteFunction {
    pub(crate) executor: Executor,
    pub(crate) number: u64,
}

impl RemoteFunction {
    pub(crate) fn new(executor: Executor, number: u64) -> Self {
        Self { executor, number }
    }

    /// Calls it, and waits until it has returned.
    ///
    /// # Errors
    ///
    /// As [`Executor::call`].
    pub fn call(&self, arguments: &mut [Argument<'_>]) -> Result<Value> {
        let function = Callee::Prepared(self.number);
        let id =
            (self.executor).send_call(function, Order::InTurn, Interest::Awaited, arguments)?;
        returned(&self.executor.answer(id)?, arguments)
    }

    /// Sends a call that is done in its turn, and does not wait: see [`Pending`].
    ///
    /// # Errors
    ///
    /// When the connection fails, or the executor does not take as much.
    pub fn start(&self, arguments: &[Argument<'_>]) -> Result<Pending> {
        self.start_in(Order::InTurn, arguments)
    }

    /// Sends a call, and does not wait. A [concurrent](Order::Concurrent) one runs at the same time as others.
    ///
    /// # Errors
    ///
    /// As [`RemoteFunction::start`].
    pub fn start_in(&self, order: Order, arguments: &[Argument<'_>]) -> Result<Pending> {
        self.send(order, Interest::Sent, arguments)
    }

    fn send(
        &self,
        order: Order,
        interest: Interest,
        arguments: &[Argument<'_>],
    ) -> Result<Pending> {
        let function = Callee::Prepared(self.number);
        let id = self
            .executor
            .send_call(function, order, interest, arguments)?;
        Ok(Pending::new(self.executor.clone(), id))
    }
}

impl Drop for RemoteFunction {
    fn drop(&mut self) {
        let request = Request::Release {
            function: self.number,
        };
        self.executor.send_and_forget(&request);
    }
}
