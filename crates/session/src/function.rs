//! A function that was looked up.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::code::Code;
use crate::session::Owner;

/// A function that was looked up: a function pointer, and what keeps it loaded.
///
/// Calling it costs what a call through a pointer does, and a jump more when it is compiled on first call, tiers up or is
/// replaceable. Threads may share it. A unit that is removed stays loaded until its functions are dropped, but what of it was
/// never called before is not compiled any more: a call of that is an error, as one that cannot be compiled.
#[derive(Clone)]
pub struct Function<F> {
    pub(crate) function: F,
    #[expect(dead_code, reason = "it keeps the code")]
    pub(crate) code: Option<Arc<Code>>,
    // Dropped last: the session ends with the last one that has it.
    #[expect(dead_code, reason = "it keeps the session")]
    pub(crate) shared: Arc<Owner>,
}

impl<F> Deref for Function<F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.function
    }
}

impl<F: fmt::Debug> fmt::Debug for Function<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Function").field(&self.function).finish()
    }
}
