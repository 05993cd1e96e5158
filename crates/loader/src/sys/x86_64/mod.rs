//! x86-64.

pub(crate) mod calls;
pub(crate) mod code;
pub(crate) mod first_call;
pub(crate) mod tls_descriptor;

/// What the code that chooses an indirect function is given: nothing.
pub(crate) fn resolver_arguments() -> [u64; 3] {
    [0; 3]
}
