//! x86-64.

pub(crate) mod callback;
pub(crate) mod first_call;
pub(crate) mod tls_descriptor;

/// Static blocks of thread-local variables are aligned to this many bytes, and as large or a multiple.
///
/// They lie before the thread pointer, each before the one that came before it. The C library takes back a
/// block's size, not what aligned it, and then the block before only if nothing is between them. It
/// never aligns to more than this, unless the program does.
pub(crate) const STATIC_BLOCK_UNIT: u64 = 64;
