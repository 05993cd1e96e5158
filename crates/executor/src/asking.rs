//! A request as a future.

use std::future::Future;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};

use farcall_protocol::{Request, Response};

use crate::channel::Sending;
use crate::client::Executor;
use crate::exchange::{Answer, Encoded};
use crate::{Error, Result};

/// A request that is sent when it is first polled, and gives the answer.
pub(crate) struct Asking<'a> {
    executor: &'a Executor,
    id: u64,
    head: Vec<u8>,
    is_within: bool,
    body: &'a [&'a [u8]],
    file: Option<BorrowedFd<'a>>,
    state: State,
    dropped: Dropped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Sent,
    Answered,
}

/// What becomes of a request that is dropped before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dropped {
    /// It is done, and the answer is not looked at.
    Done,
    /// It is not begun, if it has not begun.
    Cancelled,
    /// It is done, and what it gave is given back.
    Undone,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) error: Error,
    /// Whether the executor cannot know of the request.
    pub(crate) is_unsent: bool,
}

impl From<Unanswered> for Error {
    fn from(unanswered: Unanswered) -> Self {
        unanswered.error
    }
}

impl<'a> Asking<'a> {
    pub(crate) fn new(
        executor: &'a Executor,
        request: &Request<'_>,
        body: &'a [&'a [u8]],
        file: Option<BorrowedFd<'a>>,
    ) -> Result<Self, Unanswered> {
        let encoded = executor
            .encoded(request, body.to_vec())
            .map_err(|error| Unanswered {
                error,
                is_unsent: true,
            })?;
        let Encoded {
            id,
            head,
            is_within,
            ..
        } = encoded;
        let dropped = match request {
            Request::Call { .. } | Request::Load { .. } => Dropped::Cancelled,
            Request::Prepare { .. } | Request::Allocate { .. } => Dropped::Undone,
            _ => Dropped::Done,
        };
        Ok(Self {
            executor,
            id,
            head,
            is_within,
            body,
            file,
            state: State::New,
            dropped,
        })
    }
}

impl Future for Asking<'_> {
    type Output = Result<Answer, Unanswered>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let channel = &this.executor.shared.channel;
        if this.state == State::New {
            let request = Sending {
                id: this.id,
                head: &this.head,
                body: this.body,
                file: this.file,
                at_once: this.is_within,
            };
            let sent = ready!(channel.poll_request(request, context));
            if let Err(error) = sent {
                this.state = State::Answered;
                channel.give_up(this.id);
                let is_unsent = true;
                return Poll::Ready(Err(Unanswered { error, is_unsent }));
            }
            this.state = State::Sent;
        }
        let answered = ready!(channel.poll_answer_in(this.id, context));
        this.state = State::Answered;
        Poll::Ready(match answered {
            Ok(frame) => Answer::read(frame).map_err(|error| Unanswered {
                error,
                is_unsent: false,
            }),
            Err(error) => {
                let is_unsent = channel.is_unsent(this.id);
                channel.give_up(this.id);
                Err(Unanswered { error, is_unsent })
            }
        })
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let channel = &self.executor.shared.channel;
        match (self.state, self.dropped) {
            (State::Answered, _) => {}
            (State::Sent, Dropped::Undone) => {
                let executor = self.executor.clone();
                let orphan = Arc::new(Orphan {
                    executor,
                    id: self.id,
                });
                let waker = Waker::from(Arc::clone(&orphan));
                let answered = channel.poll_answer_in(self.id, &Context::from_waker(&waker));
                if let Poll::Ready(Ok(frame)) = answered {
                    orphan.undo(Answer::read(frame));
                }
            }
            _ => {
                let is_sent = channel.give_up(self.id);
                if is_sent && self.dropped == Dropped::Cancelled {
                    self.executor.post(&Request::Cancel { id: self.id });
                }
            }
        }
    }
}

/// A request whose future is gone, and whose answer says what is to be given back.
struct Orphan {
    executor: Executor,
    id: u64,
}

impl Orphan {
    fn undo(&self, answer: Result<Answer>) {
        let request = match answer.map(|answer| answer.response) {
            Ok(Response::Prepared { function }) => Request::Release { function },
            Ok(Response::Allocated { buffer, .. }) => Request::Free { buffer },
            _ => return,
        };
        self.executor.post(&request);
    }
}

impl Wake for Orphan {
    fn wake(self: Arc<Self>) {
        if let Some(Ok(frame)) = self.executor.shared.channel.poll_answer(self.id) {
            self.undo(Answer::read(frame));
        }
    }
}

impl Executor {
    /// Sends a request whose answer nobody waits for, without waiting.
    pub(crate) fn post(&self, request: &Request<'_>) {
        let Ok(encoded) = self.encoded(request, Vec::new()) else {
            return;
        };
        let request = Sending {
            id: encoded.id,
            head: &encoded.head,
            body: &[],
            file: None,
            at_once: encoded.is_within,
        };
        // A connection that has ended has freed everything.
        let _ = self.shared.channel.post(request);
    }
}
