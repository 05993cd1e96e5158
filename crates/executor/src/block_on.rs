//! Futures on a thread that waits for them.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

/// Wakes by unparking a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        // Without an end it is ready at last.
        if let Some(output) = poll_until(future.as_mut(), None) {
            return output;
        }
    }
}

/// Waits for a future until it is ready, or as long as that.
pub(crate) fn poll_until<F: Future>(
    mut future: Pin<&mut F>,
    end: Option<Instant>,
) -> Option<F::Output> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        match end.map(|end| end.saturating_duration_since(Instant::now())) {
            Some(left) if left.is_zero() => return None,
            Some(left) => thread::park_timeout(left),
            None => thread::park(),
        }
    }
}

/// Several futures at once: their outputs, in their order, as far as they are there.
pub(crate) struct All<F: Future> {
    futures: Vec<One<F>>,
}

/// A future, and its output once it is there.
type One<F> = (Pin<Box<F>>, Option<<F as Future>::Output>);

impl<F: Future> All<F> {
    pub(crate) fn new(futures: impl IntoIterator<Item = F>) -> Self {
        let futures = futures.into_iter().map(|it| (Box::pin(it), None));
        Self {
            futures: futures.collect(),
        }
    }

    /// What is there; the rest is dropped.
    pub(crate) fn into_outputs(self) -> Vec<Option<F::Output>> {
        self.futures.into_iter().map(|(_, output)| output).collect()
    }
}

impl<F: Future> Future for All<F>
where
    F::Output: Unpin,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut is_ready = true;
        for (future, output) in &mut self.futures {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(done) => *output = Some(done),
                    Poll::Pending => is_ready = false,
                }
            }
        }
        if is_ready {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// The outputs of all futures, in their order.
pub(crate) async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F::Output: Unpin,
{
    let mut all = All::new(futures);
    (&mut all).await;
    all.into_outputs().into_iter().flatten().collect()
}
