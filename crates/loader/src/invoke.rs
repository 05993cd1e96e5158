//! Calling a function whose type is known only at run time.

use farcall_image::Signature;

use crate::{Module, Result};

/// The most arguments that a dynamic call passes on the stack, after those in registers.
pub const MAX_STACK_ARGUMENTS: usize = 16;

/// An argument of a dynamic call.
#[derive(Debug)]
pub enum Argument<'a> {
    /// For an integer parameter of up to 64 bits, truncated to its width.
    Int(u64),
    /// For a `float` parameter.
    Float(f32),
    /// For a `double` parameter.
    Double(f64),
    /// For a `ptr` parameter: an address.
    Pointer(u64),
    /// For a `ptr` parameter: the address of these bytes, which the function may change.
    Buffer(&'a mut [u8]),
}

/// The result of a dynamic call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// Nothing.
    Void,
    /// An integer.
    Int {
        /// Its width, 1 to 64.
        bits: u32,
        /// Its value, zero-extended.
        value: u64,
    },
    /// A `float`.
    Float(f32),
    /// A `double`.
    Double(f64),
    /// A `ptr`: an address.
    Pointer(u64),
}

/// Why a dynamic call cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// Too few or too many arguments.
    #[error("{found} arguments for a function of {expected}")]
    Count {
        /// How many it takes.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// An argument of another kind.
    #[error("argument {index} is {found}, not {expected}")]
    Kind {
        /// The argument's number, from 1.
        index: usize,
        /// The parameter's type.
        expected: String,
        /// The argument's kind.
        found: &'static str,
    },
    /// A type that dynamic calls do not pass.
    #[error("{what} cannot be passed in a dynamic call")]
    Unsupported {
        /// The type, or the parameter attribute.
        what: String,
    },
    /// More arguments than dynamic calls pass.
    #[error(
        "{count} arguments go on the stack, but a dynamic call has room for {MAX_STACK_ARGUMENTS}"
    )]
    TooMany {
        /// How many would go on the stack.
        count: usize,
    },
}

impl Module {
    /// Calls the function named `name` of type `signature` on this thread.
    ///
    /// Integers are extended to the register's width as the signature says, with their sign when
    /// it says nothing.
    ///
    /// # Safety
    ///
    /// The function has this type (which is checked where the manifest knows it), every pointer
    /// argument is what the function wants, and its other preconditions hold. An exception that it
    /// throws leaves through the caller's frames.
    ///
    /// # Errors
    ///
    /// As [`Module::lookup`], and [`Error::Call`](crate::Error::Call) when the arguments are not
    /// those of the signature or a type is not one that dynamic calls pass. Nothing was called then.
    pub unsafe fn invoke(
        &self,
        name: &str,
        signature: &Signature,
        arguments: &mut [Argument<'_>],
    ) -> Result<Value> {
        let _ = (name, signature, arguments);
        todo!()
    }
}
