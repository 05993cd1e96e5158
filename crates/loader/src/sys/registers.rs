//! Calls that fill all registers that may hold arguments.
//!
//! A calling convention that fills integer registers, floating-point registers and the stack each
//! in order and independently can be served by one function type that fills them all: what a
//! callee does not expect it does not look at. The System V convention of x86-64 is such (x86-64
//! psABI, "Parameter Passing"), and that of AArch64 (AAPCS64, "Parameter passing"), in both of which an
//! argument on the stack takes eight bytes, and the caller removes it.

/// The registers for floating-point arguments, on all machines.
pub(crate) const FLOAT_REGISTERS: usize = 8;

/// The stack slots that a call fills.
pub(crate) const STACK_SLOTS: usize = 16;

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
            floats: [u64; crate::sys::registers::FLOAT_REGISTERS],
            stack: [u64; crate::sys::registers::STACK_SLOTS],
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
