//! The executors of a pool: who is there, who has how much to do, and who waits for them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use farcall_protocol::ErrorKind;

use super::PoolOptions;
use super::link::{Link, lock};
use super::step::Step;
use crate::{Address, Error, Result, TlsClient};

/// What a pool's clones, functions and threads share.
pub(super) struct Members {
    pub(super) options: PoolOptions,
    /// How those are reached whose addresses are for TLS.
    pub(super) tls: Option<TlsClient>,
    state: Mutex<State>,
    /// Notified when there is room for a call, or as below.
    room: Condvar,
    /// Notified when a member comes or is tried, when all have something new, and at the end.
    changed: Condvar,
}

pub(super) struct State {
    pub(super) members: Vec<Member>,
    /// What all have, in the order in which they got it.
    pub(super) steps: Vec<Arc<Step>>,
    /// Whether somebody is giving all something new, or taking it away.
    pub(super) is_changing: bool,
    pub(super) is_closed: bool,
    /// Where the next look for a member begins.
    next: usize,
    waiting: [Waiting; 2],
}

pub(super) struct Member {
    pub(super) address: Address,
    pub(super) link: Option<Arc<Link>>,
    /// Why there is no connection, or was none the last time.
    pub(super) reason: Option<String>,
    /// How often it was tried to connect to it.
    pub(super) n_attempts: u64,
    pub(super) n_calls: u64,
    pub(super) n_lost: u64,
    pub(super) is_mended: bool,
    /// How long to wait before it is tried again.
    pub(super) pause: Duration,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// An executor that takes a call: each is for one.
    Room,
    /// Anything else, which is for all.
    Change,
}

/// Who waits.
#[derive(Default)]
struct Waiting {
    n_threads: usize,
    futures: VecDeque<(u64, Waker)>,
    last: u64,
}

/// How long a call has waited because nobody was there, and how often each had been tried before.
#[derive(Default)]
pub(super) struct Patience(Option<(Instant, Vec<u64>)>);

/// A call that is on its way to a member.
pub(super) struct Flight {
    members: Arc<Members>,
    pub(super) link: Arc<Link>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        let state = self.members.lock();
        self.link.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.members.room_for_one(state);
    }
}

/// Nobody else changes what all have, as long as this is there.
pub(super) struct Turn<'a>(&'a Members);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.is_changing = false);
    }
}

impl Members {
    pub(super) fn new(
        addresses: Vec<Address>,
        tls: Option<TlsClient>,
        options: PoolOptions,
    ) -> Self {
        let members = addresses.into_iter().map(|address| Member {
            address,
            link: None,
            reason: None,
            n_attempts: 0,
            n_calls: 0,
            n_lost: 0,
            is_mended: false,
            pause: Duration::ZERO,
        });
        Self {
            options,
            tls,
            state: Mutex::new(State {
                members: members.collect(),
                steps: Vec::new(),
                is_changing: false,
                is_closed: false,
                next: 0,
                waiting: Default::default(),
            }),
            room: Condvar::new(),
            changed: Condvar::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Changes something that others may wait for.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let changed = change(&mut state);
        let woken = state
            .waiting
            .each_mut()
            .map(|it| std::mem::take(&mut it.futures));
        drop(state);
        self.room.notify_all();
        self.changed.notify_all();
        for (_, waker) in woken.into_iter().flatten() {
            waker.wake();
        }
        changed
    }

    fn room_for_one(&self, mut state: MutexGuard<'_, State>) {
        let waiting = &mut state.waiting[For::Room as usize];
        let woken = waiting.futures.pop_front();
        let has_threads = waiting.n_threads > 0;
        drop(state);
        if has_threads {
            self.room.notify_one();
        }
        if let Some((_, waker)) = woken {
            waker.wake();
        }
    }

    /// Waits on this thread until there is what is wanted.
    pub(super) fn wait<T>(&self, what: For, mut take: impl FnMut(&mut State) -> Option<T>) -> T {
        let condition = match what {
            For::Room => &self.room,
            For::Change => &self.changed,
        };
        let mut state = self.lock();
        loop {
            if let Some(taken) = take(&mut state) {
                return taken;
            }
            state.waiting[what as usize].n_threads += 1;
            state = (condition.wait(state)).unwrap_or_else(PoisonError::into_inner);
            state.waiting[what as usize].n_threads -= 1;
        }
    }

    /// The same as a future.
    pub(super) async fn wait_async<T>(
        &self,
        what: For,
        mut take: impl FnMut(&mut State) -> Option<T>,
    ) -> T {
        let mut waiter = Waiter {
            members: self,
            what,
            number: None,
        };
        poll_fn(move |context| {
            let mut state = self.lock();
            if let Some(taken) = take(&mut state) {
                let waker = waiter.leave(&mut state);
                drop(state);
                drop(waker);
                return Poll::Ready(taken);
            }
            let before = waiter.leave(&mut state);
            waiter.enter(&mut state, context.waker().clone());
            drop(state);
            // It may be the last that knows a task which waits here too, and so not go under the lock.
            drop(before);
            Poll::Pending
        })
        .await
    }

    /// Waits until nobody else changes what all have.
    pub(super) async fn turn(&self) -> Turn<'_> {
        let take = |state: &mut State| {
            let is_free = !std::mem::replace(&mut state.is_changing, true);
            is_free.then_some(Turn(self))
        };
        self.wait_async(For::Change, take).await
    }

    /// Waits until no pause is left, or the pool ends.
    pub(super) fn pause(&self, pause: Duration) {
        let waited = (self.changed).wait_timeout_while(self.lock(), pause, |it| !it.is_closed);
        drop(waited);
    }

    /// Takes the member with the least to do, for a call. `None` when all have as much as they may, or none is there and it is not known of each that
    /// it cannot be reached.
    pub(super) fn take(
        self: &Arc<Self>,
        state: &mut State,
        patience: &mut Patience,
    ) -> Option<Result<Flight>> {
        let n_members = state.members.len();
        let order = (0..n_members).map(|nth| (state.next + nth) % n_members);
        let links = order.filter_map(|index| state.members[index].link.as_ref());
        let Some(link) = links.min_by_key(|link| link.n_in_flight()) else {
            self.mend_all(state);
            return state.nobody(patience, self.options.patience).map(Err);
        };
        if link.n_in_flight() >= self.options.most_in_flight.max(1) {
            return None;
        }
        let link = Arc::clone(link);
        link.in_flight.fetch_add(1, Ordering::Relaxed);
        state.members[link.member].n_calls += 1;
        state.next = link.member + 1;
        Some(Ok(Flight {
            members: Arc::clone(self),
            link,
        }))
    }

    /// The connections that are there, or why there are none.
    pub(super) fn links(
        self: &Arc<Self>,
        state: &mut State,
        patience: &mut Patience,
    ) -> Option<Result<Vec<Arc<Link>>>> {
        let links: Vec<_> = state.links().cloned().collect();
        if links.is_empty() {
            self.mend_all(state);
            return state.nobody(patience, self.options.patience).map(Err);
        }
        Some(Ok(links))
    }

    /// Notes that a connection has failed, and has the executor connected to anew.
    pub(super) fn lost(self: &Arc<Self>, link: &Arc<Link>, error: &Error) {
        let lost = self.leave(link, error);
        // Others who wait for it need not wait longer.
        link.executor.shared.channel.close();
        drop(lost);
    }

    /// Gives a connection no more calls, and has its executor, or the next one at its address, connected to. What is asked already may be
    /// answered; the connection ends with the last who waits.
    pub(super) fn leave(self: &Arc<Self>, link: &Arc<Link>, error: &Error) -> Option<Arc<Link>> {
        self.change(|state| {
            let member = &mut state.members[link.member];
            let is_current = member.link.as_ref().is_some_and(|it| Arc::ptr_eq(it, link));
            let left = member.link.take_if(|_| is_current)?;
            member.n_lost += 1;
            member.reason = Some(error.to_string());
            member.pause = super::mend::pause_after(member.pause, link.since.elapsed());
            self.mend_all(state);
            Some(left)
        })
    }
}

/// Whether this is an executor's word that it is stopping, and has not begun what it was asked for.
pub(super) fn is_stopping(error: &Error) -> bool {
    matches!(error, Error::Failed(failure) if failure.kind == ErrorKind::Stopping)
}

impl State {
    pub(super) fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.members.iter().filter_map(|it| it.link.as_ref())
    }

    /// Why nobody is there, once all have been tried since the first time that this was asked for a call, and it has waited long enough.
    fn nobody(&self, patience: &mut Patience, most: Duration) -> Option<Error> {
        let attempts = || self.members.iter().map(|it| it.n_attempts);
        let (since, before) =
            (patience.0).get_or_insert_with(|| (Instant::now(), attempts().collect()));
        let are_tried = attempts().zip(before.iter()).all(|(now, &then)| now > then);
        let is_over = are_tried && since.elapsed() >= most;
        is_over.then(|| self.no_executor())
    }

    pub(super) fn no_executor(&self) -> Error {
        let reasons = self.members.iter().map(|member| {
            let reason = member.reason.clone().unwrap_or_default();
            (member.address.clone(), reason)
        });
        Error::NoExecutor {
            reasons: reasons.collect(),
        }
    }
}

/// A future that may be among those that wait.
struct Waiter<'a> {
    members: &'a Members,
    what: For,
    number: Option<u64>,
}

impl Waiter<'_> {
    fn enter(&mut self, state: &mut State, waker: Waker) {
        let waiting = &mut state.waiting[self.what as usize];
        waiting.last += 1;
        waiting.futures.push_back((waiting.last, waker));
        self.number = Some(waiting.last);
    }

    /// Gives its waker if it was not woken.
    fn leave(&mut self, state: &mut State) -> Option<Waker> {
        let number = self.number.take()?;
        let futures = &mut state.waiting[self.what as usize].futures;
        // They are in the order of their numbers.
        let index = futures.binary_search_by_key(&number, |(it, _)| *it).ok()?;
        futures.remove(index).map(|(_, waker)| waker)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if self.number.is_none() {
            return;
        }
        let mut state = self.members.lock();
        let waker = self.leave(&mut state);
        if waker.is_none() && self.what == For::Room {
            // The room that it was woken for is another one's now.
            self.members.room_for_one(state);
        } else {
            drop(state);
        }
    }
}
