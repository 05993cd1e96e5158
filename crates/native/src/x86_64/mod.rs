//! x86-64.

pub(crate) mod calls;
pub mod code;

/// What the code that chooses an indirect function is given: nothing.
#[must_use]
pub fn resolver_arguments() -> [u64; 3] {
    [0; 3]
}
