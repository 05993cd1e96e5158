//! What the host gives images to import.

use std::ffi::c_void;

use farcall_image::Signature;

use crate::FunctionPointer;

/// What a name that an image imports means.
#[derive(Debug, Clone)]
pub struct Definition {
    pub(crate) value: u64,
    pub(crate) kind: DefinitionKind,
}

/// What a definition is known to be.
#[derive(Debug, Clone)]
pub(crate) enum DefinitionKind {
    /// A function, of this type if known.
    Function(Option<Signature>),
    /// A variable.
    Data,
    /// A number.
    Absolute,
}

impl Definition {
    /// A function of the host's. Its type is compared with the type of each import that it is
    /// bound to.
    #[must_use]
    pub fn function<F: FunctionPointer>(function: F) -> Self {
        Self {
            value: function.address() as u64,
            kind: DefinitionKind::Function(Some(F::signature())),
        }
    }

    /// The function at an address, of this type if it is known.
    ///
    /// # Safety
    ///
    /// A function that follows the C calling convention and has this type is at `address` for as
    /// long as a module lives that was loaded with this definition.
    #[must_use]
    pub unsafe fn function_at(address: *const c_void, signature: Option<Signature>) -> Self {
        Self {
            value: address.expose_provenance() as u64,
            kind: DefinitionKind::Function(signature),
        }
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
        Self {
            value: address.expose_provenance() as u64,
            kind: DefinitionKind::Data,
        }
    }

    /// A symbol whose address is this number: an absolute symbol.
    ///
    /// Safe, because an image that uses it as an address breaks its own contract.
    #[must_use]
    pub fn absolute(value: u64) -> Self {
        Self {
            value,
            kind: DefinitionKind::Absolute,
        }
    }
}
