//! Requests that were sent and whose answers are still to come.

use farcall_image::Image;
use farcall_loader::invoke::Value;
use farcall_protocol::{Request, Response};

use crate::Result;
use crate::argument::{Argument, take_buffers};
use crate::client::{Executor, LoadOptions, RemoteModule, out_of_place};
use crate::exchange::Answer;

/// A call that was sent. Dropping it leaves the call alone, and its result.
///
/// Many calls can be on their way: that they are sent without waiting for each other is what makes many small ones fast.
#[derive(Debug)]
#[must_use = "the call's result, and whether it was done at all, is not known until it is waited for"]
pub struct Pending {
    pub(crate) executor: Executor,
    pub(crate) id: u64,
    pub(crate) is_answered: bool,
}

impl Pending {
    pub(crate) fn new(executor: Executor, id: u64) -> Self {
        Self {
            executor,
            id,
            is_answered: false,
        }
    }

    /// Waits until the function has returned.
    ///
    /// # Errors
    ///
    /// As [`Executor::call`]; [`Error::OutOfPlace`](crate::Error::OutOfPlace) when buffers came out, which only [`Pending::wait_into`] takes.
    pub fn wait(self) -> Result<Value> {
        self.wait_into(&mut [])
    }

    /// Waits until the function has returned, and fills the buffers among these arguments that come out: those that it was
    /// called with.
    ///
    /// # Errors
    ///
    /// As [`Executor::call`].
    pub fn wait_into(mut self, arguments: &mut [Argument<'_>]) -> Result<Value> {
        self.is_answered = true;
        let answer = self.executor.answer(self.id)?;
        returned(&answer, arguments)
    }

    /// The result if it is there already; otherwise the call goes on.
    ///
    /// # Errors
    ///
    /// As [`Pending::wait`].
    pub fn try_wait(mut self) -> Result<Result<Value>, Self> {
        let Some(answered) = self.executor.shared.channel.poll_answer(self.id) else {
            return Err(self);
        };
        self.is_answered = true;
        Ok(answered
            .and_then(Answer::read)
            .and_then(|answer| returned(&answer, &mut [])))
    }

    /// Asks the executor not to begin with the call, if it has not begun: waiting for it gives a failure of kind
    /// [`Cancelled`](crate::ErrorKind::Cancelled) then. A function that runs is not stopped.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub fn cancel(&self) -> Result<()> {
        self.executor.done(&Request::Cancel { id: self.id }, &[])
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.is_answered {
            self.executor.shared.channel.give_up(self.id);
        }
    }
}

/// The result, with the buffers that come out.
pub(crate) fn returned(answer: &Answer, arguments: &mut [Argument<'_>]) -> Result<Value> {
    let Response::Returned { value } = answer.response else {
        return Err(out_of_place());
    };
    take_buffers(arguments, answer.body())?;
    Ok(loaders_value(value))
}

/// An image that was sent to be loaded.
#[derive(Debug)]
#[must_use = "whether the image could be loaded is not known until it is waited for"]
pub struct PendingLoad<'a> {
    pub(crate) executor: Executor,
    pub(crate) id: Option<u64>,
    pub(crate) image: &'a Image<'a>,
    pub(crate) options: LoadOptions<'a>,
    pub(crate) was_sent: bool,
}

impl PendingLoad<'_> {
    /// Waits until it is loaded.
    ///
    /// # Errors
    ///
    /// As [`Executor::load_with`].
    pub fn wait(mut self) -> Result<RemoteModule> {
        loop {
            if let Some(module) = self.answered()? {
                return Ok(module);
            }
        }
    }

    /// Waits for the answer; `None` when the executor no longer has the module, for which the image is sent then.
    pub(crate) fn answered(&mut self) -> Result<Option<RemoteModule>> {
        let id = self.id.take().ok_or_else(out_of_place)?;
        let digest = self.image.digest();
        match self.executor.answer(id)?.response {
            Response::Loaded { was_loaded } => {
                self.executor.known().insert(digest);
                Ok(Some(RemoteModule {
                    digest,
                    was_loaded,
                    was_sent: self.was_sent,
                }))
            }
            Response::Needed if !self.was_sent => {
                self.was_sent = true;
                let sent = (self.executor).send_image(self.image, self.options, true, None);
                self.id = Some(sent?);
                Ok(None)
            }
            _ => Err(out_of_place()),
        }
    }
}

impl Drop for PendingLoad<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.executor.shared.channel.abandon(id);
        }
    }
}

pub(crate) fn loaders_value(value: farcall_protocol::Value) -> Value {
    use farcall_protocol::Value as Wire;
    match value {
        Wire::Void => Value::Void,
        Wire::Int { bits, value } => Value::Int { bits, value },
        Wire::Float(value) => Value::Float(value),
        Wire::Double(value) => Value::Double(value),
        Wire::Pointer(value) => Value::Pointer(value),
    }
}
