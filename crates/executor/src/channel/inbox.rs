//! What has come over a connection and is not taken yet, and what is to come.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;

use farcall_protocol::{Failure, Frame};
use foldhash::fast::FixedState;

use super::asynchronous::Futures;
use crate::Error;

#[derive(Default)]
pub(super) struct Inbox {
    /// Requests without an answer.
    pub(super) expected: HashMap<u64, Interest, FixedState>,
    pub(super) answers: HashMap<u64, Frame, FixedState>,
    /// What the other side asks for.
    pub(super) requests: VecDeque<Frame>,
    /// What it asks for in order to answer one of our requests.
    pub(super) within: Vec<(u64, Frame)>,
    /// Files, by the ids of the requests which they came with.
    pub(super) files: HashMap<u64, OwnedFd, FixedState>,
    /// Requests that are not to be begun, as those say that wait with them.
    pub(super) cancelled: HashSet<u64, FixedState>,
    /// Whether a thread reads.
    pub(super) reading: bool,
    pub(super) n_waiting: usize,
    pub(super) end: Option<End>,
    /// Whether the other side has said who it is.
    pub(super) is_greeted: bool,
    pub(super) taking: Taking,
    /// Whether the thread that serves the connection has nothing to do.
    pub(super) is_at_rest: bool,
    pub(super) futures: Futures,
}

/// Which requests of the other side's are begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Taking {
    #[default]
    All,
    /// As many of those that wait; what comes after them is late.
    First(usize),
    /// None, and the other side knows it.
    None,
}

/// Who wants an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Somebody may wait for it later, or waits and does something else at present.
    Sent,
    /// A thread waits for it or is about to, and does what is asked for in order to answer.
    Awaited,
    /// Nobody.
    Abandoned,
}

impl Inbox {
    /// Says who wants an answer. Gives whether it is to come.
    pub(super) fn interest(&mut self, id: u64, now: Interest) -> bool {
        let interest = self.expected.get_mut(&id);
        interest.map(|interest| *interest = now).is_some()
    }

    /// What is asked for in order to answer the request `own`.
    pub(super) fn take_within(&mut self, own: u64) -> Option<Frame> {
        let position = self.within.iter().position(|&(id, _)| id == own)?;
        Some(self.within.remove(position).1)
    }

    /// What is asked for that no thread does in order to have its answer.
    pub(super) fn take_other(&mut self) -> Option<Frame> {
        let is_awaited = |id| self.expected.get(&id) == Some(&Interest::Awaited);
        match self.within.iter().position(|&(id, _)| !is_awaited(id)) {
            Some(position) => Some(self.within.remove(position).1),
            None => self.requests.pop_front(),
        }
    }

    /// How many bytes the requests of the other side's take that wait.
    pub(super) fn request_bytes(&self) -> usize {
        let within = self.within.iter().map(|(_, frame)| frame.len());
        let requests = self.requests.iter().map(|frame| frame.len());
        requests.sum::<usize>() + within.sum::<usize>()
    }

    /// How many requests of the other side's wait.
    pub(super) fn n_requests(&self) -> usize {
        self.requests.len() + self.within.len()
    }
}

/// Why nothing more comes.
#[derive(Debug, Clone)]
pub(super) enum End {
    Closed {
        in_frame: bool,
    },
    System(io::ErrorKind, String),
    Protocol(farcall_protocol::Error),
    OutOfPlace(&'static str),
    /// The executor's last word.
    Failed(Failure),
}

impl End {
    pub(super) fn of(error: Error) -> Self {
        match error {
            Error::Connection(error) => Self::System(error.kind(), error.to_string()),
            Error::Protocol(error) => Self::Protocol(error),
            Error::Closed { in_frame } => Self::Closed { in_frame },
            other => Self::System(io::ErrorKind::Other, other.to_string()),
        }
    }

    pub(super) fn error(self) -> Error {
        match self {
            Self::Closed { in_frame } => Error::Closed { in_frame },
            Self::System(kind, message) => Error::Connection(io::Error::new(kind, message)),
            Self::Protocol(error) => Error::Protocol(error),
            Self::OutOfPlace(what) => Error::OutOfPlace { what },
            Self::Failed(failure) => Error::Failed(failure),
        }
    }
}
