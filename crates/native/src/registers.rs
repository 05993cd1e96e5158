//! Calls that fill all registers that may hold arguments.
//!
//! A calling convention that fills integer registers, floating-point registers and the stack each
//! in order and independently can be served by one function type that fills them all: what a
//! callee does not expect it does not look at. The System V convention of x86-64 is such (x86-64
//! psABI, "Parameter Passing"), and that of AArch64 (AAPCS64, "Parameter passing"), in both of which an
//! argument on the stack takes eight bytes, and the caller removes it.

use std::ffi::c_void;

use crate::catch::{self, Exception};
use crate::machine::calls::{INTEGER_REGISTERS, to_float, to_integer};

/// The registers for floating-point arguments, on all machines.
pub(crate) const FLOAT_REGISTERS: usize = 8;

/// The stack slots that a call fills.
pub const STACK_SLOTS: usize = 16;

/// What registers and stack hold at a call.
#[derive(Debug, Clone)]
pub struct Registers {
    integers: Slots<INTEGER_REGISTERS>,
    floats: Slots<FLOAT_REGISTERS>,
    stack: Slots<STACK_SLOTS>,
}

/// The kind of register that a result is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultRegister {
    /// That of integers and pointers, also for no result.
    Integer,
    /// That of floating-point numbers.
    Float,
}

/// Registers or stack slots, filled in order.
#[derive(Debug, Clone)]
struct Slots<const N: usize> {
    values: [u64; N],
    used: usize,
}

impl<const N: usize> Slots<N> {
    const EMPTY: Self = Self {
        values: [0; N],
        used: 0,
    };

    /// Fills the next one; `false` when all are used. Counts on.
    fn push(&mut self, value: u64) -> bool {
        let slot = self.values.get_mut(self.used);
        self.used += 1;
        slot.map(|slot| *slot = value).is_some()
    }
}

impl Registers {
    /// Those of a call without arguments.
    pub const EMPTY: Self = Self {
        integers: Slots::EMPTY,
        floats: Slots::EMPTY,
        stack: Slots::EMPTY,
    };

    /// Passes an integer or an address, as a register holds it, as the next argument.
    pub fn push_integer(&mut self, value: u64) {
        if !self.integers.push(value) {
            self.stack.push(value);
        }
    }

    /// Passes the bits of a `double`, or of a `float` in the low half, as the next argument.
    pub fn push_float(&mut self, bits: u64) {
        if !self.floats.push(bits) {
            self.stack.push(bits);
        }
    }

    /// How many arguments go on the stack. A call has room for [`STACK_SLOTS`].
    #[must_use]
    pub fn on_stack(&self) -> usize {
        self.stack.used
    }

    /// Calls `function` on this thread, and gives its result's bits.
    ///
    /// # Errors
    ///
    /// The exception that left it.
    ///
    /// # Safety
    ///
    /// A function of the C calling convention is at this address, whose result is in this kind of register or which has
    /// none, and which wants these arguments, of which no more are [on the stack](Self::on_stack) than there is room for.
    /// A panic of Rust's that it lets pass leaves through the caller's frames.
    pub unsafe fn call(
        &self,
        function: *const c_void,
        result: ResultRegister,
    ) -> Result<u64, Exception> {
        let mut attempt = Attempt {
            registers: self,
            function,
            register: result,
            bits: 0,
        };
        match catch::call(Attempt::make, (&raw mut attempt).cast()) {
            None => Ok(attempt.bits),
            Some(exception) => Err(exception),
        }
    }
}

/// A call on its way through a frame that stops exceptions.
struct Attempt<'a> {
    registers: &'a Registers,
    function: *const c_void,
    register: ResultRegister,
    bits: u64,
}

impl Attempt<'_> {
    extern "C-unwind" fn make(this: *mut c_void) {
        // SAFETY: `call` passes its own attempt, which outlives this.
        let this = unsafe { &mut *this.cast::<Self>() };
        let Registers {
            integers,
            floats,
            stack,
        } = this.registers;
        let (integers, floats, stack) = (integers.values, floats.values, stack.values);
        this.bits = match this.register {
            // SAFETY: the contract of `call`.
            ResultRegister::Integer => unsafe {
                to_integer(this.function, integers, floats, stack)
            },
            // SAFETY: as above.
            ResultRegister::Float => unsafe { to_float(this.function, integers, floats, stack) },
        };
    }
}

/// Defines what a machine's `calls` has for `invoke`, from the names of its integer registers:
/// `INTEGER_REGISTERS`, `to_integer` and `to_float`.
macro_rules! filling_calls {
    ($($integer:ident)*) => {
        /// The registers for integer and pointer arguments.
        pub(crate) const INTEGER_REGISTERS: usize = [$(stringify!($integer)),*].len();

        filling_calls!(
            to_integer, u64, |result: u64| result, $($integer)*;
            v0 v1 v2 v3 v4 v5 v6 v7;
            s0 s1 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 s12 s13 s14 s15
        );
        filling_calls!(
            to_float, f64, f64::to_bits, $($integer)*;
            v0 v1 v2 v3 v4 v5 v6 v7;
            s0 s1 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 s12 s13 s14 s15
        );
    };
    (
        $name:ident, $result:ty, $bits:expr,
        $($integer:ident)*; $($float:ident)*; $($slot:ident)*
    ) => {
        /// Calls a function with these in registers and on the stack, and gives its result's bits.
        ///
        /// # Safety
        ///
        /// The function's type gives this kind of result, or none, and it takes no more arguments than these.
        /// They are what it wants.
        pub(crate) unsafe fn $name(
            function: *const std::ffi::c_void,
            integers: [u64; INTEGER_REGISTERS],
            floats: [u64; crate::registers::FLOAT_REGISTERS],
            stack: [u64; crate::registers::STACK_SLOTS],
        ) -> u64 {
            type Filling = unsafe extern "C-unwind" fn(
                $(filling_calls!(@type $integer u64),)*
                $(filling_calls!(@type $float f64),)*
                $(filling_calls!(@type $slot u64),)*
            ) -> $result;
            let [$($integer),*] = integers;
            let [$($float),*] = floats.map(f64::from_bits);
            let [$($slot),*] = stack;
            // SAFETY: a function takes its arguments from the registers and stack slots that its own
            // type says, which this type fills among others.
            let function = unsafe { std::mem::transmute::<*const std::ffi::c_void, Filling>(function) };
            // SAFETY: the caller's contract.
            let result = unsafe { function($($integer,)* $($float,)* $($slot),*) };
            ($bits)(result)
        }
    };
    (@type $name:ident $type:ty) => { $type };
}

pub(crate) use filling_calls;
