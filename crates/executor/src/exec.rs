//! The unsafe steps: to trust what controllers send, and to call it.
//!
//! Each is sound for one reason, which no line here can see: whoever can connect to an executor may
//! run code in its process. `SECURITY.md` says what guards a connection.

#![allow(
    unsafe_code,
    reason = "running what a controller sends is what an executor is for"
)]

use farcall_image::{Image, Signature};
use farcall_loader::invoke::{self, Value};
use farcall_loader::{Definition, Module, TrustedImage};
use farcall_protocol::Argument;

use crate::memory::{Buffers, Memory};

/// Trusts an image: its digest is verified, so it is the one that the controller meant.
pub(crate) fn trust<'data>(image: Image<'data>, name: &str) -> TrustedImage<'data> {
    // SAFETY: the controller vouches for the image, as the text above says.
    let image = unsafe { TrustedImage::assume_trusted(image) };
    if name.is_empty() {
        image
    } else {
        image.named(name)
    }
}

/// Defines a function at an address that a controller names.
pub(crate) fn function_at(address: u64, signature: Signature) -> Definition {
    let address = usize::try_from(address).unwrap_or(0);
    // SAFETY: the controller vouches for the address and the type, as the text above says; for an
    // export of a module `Needs` keeps the module.
    unsafe { Definition::function_at(std::ptr::with_exposed_provenance(address), Some(signature)) }
}

/// Defines the variable in `memory`, which has to live as long as modules that use it.
pub(crate) fn variable_in(memory: &Memory) -> Definition {
    // SAFETY: `Needs` holds the memory as long as the module; that images only read it is
    // the controller's to know, as the text above says.
    unsafe { Definition::data_at(memory.address().cast_mut().cast()) }
}

/// Calls a function.
///
/// # Errors
///
/// As [`Module::invoke`].
pub(crate) fn call(
    module: &Module,
    function: &str,
    signature: &Signature,
    arguments: &[Argument],
    buffers: &mut Buffers,
) -> farcall_loader::Result<Value> {
    let mut arguments: Vec<invoke::Argument<'_>> = (arguments.iter())
        .zip(buffers.split(arguments))
        .map(|(argument, buffer)| match *argument {
            Argument::Int(value) => invoke::Argument::Int(value),
            Argument::Float(value) => invoke::Argument::Float(value),
            Argument::Double(value) => invoke::Argument::Double(value),
            Argument::Pointer(value) => invoke::Argument::Pointer(value),
            Argument::In { .. } | Argument::Out { .. } | Argument::InOut { .. } => {
                invoke::Argument::Buffer(buffer)
            }
        })
        .collect();
    // SAFETY: that the function wants these arguments is the controller's to know, as the text
    // above says. The buffers outlive the call.
    unsafe { module.invoke(function, signature, &mut arguments) }
}
