//! The only unsafe code of the command: it runs what it is told to run.

#![allow(
    unsafe_code,
    reason = "whoever calls farcall run or call vouches for the images named"
)]

use std::convert::Infallible;
use std::ffi::{CString, c_int, c_void};

use farcall::loader::invoke::{Argument, Value};
use farcall::{Image, Loader, Module, Signature, TrustedImage};

/// The image, vouched for by whoever named it on the command line.
pub(crate) fn trusted<'data>(image: Image<'data>, name: String) -> TrustedImage<'data> {
    // SAFETY: running the named files is what the command was asked for; it has no more rights
    // than the one who asked.
    unsafe { TrustedImage::assume_trusted(image) }.named(name)
}

/// Ends the process as the image's `main` does.
pub(crate) fn run_program(
    loader: &Loader,
    image: &TrustedImage<'_>,
    scope: &[&Module],
    arguments: Vec<CString>,
) -> farcall::loader::Result<Infallible> {
    // SAFETY: the command calls it on its main thread and has started no other.
    unsafe { loader.run_program(image, scope, arguments) }
}

/// Calls a function with the arguments from the command line.
pub(crate) fn invoke(
    module: &Module,
    function: &str,
    signature: &Signature,
    arguments: &mut [Argument<'_>],
) -> farcall::loader::Result<Value> {
    // SAFETY: the signature is the manifest's or that of whoever asked for the call, who also chose
    // the arguments.
    unsafe { module.invoke(function, signature, arguments) }
}

/// Writes out what C code has printed and C's library still holds.
pub(crate) fn flush_c_streams() {
    unsafe extern "C" {
        fn fflush(stream: *mut c_void) -> c_int;
    }
    // SAFETY: a null stream means all of them. What cannot be written is the function's loss, as
    // it is at exit.
    unsafe { fflush(std::ptr::null_mut()) };
}
