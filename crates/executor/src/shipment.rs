//! How an image goes to an executor.

use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::Ordering;

use farcall_image::{Digest, Image};
use farcall_loader::SealedFile;
use farcall_protocol::{Form, MAX_ANNOUNCED_MODULES, Request};

use crate::client::{Executor, LoadOptions, size};
use crate::compress;

/// An image of this size or more, in bytes, goes in a file in memory where files can be passed.
pub(crate) const LARGE_IMAGE: usize = 64 << 10;

/// A request to load an image, with what goes with it.
pub(crate) struct Shipment<'a> {
    pub(crate) request: Request<'a>,
    pub(crate) body: Cow<'a, [u8]>,
    pub(crate) file: Option<ShippedFile<'a>>,
}

/// A file in memory that holds an image.
pub(crate) enum ShippedFile<'a> {
    /// Written for this.
    Written(OwnedFd),
    /// That which the image's bytes were in before.
    Given(BorrowedFd<'a>),
}

impl AsFd for ShippedFile<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Written(file) => file.as_fd(),
            Self::Given(file) => *file,
        }
    }
}

impl Executor {
    /// Whether an image is sent without asking first.
    pub(crate) fn is_to_be_sent(&self, image: &Image<'_>) -> bool {
        let is_large = image.bytes().len() >= LARGE_IMAGE;
        // Whether it has one that it did not list is worth a question where the answer may save much.
        let is_unsure = is_large && self.hello().modules.len() == MAX_ANNOUNCED_MODULES;
        !is_unsure && !self.known().contains(&image.digest())
    }

    /// The request to load an image that comes in this form.
    pub(crate) fn load_request<'a>(
        &self,
        image: &Image<'_>,
        options: LoadOptions<'a>,
        form: Form,
    ) -> Request<'a> {
        Request::Load {
            digest: image.digest(),
            size: size(image.bytes().len()),
            name: options.name,
            scope: options.scope.map(<[Digest]>::to_vec),
            form,
        }
    }

    /// The request to load an image, with it or as an offer.
    pub(crate) fn shipment<'a>(
        &self,
        image: &Image<'a>,
        options: LoadOptions<'a>,
        sends: bool,
    ) -> Shipment<'a> {
        let bytes = image.bytes();
        let channel = &self.shared.channel;
        let of = |form, body, file| Shipment {
            request: self.load_request(image, options, form),
            body,
            file,
        };
        if !sends {
            return of(Form::Plain, Cow::Borrowed(&[]), None);
        }
        if bytes.len() >= LARGE_IMAGE && channel.passes_files() {
            let is_same = |file: &&SealedFile| ptr::eq(file.bytes(), bytes);
            let given = options.file.filter(is_same).and_then(SealedFile::file);
            let file = match given {
                Some(file) => Some(ShippedFile::Given(file)),
                // Without files in memory it goes the other way.
                None => SealedFile::create(bytes).ok().map(ShippedFile::Written),
            };
            if file.is_some() {
                let passed = &self.shared.passed;
                passed.fetch_add(size(bytes.len()), Ordering::Relaxed);
                return of(Form::File, Cow::Borrowed(&[]), file);
            }
        }
        let packed = channel.is_far().then(|| compress::pack(bytes)).flatten();
        match packed {
            Some(packed) => of(Form::Zstandard, Cow::Owned(packed), None),
            None => of(Form::Plain, Cow::Borrowed(bytes), None),
        }
    }
}
