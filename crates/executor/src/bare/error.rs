//! What a controller refuses before it asks a bare executor.

use farcall_loader::PlaceError;
use farcall_loader::invoke::CallError;

/// Why an image cannot be placed in a bare executor, or a function of one that is cannot be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BareError {
    /// It cannot be placed.
    #[error("it cannot be placed in a bare executor: {source}{}", advice(source))]
    Place {
        /// Why.
        source: PlaceError,
    },
    /// It requires what the executor's CPU lacks.
    #[error("the executor's CPU lacks {}", missing.join(", "))]
    Cpu {
        /// Names of features, or `feature` and the number of one that this farcall does not know.
        missing: Vec<String>,
    },
    /// An entry of its tables of constructors and destructors is no code of its own.
    #[error("{address:#x}: a constructor or destructor that is no code of the image")]
    NotCode {
        /// The entry, an address in the executor's process.
        address: u64,
    },
    /// The module exports no such name, or a thread-local variable.
    #[error("it exports no {name}{}", similar(nearest))]
    NoExport {
        /// The name.
        name: String,
        /// The exports with names most like it.
        nearest: Vec<String>,
    },
    /// An export that is called and is no function.
    #[error("{name} is not a function")]
    NotAFunction {
        /// Its name.
        name: String,
    },
    /// A function whose type the image does not know, called without one.
    #[error(
        "the image does not know the type of {name}: a signature such as \"i32 (i32, ptr)\" is needed"
    )]
    NoType {
        /// Its name.
        name: String,
    },
    /// A signature that is none.
    #[error("{text:?}: not a function type")]
    Signature {
        /// The text.
        text: String,
    },
    /// A signature that is not the function's.
    #[error("{name} is {known}, not {given}")]
    OtherType {
        /// The function's name.
        name: String,
        /// Its type.
        known: String,
        /// The signature.
        given: String,
    },
    /// Arguments that do not fit the signature.
    #[error("{name}: {source}, in a call of {signature}")]
    Call {
        /// The function's name.
        name: String,
        /// The signature.
        signature: String,
        /// What does not fit.
        source: CallError,
    },
}

fn advice(error: &PlaceError) -> &'static str {
    match error {
        PlaceError::ThreadLocal { .. } => "; an executor with a loader takes it",
        _ => "",
    }
}

fn similar(nearest: &[String]) -> String {
    if nearest.is_empty() {
        return String::new();
    }
    format!("; similar: {}", nearest.join(", "))
}
