//! A thread that LLVM may keep.
//!
//! At some inputs (an intrinsic of another machine, a garbage collector that it does not know) LLVM does not report an error
//! but ends the process, unless the handler for such errors does not return. So each compilation has a thread of its own.
//! When LLVM goes no further the handler says why and parks the thread for good: its stack and its LLVM context are lost,
//! the caller has an error, and the process lives. A thread of our own also has a stack as deep as LLVM's recursions need,
//! whatever thread the caller is on. It costs some tens of microseconds; the smallest compilation takes a millisecond.

use std::{
    io,
    panic::resume_unwind,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use crate::llvm;

/// Bytes of stack, reserved and not committed: four times what a main thread has.
const STACK: usize = 32 << 20;

/// Why a job has no result.
pub(crate) enum Failure {
    /// There is no thread for it.
    Thread(io::Error),
    /// LLVM cannot go on, for this reason.
    GaveUp(String),
}

enum Outcome<T> {
    Done(T),
    GaveUp(String),
}

/// Runs `job` on a thread of its own and waits for it.
pub(crate) fn run<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let (sender, receiver) = mpsc::channel();
    let dispatch = tracing::dispatcher::get_default(Clone::clone);
    let span = tracing::Span::current();
    let body = move || {
        let gave_up = sender.clone();
        // A receiver that is gone means that no one waits for the outcome.
        llvm::on_give_up(Box::new(move |reason| {
            drop(gave_up.send(Outcome::GaveUp(reason)));
        }));
        let result = tracing::dispatcher::with_default(&dispatch, || span.in_scope(job));
        drop(sender.send(Outcome::Done(result)));
    };
    let worker = thread::Builder::new()
        .name("farcall-compile".to_owned())
        .stack_size(STACK)
        .spawn(body)
        .map_err(Failure::Thread)?;
    match receiver.recv() {
        Ok(Outcome::Done(result)) => {
            join(worker);
            Ok(result)
        }
        Ok(Outcome::GaveUp(reason)) => Err(Failure::GaveUp(reason)),
        Err(mpsc::RecvError) => {
            join(worker);
            unreachable!("a worker that ends without an outcome has panicked");
        }
    }
}

/// Waits for the end of a thread, and goes on with its panic if it has one.
fn join(worker: JoinHandle<()>) {
    if let Err(panic) = worker.join() {
        resume_unwind(panic);
    }
}
