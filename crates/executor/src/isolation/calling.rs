//! Functions of a controller that shipped code calls in a worker: the call goes on to the controller, and what that asks for meanwhile to the worker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use farcall_image::Digest;
use farcall_loader::invoke::Value;
use farcall_protocol::{ErrorKind, Failure, FirstCall, NO_REQUEST, Response};

use super::front::Front;
use super::pool::{Worker, lock};
use crate::callback::{GONE, call_back};
use crate::doing::Doing;
use crate::peer::wire_value;
use crate::pending::loaders_value;

/// The functions of one controller, by the numbers that the supervisor gives those of all.
#[derive(Debug, Default)]
pub(super) struct Callbacks {
    defined: HashMap<u64, u64>,
    /// By the number of the space and the function's place, as the supervisor counts, and as the controller does.
    on_first_call: HashMap<(u64, u64), (u64, u64)>,
}

impl Callbacks {
    pub(super) fn are_none(&self) -> bool {
        self.defined.is_empty() && self.on_first_call.is_empty()
    }

    /// What the controller is asked for.
    fn meant(&self, number: u64, arguments: &[Value]) -> Option<(u64, Vec<Value>)> {
        if let Some(&own) = self.defined.get(&number) {
            return Some((own, arguments.to_vec()));
        }
        let [Value::Int { bits, value: place }] = *arguments else {
            return None;
        };
        let &(own, value) = self.on_first_call.get(&(number, place))?;
        Some((own, vec![Value::Int { bits, value }]))
    }
}

thread_local! {
    /// The workers for which this thread waits for a controller; what began last is last.
    static CALLING: RefCell<Vec<Arc<Worker>>> = const { RefCell::new(Vec::new()) };
}

/// That this thread does something in the middle of a call of a worker's, until this is dropped.
pub(super) struct Calling(());

/// In the middle of which call something is done.
pub(super) struct Within {
    worker: Arc<Worker>,
    callback: u64,
}

impl Calling {
    fn begin(worker: &Arc<Worker>) -> Self {
        CALLING.with_borrow_mut(|calling| calling.push(Arc::clone(worker)));
        Self(())
    }

    /// The worker in the middle of whose call this thread does something.
    pub(super) fn worker() -> Option<Arc<Worker>> {
        CALLING.with_borrow(|calling| calling.last().cloned())
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        CALLING.with_borrow_mut(Vec::pop);
    }
}

impl Within {
    /// What this thread is in the middle of.
    pub(super) fn now() -> Option<Self> {
        let worker = Calling::worker()?;
        let callback = Doing::of(worker.channel())?;
        Some(Self { worker, callback })
    }

    /// Has this thread be in the middle of it too.
    pub(super) fn join(&self) -> (Calling, Option<Doing>) {
        let calling = Calling::begin(&self.worker);
        (calling, Doing::begin(self.worker.channel(), self.callback))
    }
}

impl Front {
    /// Has what a worker calls passed on.
    pub(super) fn relay_calls_of(self: &Arc<Self>, worker: &Arc<Worker>) {
        let front = Arc::downgrade(self);
        let calling = Arc::downgrade(worker);
        worker.relay_calls(move |number, arguments| {
            let (Some(front), Some(worker)) = (front.upgrade(), calling.upgrade()) else {
                return Err(GONE.to_owned());
            };
            front.call_back(&worker, number, arguments)
        });
    }

    /// Has a thread wait for what a worker calls while nobody waits for the worker, once there is something to call.
    pub(super) fn serve_calls_of(&self, worker: &Worker) {
        if !lock(&self.state).callbacks.are_none() {
            worker.serve_calls();
        }
    }

    /// Asks the controller, and waits for its answer.
    fn call_back(
        self: &Arc<Self>,
        worker: &Arc<Worker>,
        number: u64,
        arguments: &[Value],
    ) -> Result<Value, String> {
        let meant = lock(&self.state).callbacks.meant(number, arguments);
        let (number, arguments) = meant.ok_or(
            "it is a function of another controller's, which only calls of that one can reach in workers",
        )?;
        // What it has printed comes before what it asks.
        worker.pass_on_output();
        let request = Response::CallBack {
            request: Doing::of(&self.channel).unwrap_or(NO_REQUEST),
            number,
            arguments: arguments.into_iter().map(wire_value).collect(),
        };
        let id = self.next_callback.fetch_add(1, Ordering::Relaxed);
        let _calling = Calling::begin(worker);
        let wait = || call_back(&self.channel, id, &request, |frame| self.handle(frame));
        let value = self.shared.workers.while_away(wait)?;
        Ok(loaders_value(value))
    }

    /// The supervisor's number for a function of the controller's.
    pub(super) fn number_of(&self, own: u64) -> u64 {
        let number = self.supervisor.next_number();
        let mut state = lock(&self.state);
        state.callbacks.defined.insert(number, own);
        let worker = state.worker.clone();
        drop(state);
        if let Some(worker) = worker {
            self.serve_calls_of(&worker);
        }
        number
    }

    /// Defines functions that lead where this controller says, in its worker.
    pub(super) fn define_on_first_call(
        &self,
        space: Digest,
        own: u64,
        first: u64,
        functions: &[FirstCall<'_>],
    ) -> Result<Response, Failure> {
        let (number, places) = self.supervisor.define_on_first_call(space, functions)?;
        let mut state = lock(&self.state);
        for (place, nth) in places.into_iter().zip(0..) {
            let meant = (own, first.saturating_add(nth));
            state.callbacks.on_first_call.insert((number, place), meant);
        }
        let worker = state.worker.clone();
        drop(state);
        if let Some(worker) = worker {
            self.serve_calls_of(&worker);
        }
        Ok(Response::Done)
    }
}

/// What is asked for in the middle of a call whose process has ended.
pub(super) fn has_ended() -> Failure {
    Failure {
        kind: ErrorKind::Crashed,
        message: "the process that waits for this has ended".to_owned(),
    }
}
