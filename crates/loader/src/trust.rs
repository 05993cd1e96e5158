//! The one step at which someone vouches for code.

use farcall_image::Image;

use crate::name::Name;

/// An image that someone has vouched for. Only such images load.
#[derive(Debug, Clone)]
pub struct TrustedImage<'data> {
    image: Image<'data>,
    name: Name,
}

impl<'data> TrustedImage<'data> {
    /// Vouches for an image. It is named by its digest until [`TrustedImage::named`]. Nothing is checked and no lock
    /// taken; the digest is not verified.
    ///
    /// # Safety
    ///
    /// The image's code will run in this process with all that the process may do. The caller
    /// vouches that
    ///
    /// - the bytes were produced by farcall and not changed since: they come from a place that only
    ///   trusted people write to, or their digest is one that the caller trusts and
    ///   [`Image::verify_digest`] has confirmed it;
    /// - its constructors and destructors may run in this process, on the threads that load and
    ///   drop the module;
    /// - it uses its imports as what they are bound to wants to be used. The loader compares types
    ///   where both sides have one, and knows nothing beyond types.
    #[must_use]
    pub unsafe fn assume_trusted(image: Image<'data>) -> Self {
        Self {
            name: Name::of(&image.digest()),
            image,
        }
    }

    /// Names the image in messages, for example by its file.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Name::Given(name.into().into());
        self
    }

    /// The image.
    #[must_use]
    pub fn image(&self) -> &Image<'data> {
        &self.image
    }

    /// Its name in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The name itself, for what is made of the image.
    pub(crate) fn name_of(&self) -> &Name {
        &self.name
    }
}
