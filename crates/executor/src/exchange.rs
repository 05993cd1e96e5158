//! Asking an executor: requests out, answers in, and what it asks for meanwhile.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;

use farcall_protocol::{Frame, Request, Response, decode, encode};

use crate::channel::{Event, Interest, Others, Wanted};
use crate::client::{Executor, out_of_place};
use crate::doing::Doing;
use crate::{Error, Result};

/// A request that is to be sent: the start of its frame, and its body.
pub(crate) struct Encoded<'a> {
    pub(crate) id: u64,
    pub(crate) head: Vec<u8>,
    body: Vec<&'a [u8]>,
    /// Whether it is part of what the executor asks for.
    pub(crate) is_within: bool,
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

    /// The body of an answer that is as many bytes.
    pub(crate) fn bytes(&self, n_bytes: usize) -> Result<&[u8]> {
        match self.response {
            Response::Bytes if self.body().len() == n_bytes => Ok(self.body()),
            _ => Err(out_of_place()),
        }
    }
}

impl Executor {
    /// Asks for what is answered by bytes.
    pub(crate) fn bytes(&self, request: &Request<'_>, n_bytes: usize) -> Result<Vec<u8>> {
        Ok(self.ask(request, &[])?.bytes(n_bytes)?.to_vec())
    }

    /// Asks for what is answered by its being done.
    pub(crate) fn done(&self, request: &Request<'_>, body: &[&[u8]]) -> Result<()> {
        let id = self.send_for(Interest::Awaited, request, body, None)?;
        self.is_done(id)
    }

    /// Waits until what was asked is done.
    pub(crate) fn is_done(&self, id: u64) -> Result<()> {
        match self.answer(id)?.response {
            Response::Done => Ok(()),
            _ => Err(out_of_place()),
        }
    }

    /// Sends a request with its body, and gives the answer.
    pub(crate) fn ask(&self, request: &Request<'_>, body: &[&[u8]]) -> Result<Answer> {
        let id = self.send_for(Interest::Awaited, request, body, None)?;
        self.answer(id)
    }

    /// Sends a request with its body, and a file. Gives its id.
    pub(crate) fn send(
        &self,
        request: &Request<'_>,
        body: &[&[u8]],
        file: Option<BorrowedFd<'_>>,
    ) -> Result<u64> {
        self.send_for(Interest::Sent, request, body, file)
    }

    /// As [`Executor::send`]; says who waits for the answer.
    pub(crate) fn send_for(
        &self,
        interest: Interest,
        request: &Request<'_>,
        body: &[&[u8]],
        file: Option<BorrowedFd<'_>>,
    ) -> Result<u64> {
        let request = self.encoded(request, body.to_vec())?;
        self.send_encoded(interest, &request, file, None)
    }

    /// As [`Executor::send`], and another request `then` at once.
    pub(crate) fn send_with(
        &self,
        request: &Request<'_>,
        body: &[&[u8]],
        file: Option<BorrowedFd<'_>>,
        then: Option<&Encoded<'_>>,
    ) -> Result<u64> {
        let request = self.encoded(request, body.to_vec())?;
        self.send_encoded(Interest::Sent, &request, file, then)
    }

    fn send_encoded(
        &self,
        interest: Interest,
        request: &Encoded<'_>,
        file: Option<BorrowedFd<'_>>,
        then: Option<&Encoded<'_>>,
    ) -> Result<u64> {
        let channel = &self.shared.channel;
        let Encoded { id, head, body, .. } = request;
        let both;
        let (ids, body) = match then {
            None => (&[*id][..], body),
            Some(then) => {
                both = [body, &[&*then.head][..], &then.body].concat();
                (&[*id, then.id][..], &both)
            }
        };
        let wanted = Wanted {
            ids,
            interest,
            at_once: request.is_within,
        };
        let error = loop {
            match channel.request(wanted, head, body, file) {
                Ok(None) => return Ok(*id),
                Ok(Some(frame)) => self.run_other(frame)?,
                Err(error) => break error,
            }
        };
        Err(self.unsent(ids, error))
    }

    /// Sends a request, and `then` another, if nothing else is without an answer.
    pub(crate) fn send_alone(
        &self,
        request: &Encoded<'_>,
        then: Option<&Encoded<'_>>,
    ) -> Result<Option<u64>> {
        let id = request.id;
        let (ids, body) = match then {
            None => (vec![id], Vec::new()),
            Some(then) => (vec![id, then.id], [&[&*then.head][..], &then.body].concat()),
        };
        let wanted = Wanted {
            ids: &ids,
            interest: Interest::Sent,
            at_once: request.is_within,
        };
        let channel = &self.shared.channel;
        match channel.request_alone(wanted, &request.head, &body) {
            Ok(is_sent) => Ok(is_sent.then_some(id)),
            Err(error) => Err(self.unsent(&ids, error)),
        }
    }

    /// Why requests could not be sent.
    fn unsent(&self, ids: &[u64], error: Error) -> Error {
        let has_ended = matches!(&error, Error::Connection(source)
            if matches!(source.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset));
        if !has_ended {
            // Such as a file that the system does not pass on: no answer comes.
            let channel = &self.shared.channel;
            ids.iter().for_each(|&id| channel.abandon(id));
            return error;
        }
        // What the executor says of it, before it went, is worth more.
        match self.answer(ids[0]) {
            Err(Error::Failed(failure)) => Error::Failed(failure),
            _ => error,
        }
    }

    /// A request as it is sent, with an id. What a closure asks for is part of the call that waits for it.
    pub(crate) fn encoded<'a>(
        &self,
        request: &Request<'_>,
        body: Vec<&'a [u8]>,
    ) -> Result<Encoded<'a>> {
        let channel = &self.shared.channel;
        let id = self.next_id();
        let body_size = body.iter().map(|part| part.len()).sum();
        // Most are no longer.
        let mut head = Vec::with_capacity(128);
        let limit = channel.peer_limit();
        let callback = Doing::of(channel);
        match callback {
            None => encode(&mut head, id, request, body_size, limit)?,
            Some(callback) => {
                let request = (Request::Within { callback }, request);
                encode(&mut head, id, &request, body_size, limit)?;
            }
        }
        Ok(Encoded {
            id,
            head,
            body,
            is_within: callback.is_some(),
        })
    }

    pub(crate) fn next_id(&self) -> u64 {
        1 + self.shared.last_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits for the answer to a request.
    pub(crate) fn answer(&self, id: u64) -> Result<Answer> {
        Answer::read(self.answer_frame(id)?)
    }

    /// Waits for the answer to a request, as it comes.
    pub(crate) fn answer_frame(&self, id: u64) -> Result<Frame> {
        let channel = &self.shared.channel;
        loop {
            let others = match Doing::something() {
                true => Others::PassedOn,
                false => Others::Done,
            };
            match channel.wait(Some(id), others)? {
                Some(Event::Answer(frame)) => return Ok(frame),
                Some(Event::Request(frame)) => self.run_closure(&frame)?,
                Some(Event::Other(frame)) => self.run_other(frame)?,
                None => return Err(Error::Closed { in_frame: false }),
            }
        }
    }

    /// Sends a request whose answer nobody waits for.
    pub(crate) fn send_and_forget(&self, request: &Request<'_>) {
        if self.shared.channel.is_asynchronous() {
            // What polls futures does not wait.
            return self.post(request);
        }
        // A connection that has ended has freed everything.
        if let Ok(id) = self.send(request, &[], None) {
            self.shared.channel.abandon(id);
        }
    }
}
