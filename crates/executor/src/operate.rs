//! What a controller asks about an executor itself, and not about what is loaded there.

use std::io::{self, Write as _};

use farcall_image::Digest;
use farcall_protocol::{Request, Response, Statistics};

use crate::Result;
use crate::client::{Executor, out_of_place};

impl Executor {
    /// Waits for an answer that says nothing else: that the executor is well.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub fn ping(&self) -> Result<()> {
        self.done(&Request::Ping, &[])
    }

    /// What the executor has done so far, for all its controllers.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub fn statistics(&self) -> Result<Statistics> {
        match self.ask(&Request::Statistics, &[])?.response {
            Response::Statistics(statistics) => Ok(*statistics),
            _ => Err(out_of_place()),
        }
    }

    /// Has what shipped code prints passed to `printed`, in pieces, with whether it is standard error: what a call prints before the call
    /// returns. Executors whose calls run in their own process print it themselves. It is not passed on to anybody unless this says so.
    ///
    /// `printed` is called on a thread that waits for an answer, and must not use this executor.
    pub fn on_output(&self, printed: impl Fn(bool, &[u8]) + Send + Sync + 'static) {
        self.shared.channel.on_output(Box::new(printed));
    }

    /// Has what shipped code prints printed by this process, on its own standard output and error, as [`Executor::on_output`] has it.
    pub fn print_output(&self) {
        self.on_output(|is_error, bytes| {
            // Where nobody reads it any more it is lost.
            let _ = if is_error {
                io::stderr().write_all(bytes)
            } else {
                let mut out = io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush())
            };
        });
    }

    /// Has an executor forget how often an image has crashed, so that it runs again if it was refused for that.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`](crate::Error::Failed) when calls do not run in workers there.
    pub fn pardon(&self, image: Digest) -> Result<()> {
        self.done(&Request::Pardon { digest: image }, &[])
    }
}
