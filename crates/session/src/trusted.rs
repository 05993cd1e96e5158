//! The unsafe steps: where someone vouches for code, and the end of code that nobody uses any more.

#![allow(
    unsafe_code,
    reason = "a session runs code, for which its maker vouches"
)]

use farcall_image::Image;
use farcall_loader::{Module, Redirect, Replaced, TrustedImage};

use crate::session::Shared;
use crate::{Builder, Session};

impl Session {
    /// A session with the usual options. Costs nothing: LLVM is set up when there is something to compile.
    ///
    /// # Safety
    ///
    /// Everything that is added to the session, IR, objects and images, will run in this process with all that the
    /// process may do: its constructors on the threads that add, look up or call, its destructors where it is removed or the session
    /// ends. The caller vouches for it as for an image: see [`TrustedImage::assume_trusted`].
    ///
    #[must_use]
    pub unsafe fn new() -> Self {
        // SAFETY: the caller's contract.
        unsafe { Builder::default().build() }
    }
}

impl Builder {
    /// The session.
    ///
    /// # Safety
    ///
    /// As [`Session::new`].
    #[must_use]
    pub unsafe fn build(self) -> Session {
        Session::of(Shared::new(self))
    }
}

/// An image of a session.
pub(crate) fn image<'data>(image: Image<'data>, name: &str) -> TrustedImage<'data> {
    // SAFETY: who made the session has vouched for all that is added to it.
    unsafe { TrustedImage::assume_trusted(image) }.named(name)
}

/// Runs the destructors of a module of which nothing is used any more.
pub(crate) fn run_destructors(module: &Module) {
    // SAFETY: nobody has a function of it that was looked up, and no unit that is left is bound to it. That no thread runs
    // its code is part of what the maker of the session vouches for.
    unsafe { module.run_destructors() };
}

/// Lets go of what a redirect leads to that nobody calls any more.
pub(crate) fn clear(redirect: &Redirect) -> Replaced {
    // SAFETY: as above.
    unsafe { redirect.clear() }
}
