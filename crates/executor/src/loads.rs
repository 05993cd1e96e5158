//! Sending images.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use farcall_image::Image;
use farcall_loader::invoke::Value;
use farcall_protocol::{Callee, ErrorKind, Order};

use crate::argument::Argument;
use crate::client::{Executor, LoadOptions, RemoteModule, size};
use crate::exchange::Encoded;
use crate::pending::{Pending, PendingLoad};
use crate::{Error, Result};

impl Executor {
    /// Loads an image, with no name and all modules in scope.
    ///
    /// # Errors
    ///
    /// As [`Executor::load_with`].
    pub fn load(&self, image: &Image<'_>) -> Result<RemoteModule> {
        self.load_with(image, LoadOptions::default())
    }

    /// Loads an image. Its bytes are sent unless the executor is known to have a module of its digest; then
    /// nothing is loaded and the module that is there has the scope that it was loaded with.
    ///
    /// One round trip; two when the executor no longer has the module, or has so many that it did not list all, and the image is
    /// large.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when it cannot be loaded; nothing of it is left there.
    pub fn load_with(&self, image: &Image<'_>, options: LoadOptions<'_>) -> Result<RemoteModule> {
        self.start_load(image, options)?.wait()
    }

    /// Begins to load an image, as [`Executor::load_with`] does. What is asked afterwards is done afterwards, so that a call can be
    /// sent without waiting for this: both take one round trip.
    ///
    /// # Errors
    ///
    /// When the connection fails, or the executor does not take as much.
    pub fn start_load<'a>(
        &self,
        image: &'a Image<'a>,
        options: LoadOptions<'a>,
    ) -> Result<PendingLoad<'a>> {
        let sends = self.is_to_be_sent(image);
        let id = self.send_image(image, options, sends, None)?;
        Ok(self.pending_load(id, image, options, sends))
    }

    /// Loads an image as [`Executor::load_with`] does, and calls a function of it as [`Executor::call`] does, in one round trip.
    ///
    /// Over streams that are neither sockets nor pipes these are two.
    ///
    /// # Errors
    ///
    /// As both of them. When the image could not be loaded, the function was not called.
    pub fn load_and_call(
        &self,
        image: &Image<'_>,
        options: LoadOptions<'_>,
        function: &str,
        signature: Option<&str>,
        arguments: &mut [Argument<'_>],
    ) -> Result<(RemoteModule, Value)> {
        let digest = image.digest();
        if !self.shared.channel.is_pipelined() {
            let module = self.load_with(image, options)?;
            let value = self.call(digest, function, signature, arguments)?;
            return Ok((module, value));
        }
        let callee = Callee::Export {
            module: digest.into(),
            name: function,
            signature,
        };
        let sends = self.is_to_be_sent(image);
        let call = self.encoded_call(callee, Order::WithAnswersBefore, arguments)?;
        let load = self.send_image(image, options, sends, Some(&call))?;
        let call = Pending::new(self.clone(), call.id);
        let mut load = self.pending_load(load, image, options, sends);
        if let Some(module) = load.answered()? {
            return Ok((module, call.wait_into(arguments)?));
        }
        // It no longer had the module, so that there was nothing to call, unless another controller was faster.
        let value = match call.wait_into(arguments) {
            Err(Error::Failed(failure)) if failure.kind == ErrorKind::UnknownModule => None,
            called => Some(called?),
        };
        let module = load.wait()?;
        let value = value.map_or_else(|| self.call(digest, function, signature, arguments), Ok);
        Ok((module, value?))
    }

    fn pending_load<'a>(
        &self,
        id: u64,
        image: &'a Image<'a>,
        options: LoadOptions<'a>,
        was_sent: bool,
    ) -> PendingLoad<'a> {
        PendingLoad {
            executor: self.clone(),
            id: Some(id),
            image,
            options,
            was_sent,
        }
    }

    /// Sends a request to load an image, with it or as an offer, and `then` another.
    pub(crate) fn send_image(
        &self,
        image: &Image<'_>,
        options: LoadOptions<'_>,
        sends: bool,
        then: Option<&Encoded<'_>>,
    ) -> Result<u64> {
        if sends && let Some(id) = self.send_docked(image, options, then)? {
            let passed = &self.shared.passed;
            passed.fetch_add(size(image.bytes().len()), Ordering::Relaxed);
            return Ok(id);
        }
        let shipment = self.shipment(image, options, sends);
        let file = shipment.file.as_ref().map(AsFd::as_fd);
        self.send_with(&shipment.request, &[&shipment.body], file, then)
    }
}
