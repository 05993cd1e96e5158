//! What a thread is doing for the other side of a connection, so that what it asks for meanwhile is known to be part of that.

use std::cell::RefCell;

use crate::channel::Channel;

/// The most calls within one another on one thread.
pub(crate) const DEEPEST: usize = 64;

thread_local! {
    /// Connections, by their addresses, with the other side's request that is being done; what began last is last.
    static DOING: RefCell<Vec<(usize, u64)>> = const { RefCell::new(Vec::new()) };
}

/// A request of the other side's that this thread does until this is dropped.
pub(crate) struct Doing(());

impl Doing {
    /// `None` when there are [as many](DEEPEST) as may be.
    pub(crate) fn begin(channel: &Channel, id: u64) -> Option<Self> {
        let begin = |doing: &RefCell<Vec<_>>| {
            let mut doing = doing.borrow_mut();
            if doing.len() >= DEEPEST {
                return None;
            }
            doing.push((address(channel), id));
            Some(Self(()))
        };
        // A thread that has ended but for what is run at its end does nothing more.
        DOING.try_with(begin).ok().flatten()
    }

    /// The request of this connection that this thread is doing.
    pub(crate) fn of(channel: &Channel) -> Option<u64> {
        let of = |doing: &RefCell<Vec<(usize, u64)>>| {
            let doing = doing.borrow();
            let of_it = doing.iter().rev().find(|it| it.0 == address(channel));
            of_it.map(|&(_, id)| id)
        };
        DOING.try_with(of).ok().flatten()
    }

    /// Whether this thread is doing something for any other side.
    pub(crate) fn something() -> bool {
        DOING
            .try_with(|doing| !doing.borrow().is_empty())
            .unwrap_or(true)
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        let _ = DOING.try_with(|doing| doing.borrow_mut().pop());
    }
}

fn address(channel: &Channel) -> usize {
    std::ptr::from_ref(channel).addr()
}
