//! Having a worker do what it has missed since it was forked off.
//!
//! An image that another session has loaded is loaded without being run, and what has to run to be loaded (*outside* of the template) only when it is for
//! that image: so that no image ends a worker that does not use it.

use farcall_image::Digest;
use farcall_protocol::{ErrorKind, Failure, ModuleName, Received, Request, Response, decode};

use super::front::Front;
use super::pool::Worker;

impl Front {
    /// Has a worker do what it has missed, and so load this image.
    pub(super) fn advance(&self, worker: &Worker, image: Digest) -> Result<(), Failure> {
        let done = worker.advance(self.supervisor.is_outside(image));
        if !matches!(done, Ok(false)) {
            // What has to run prints too.
            worker.pass_on_output();
        }
        done.map_err(|gone| self.lost(worker, gone, LOADING, image))?;
        worker.refusal(image).map_or(Ok(()), Err)
    }

    /// Has a worker load this image and run its constructors.
    pub(super) fn start(&self, worker: &Worker, image: Digest) -> Result<(), Failure> {
        self.advance(worker, image)?;
        // A module that is asked for any name starts, also for one that it does not have.
        let request = Request::Lookup {
            module: ModuleName::Digest(image),
            name: "",
        };
        let answer = worker.ask(&request, &[], None);
        worker.pass_on_output();
        let frame = answer.map_err(|gone| self.lost(worker, gone, LOADING, image))?;
        match decode(&frame) {
            Ok(Received {
                message: Response::Failed(failure),
                ..
            }) if failure.kind != ErrorKind::UnknownSymbol => Err(failure),
            _ => Ok(()),
        }
    }
}

/// What a worker does then, for people.
const LOADING: &str = "its constructors";
