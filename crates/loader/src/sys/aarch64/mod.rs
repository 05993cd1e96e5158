//! AArch64.

pub(crate) mod callback;
pub(crate) mod first_call;
pub(crate) mod tls_descriptor;

/// Static blocks of thread-local variables are aligned to what they ask for.
///
/// They lie behind the thread pointer, each behind the one that came before it, and the C library takes back
/// what aligned a block too. It aligns to no more than 32 bytes, unless the program does.
pub(crate) const STATIC_BLOCK_UNIT: u64 = 1;
