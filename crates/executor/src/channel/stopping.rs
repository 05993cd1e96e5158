//! Ending a connection after what was asked for, and refusing what is asked for later.
//!
//! The one that stops marks what is there. From then on the thread that serves the connection gets what was there as it is, and what came
//! later as late. When nothing is being done any more, whoever is last says so to the other side: an answer that has not come by then
//! never does, and what it is of was not begun.

use std::sync::atomic::Ordering;

use farcall_protocol::{Frame, HELLO_LIMIT, NO_REQUEST, Response, encode};

use super::inbox::{End, Inbox, Taking};
use super::{Channel, lock};
use crate::Result;
use crate::failures::stopping;
use crate::transport::Parcel;

/// What the thread that serves a connection gets.
#[derive(Debug)]
pub(crate) enum Next {
    Request(Frame),
    /// One that came when the executor was stopping.
    Late(Frame),
}

impl Channel {
    /// The next request; `None` at the end of the stream, and when nothing more is to be done.
    pub(crate) fn next_request(&self) -> Result<Option<Next>> {
        loop {
            let next = self.wait_for(|inbox| {
                let next = self.take_next(inbox);
                inbox.is_at_rest = next.is_none();
                next
            });
            match next {
                Ok(Some(next)) => return Ok(Some(next)),
                // The other side is read to its end: closing a socket that has unread bytes takes back what was sent and not received.
                Ok(None) => self.say_last_word(),
                Err(End::Closed { in_frame: false }) => return Ok(None),
                Err(_) if self.has_parted() => return Ok(None),
                Err(end) => return Err(end.error()),
            }
        }
    }

    /// What is next; `None` within when it is time to part.
    fn take_next(&self, inbox: &mut Inbox) -> Option<Option<Next>> {
        match &mut inbox.taking {
            Taking::All => inbox.take_other().map(Next::Request).map(Some),
            Taking::First(n_left) if *n_left > 0 => {
                *n_left -= 1;
                inbox.requests.pop_front().map(Next::Request).map(Some)
            }
            Taking::First(_) => {
                if let Some(late) = inbox.take_other() {
                    return Some(Some(Next::Late(late)));
                }
                self.may_part(inbox).then(|| {
                    inbox.taking = Taking::None;
                    None
                })
            }
            Taking::None => {
                inbox.requests.clear();
                inbox.within.clear();
                inbox.files.clear();
                None
            }
        }
    }

    /// Whether nothing is being done, but by the thread that serves the connection.
    fn may_part(&self, inbox: &Inbox) -> bool {
        inbox.taking == Taking::First(0)
            && inbox.n_requests() == 0
            && inbox.expected.is_empty()
            && self.n_beside.load(Ordering::SeqCst) == 0
    }

    /// Says that requests which come from now on are late. Those that were sent are there, but for more than can be read ahead.
    pub(crate) fn stop_taking(&self) {
        // Before that its hello would be taken for a request.
        if self.inbox().is_greeted {
            self.look_ahead();
        }
        let mut inbox = self.inbox();
        if inbox.taking == Taking::All {
            inbox.taking = Taking::First(inbox.requests.len());
        }
        drop(inbox);
        self.is_stopping.store(true, Ordering::SeqCst);
    }

    /// Ends the connection for the other side if the thread that serves it has nothing to do and cannot be asked to: it waits for more.
    pub(crate) fn part_if_at_rest(&self) {
        let mut inbox = self.inbox();
        if inbox.is_at_rest && self.may_part(&inbox) {
            inbox.taking = Taking::None;
            drop(inbox);
            self.say_last_word();
        }
    }

    /// Whether the other side knows that nothing more is done.
    pub(crate) fn has_parted(&self) -> bool {
        self.inbox().taking == Taking::None
    }

    /// Says that another thread does a request.
    pub(crate) fn begin_beside(&self) {
        self.n_beside.fetch_add(1, Ordering::SeqCst);
    }

    /// Says that it has been answered.
    pub(crate) fn end_beside(&self) {
        self.n_beside.fetch_sub(1, Ordering::SeqCst);
        // Whoever stops sets this before it looks at the number.
        if self.is_stopping.load(Ordering::SeqCst) {
            self.part_if_at_rest();
        }
    }

    fn say_last_word(&self) {
        let mut head = Vec::new();
        let word = Response::Failed(stopping());
        let encoded = encode(&mut head, NO_REQUEST, &word, 0, HELLO_LIMIT);
        let mut sender = lock(&self.outgoing);
        let before = std::mem::take(&mut sender.gathered);
        self.has_gathered.store(false, Ordering::Relaxed);
        if encoded.is_ok() {
            // Once: who does not read is not waited for.
            let mut parcel = Parcel::new(&before, &head, &[], None);
            let _ = sender.stream.send(&mut parcel);
        }
        drop(sender);
        if let Some(socket) = &self.socket {
            socket.end();
        }
    }
}
