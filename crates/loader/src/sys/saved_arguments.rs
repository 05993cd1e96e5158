//! The arguments of a call whose type the code that was called does not know.
//!
//! Each machine's `callback` saves all registers that may hold arguments, and remembers where the stack had those of
//! the caller. What [`farcall_native::registers`] says of the two calling conventions holds here the other way round.

use std::marker::PhantomData;
use std::slice::Iter;

use super::machine::callback::INTEGER_REGISTERS;

/// The registers for floating-point arguments, on all machines.
const FLOAT_REGISTERS: usize = 8;

/// What a call came with. The code of `callback` makes it, in its frame.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct SavedArguments {
    pub(super) integers: [u64; INTEGER_REGISTERS],
    /// The low halves.
    pub(super) floats: [u64; FLOAT_REGISTERS],
    /// The first of the words that the caller has put on the stack.
    pub(super) stack: *const u64,
}

/// The arguments that have not been taken yet.
#[derive(Debug)]
pub(crate) struct Rest<'a> {
    integers: Iter<'a, u64>,
    floats: Iter<'a, u64>,
    stack: *const u64,
    saved: PhantomData<&'a SavedArguments>,
}

impl SavedArguments {
    pub(crate) fn all(&self) -> Rest<'_> {
        Rest {
            integers: self.integers.iter(),
            floats: self.floats.iter(),
            stack: self.stack,
            saved: PhantomData,
        }
    }
}

impl Rest<'_> {
    /// The next argument, as a register or a stack slot holds it.
    ///
    /// # Safety
    ///
    /// The caller passed one more, of this kind.
    pub(crate) unsafe fn next(&mut self, in_float_register: bool) -> u64 {
        let registers = match in_float_register {
            true => &mut self.floats,
            false => &mut self.integers,
        };
        if let Some(&word) = registers.next() {
            return word;
        }
        let slot = self.stack;
        self.stack = slot.wrapping_add(1);
        // SAFETY: what is in no register is in the next slot: the caller's contract.
        unsafe { slot.read() }
    }
}
