//! What the host gives images to import.

use std::ffi::c_void;

use farcall_image::Signature;

use crate::FunctionPointer;
use crate::kind::Kind;
use crate::relocate::Value;

/// What a name that an image imports means.
#[derive(Debug, Clone)]
pub struct Definition {
    pub(crate) value: Value,
    pub(crate) kind: Kind,
}

impl Definition {
    /// A function of the host's. Its type is compared with the type of each import that it is
    /// bound to.
    #[must_use]
    pub fn function<F: FunctionPointer>(function: F) -> Self {
        Self::at(
            function.address() as u64,
            Kind::Function(Some(F::signature())),
        )
    }

    /// The function at an address, of this type if it is known.
    ///
    /// # Safety
    ///
    /// A function that follows the C calling convention and has this type is at `address` for as
    /// long as a module lives that was loaded with this definition.
    #[must_use]
    pub unsafe fn function_at(address: *const c_void, signature: Option<Signature>) -> Self {
        Self::at(
            address.expose_provenance() as u64,
            Kind::Function(signature),
        )
    }

    /// The variable at an address.
    ///
    /// # Safety
    ///
    /// A variable of the type and constness that images believe in is at `address` for as long as
    /// a module lives that was loaded with this definition, and accesses by host and images do not
    /// race.
    #[must_use]
    pub unsafe fn data_at(address: *mut c_void) -> Self {
        Self::at(address.expose_provenance() as u64, Kind::Variable)
    }

    /// A symbol whose address is this number: an absolute symbol.
    ///
    /// Safe, because an image that uses it as an address breaks its own contract.
    #[must_use]
    pub fn absolute(value: u64) -> Self {
        Self::at(value, Kind::Unknown)
    }

    fn at(address: u64, kind: Kind) -> Self {
        Self {
            value: Value::Address(address),
            kind,
        }
    }
}
