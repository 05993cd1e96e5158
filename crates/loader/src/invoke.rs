//! Calling a function whose type is known only at run time.
//!
//! What each register and stack slot holds is worked out here. One call serves all types: it fills all
//! registers, and a function looks only at those that its own type says (`farcall_native::registers`).

use std::ffi::c_void;

use farcall_image::{Parameter, Signature, ValueType};
use farcall_native::catch::Exception;
use farcall_native::registers::{Registers, ResultRegister, STACK_SLOTS};

use crate::demangle::demangle_type;
use crate::{Error, Module, Result};

/// The most arguments that a dynamic call passes on the stack, after those in registers.
pub const MAX_STACK_ARGUMENTS: usize = STACK_SLOTS;

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
    /// it says nothing; an `i1` without.
    ///
    /// Costs a look-up of the name, whose type is parsed and compared, and moving the arguments; it allocates and
    /// locks no more than [`Module::lookup`]. Any thread may call it, several at a time, as far as the function may be.
    ///
    /// # Safety
    ///
    /// The function has this type (which is checked where the manifest knows it), every pointer
    /// argument is what the function wants, and its other preconditions hold. A panic of the host's
    /// that it lets pass leaves through the caller's frames.
    ///
    /// # Errors
    ///
    /// As [`Module::lookup`], and [`Error::Call`](crate::Error::Call) when the arguments are not
    /// those of the signature or a type is not one that dynamic calls pass: nothing was called then.
    /// [`Error::Threw`](crate::Error::Threw) when it was called and threw an exception.
    pub unsafe fn invoke(
        &self,
        name: &str,
        signature: &Signature,
        arguments: &mut [Argument<'_>],
    ) -> Result<Value> {
        let function = self.invocable(name, signature)?;
        // SAFETY: the caller's contract.
        unsafe { self.invoke_found(function, name, signature, arguments) }
    }

    /// Finds a function for [`Module::invoke_found`].
    ///
    /// # Errors
    ///
    /// As [`Module::lookup`].
    pub fn invocable(&self, name: &str, signature: &Signature) -> Result<Invocable> {
        let address = self.function(name, signature)?.expose_provenance();
        Ok(Invocable { address })
    }

    /// Calls a function as [`Module::invoke`] does, that was found before: without looking it up. `name` is for errors.
    ///
    /// # Safety
    ///
    /// As [`Module::invoke`]. This module gave the function, for this signature.
    ///
    /// # Errors
    ///
    /// As [`Module::invoke`], but for those of the look-up.
    pub unsafe fn invoke_found(
        &self,
        function: Invocable,
        name: &str,
        signature: &Signature,
        arguments: &mut [Argument<'_>],
    ) -> Result<Value> {
        let function = std::ptr::with_exposed_provenance(function.address);
        let call = Call::new(signature, arguments).map_err(|source| Error::Call {
            module: self.name().to_owned(),
            name: name.to_owned(),
            signature: Box::new(signature.clone()),
            source,
        })?;
        // SAFETY: the caller's contract; the call is one of this signature.
        let result = unsafe { call.make(function) };
        result.map_err(|exception| Error::Threw {
            module: self.name().to_owned(),
            name: name.to_owned(),
            exception: exception.type_name().map(|name| demangle_type(&name)),
        })
    }
}

/// A function that was found, as long as its module is loaded.
#[derive(Debug, Clone, Copy)]
pub struct Invocable {
    address: usize,
}

/// What registers and stack hold at a call, and what comes back.
#[derive(Debug)]
struct Call<'a> {
    registers: Registers,
    result: &'a ValueType,
}

impl<'a> Call<'a> {
    fn new(signature: &'a Signature, arguments: &mut [Argument<'_>]) -> Result<Self, CallError> {
        Passed::of_result(&signature.result)?;
        let (expected, found) = (signature.parameters.len(), arguments.len());
        if signature.variadic && found > expected {
            return Err(unsupported("an argument after the fixed ones (\"...\")"));
        }
        if found != expected {
            return Err(CallError::Count { expected, found });
        }
        let mut call = Self {
            registers: Registers::EMPTY,
            result: &signature.result.value_type,
        };
        for (index, (parameter, argument)) in signature.parameters.iter().zip(arguments).enumerate()
        {
            let (value, in_float_register) = word(index + 1, parameter, argument)?;
            if in_float_register {
                call.registers.push_float(value);
            } else {
                call.registers.push_integer(value);
            }
        }
        let count = call.registers.on_stack();
        if count > MAX_STACK_ARGUMENTS {
            return Err(CallError::TooMany { count });
        }
        Ok(call)
    }

    /// # Safety
    ///
    /// A function of the call's signature is at `function`, and the arguments are what it wants.
    unsafe fn make(&self, function: *const c_void) -> Result<Value, Exception> {
        let register = result_register(self.result);
        // SAFETY: the caller's contract; `new` has counted what goes on the stack.
        let bits = unsafe { self.registers.call(function, register)? };
        Ok(value(self.result, bits))
    }
}

/// The arguments of a call as registers hold them, in order; for a buffer the word says nothing. For calls that are made
/// elsewhere.
///
/// # Errors
///
/// When the arguments are not those of the signature, or a type is not one that dynamic calls pass.
pub fn words(signature: &Signature, arguments: &mut [Argument<'_>]) -> Result<Vec<u64>, CallError> {
    Call::new(signature, arguments)?;
    let pairs = signature.parameters.iter().zip(arguments).enumerate();
    pairs
        .map(|(index, (parameter, argument))| Ok(word(index + 1, parameter, argument)?.0))
        .collect()
}

/// The kind of register that a result of this type is in.
#[must_use]
pub fn result_register(result: &ValueType) -> ResultRegister {
    match result {
        ValueType::Float | ValueType::Double => ResultRegister::Float,
        _ => ResultRegister::Integer,
    }
}

/// The result of this type that a register holds; nothing for a type that dynamic calls do not pass.
#[must_use]
pub fn value(result: &ValueType, bits: u64) -> Value {
    match *result {
        // A `float` is the low half of the register.
        ValueType::Float => {
            let [b0, b1, b2, b3, ..] = bits.to_le_bytes();
            Value::Float(f32::from_le_bytes([b0, b1, b2, b3]))
        }
        ValueType::Double => Value::Double(f64::from_bits(bits)),
        ValueType::Int(width @ 1..=64) => Value::Int {
            bits: width,
            value: bits & mask(width),
        },
        ValueType::Ptr => Value::Pointer(bits),
        // The register holds nothing of meaning.
        _ => Value::Void,
    }
}

/// The argument as a register holds it, and whether that is a floating-point register.
fn word(
    index: usize,
    parameter: &Parameter,
    argument: &mut Argument<'_>,
) -> Result<(u64, bool), CallError> {
    let passed = Passed::of(parameter)?;
    let found = match argument {
        Argument::Int(_) => "an integer",
        Argument::Float(_) => "a float",
        Argument::Double(_) => "a double",
        Argument::Pointer(_) => "a pointer",
        Argument::Buffer(_) => "a buffer",
    };
    let value = match (passed, argument) {
        (Passed::Int { bits, signed }, Argument::Int(value)) => extend(*value, bits, signed),
        // The other half of the register is not looked at.
        (Passed::Float, Argument::Float(value)) => u64::from(value.to_bits()),
        (Passed::Double, Argument::Double(value)) => value.to_bits(),
        (Passed::Pointer, Argument::Pointer(address)) => *address,
        (Passed::Pointer, Argument::Buffer(bytes)) => bytes.as_mut_ptr().expose_provenance() as u64,
        _ => {
            return Err(CallError::Kind {
                index,
                expected: parameter.value_type.to_string(),
                found,
            });
        }
    };
    Ok((value, passed.is_in_float_register()))
}

/// What a parameter or a result is passed as, of the types that dynamic calls pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    /// An integer of 1 to 64 bits, extended to a register's width.
    Int {
        bits: u32,
        signed: bool,
    },
    Float,
    Double,
    Pointer,
}

impl Passed {
    pub(crate) fn of(parameter: &Parameter) -> Result<Self, CallError> {
        check_attributes(parameter)?;
        Ok(match &parameter.value_type {
            // A truth value has no sign: languages pass it as 0 or 1.
            &ValueType::Int(bits @ 1..=64) => Self::Int {
                bits,
                signed: bits > 1 && !parameter.has("zeroext"),
            },
            ValueType::Float => Self::Float,
            ValueType::Double => Self::Double,
            ValueType::Ptr => Self::Pointer,
            other => return Err(unsupported(other)),
        })
    }

    /// `None` when there is no result.
    pub(crate) fn of_result(result: &Parameter) -> Result<Option<Self>, CallError> {
        match result.value_type {
            ValueType::Void => check_attributes(result).map(|()| None),
            _ => Self::of(result).map(Some),
        }
    }

    pub(crate) fn is_in_float_register(self) -> bool {
        matches!(self, Self::Float | Self::Double)
    }
}

/// Refuses the attributes that change where an argument or result is.
fn check_attributes(parameter: &Parameter) -> Result<(), CallError> {
    let mut attributes = parameter.attributes.iter();
    match attributes.find(|it| !matches!(it.as_str(), "zeroext" | "signext" | "noext")) {
        Some(attribute) => Err(unsupported(attribute)),
        None => Ok(()),
    }
}

pub(crate) fn unsupported(what: impl ToString) -> CallError {
    CallError::Unsupported {
        what: what.to_string(),
    }
}

/// The low `bits` bits of `value`, 1 to 64, extended to 64.
pub(crate) fn extend(value: u64, bits: u32, signed: bool) -> u64 {
    if signed {
        let unused = 64 - bits;
        return ((value << unused).cast_signed() >> unused).cast_unsigned();
    }
    value & mask(bits)
}

/// The low `bits` bits, 1 to 64.
fn mask(bits: u32) -> u64 {
    u64::MAX >> (64 - bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FunctionPointer;

    fn call<F: FunctionPointer>(function: F, arguments: &mut [Argument<'_>]) -> Value {
        let signature = F::signature();
        let call = Call::new(&signature, arguments).unwrap();
        // SAFETY: the signature is the function's own; the tests' functions have no contract.
        unsafe { call.make(crate::load::pointer(function.address() as u64)) }.unwrap()
    }

    fn error(signature: &str, arguments: &mut [Argument<'_>]) -> String {
        let signature = signature.parse().unwrap();
        Call::new(&signature, arguments).unwrap_err().to_string()
    }

    use Argument::{Buffer, Double, Float, Int, Pointer};

    #[test]
    fn integers_of_every_width_are_truncated_and_extended() {
        extern "C" fn widths(a: i8, b: u16, c: i32, d: u64, e: bool) -> i64 {
            i64::from(a) + i64::from(b) + i64::from(c) + d.cast_signed() + i64::from(e)
        }
        let minus_one = u64::MAX;
        let result = call(
            widths as extern "C" fn(i8, u16, i32, u64, bool) -> i64,
            &mut [Int(0x180), Int(5), Int(minus_one), Int(1000), Int(1)],
        );
        let value = (-128_i64 + 5 - 1 + 1000 + 1).cast_unsigned();
        assert_eq!(result, Value::Int { bits: 64, value });
        assert_eq!(extend(0xff, 8, true), u64::MAX);
        assert_eq!(extend(0x1ff, 8, false), 0xff);
        assert_eq!(extend(u64::MAX, 64, true), u64::MAX);
        assert_eq!(extend(1, 1, true), u64::MAX);
    }

    #[test]
    fn narrow_results_come_without_the_rest_of_the_register() {
        extern "C" fn minus_one() -> i8 {
            -1
        }
        extern "C" fn yes() -> bool {
            true
        }
        let value = call(minus_one as extern "C" fn() -> i8, &mut []);
        assert_eq!(
            value,
            Value::Int {
                bits: 8,
                value: 0xff
            }
        );
        let value = call(yes as extern "C" fn() -> bool, &mut []);
        assert_eq!(value, Value::Int { bits: 1, value: 1 });
    }

    #[test]
    fn kinds_mix_in_any_order() {
        extern "C" fn mixed(a: i32, x: f64, b: i32, y: f32, p: *const u8, z: f64) -> f64 {
            assert!(p.is_null());
            f64::from(a) + 10.0 * x + 100.0 * f64::from(b) + 1000.0 * f64::from(y) + 10000.0 * z
        }
        let result = call(
            mixed as extern "C" fn(i32, f64, i32, f32, *const u8, f64) -> f64,
            &mut [
                Int(1),
                Double(2.0),
                Int(3),
                Float(4.0),
                Pointer(0),
                Double(5.0),
            ],
        );
        assert_eq!(result, Value::Double(54321.0));
    }

    #[test]
    fn floats_and_pointers_come_back() {
        extern "C" fn half(x: f32) -> f32 {
            x / 2.0
        }
        extern "C" fn same(p: *mut u8) -> *mut u8 {
            p
        }
        let value = call(half as extern "C" fn(f32) -> f32, &mut [Float(3.0)]);
        assert_eq!(value, Value::Float(1.5));
        let value = call(
            same as extern "C" fn(*mut u8) -> *mut u8,
            &mut [Pointer(64)],
        );
        assert_eq!(value, Value::Pointer(64));
    }

    #[test]
    fn a_buffer_is_changed_in_place() {
        extern "C" fn fill(bytes: *mut u8, length: usize) {
            // SAFETY: the test passes a buffer of this length.
            unsafe { std::ptr::write_bytes(bytes, 7, length) };
        }
        let mut bytes = [0; 3];
        let result = call(
            fill as extern "C" fn(*mut u8, usize),
            &mut [Buffer(&mut bytes), Int(3)],
        );
        assert_eq!(result, Value::Void);
        assert_eq!(bytes, [7; 3]);
    }

    #[test]
    fn arguments_beyond_the_registers_go_on_the_stack_in_order() {
        extern "C" fn twelve(
            a: u64,
            b: u64,
            c: u64,
            d: u64,
            e: u64,
            f: u64,
            g: u8,
            h: f64,
            i: u64,
            j: u64,
            k: u64,
            l: f64,
        ) -> u64 {
            assert_eq!((h, l), (0.5, 0.25));
            [a, b, c, d, e, f, u64::from(g), i, j, k]
                .iter()
                .fold(0, |all, digit| 10 * all + digit)
        }
        type Twelve =
            extern "C" fn(u64, u64, u64, u64, u64, u64, u8, f64, u64, u64, u64, f64) -> u64;
        let mut arguments: Vec<_> = (1..=7).map(Int).collect();
        arguments.extend([Double(0.5), Int(8), Int(9), Int(0), Double(0.25)]);
        let result = call(twelve as Twelve, &mut arguments);
        assert_eq!(
            result,
            Value::Int {
                bits: 64,
                value: 1_234_567_890
            }
        );

        // The ninth floating-point argument is the first on the stack.
        let signature = format!("double ({})", vec!["double"; 24].join(", "));
        let mut arguments: Vec<_> = (0..24_u8).map(|it| Double(f64::from(it))).collect();
        let signature: Signature = signature.parse().unwrap();
        let full = Call::new(&signature, &mut arguments).unwrap();
        assert_eq!(full.registers.on_stack(), MAX_STACK_ARGUMENTS);
    }

    #[test]
    fn wrong_calls_are_refused() {
        for (signature, arguments, expected) in [
            (
                "i32 (i32, ptr)",
                &mut [Int(1)][..],
                "1 arguments for a function of 2",
            ),
            ("void ()", &mut [Int(1)], "1 arguments for a function of 0"),
            (
                "void (ptr)",
                &mut [Int(1)],
                "argument 1 is an integer, not ptr",
            ),
            (
                "void (i32)",
                &mut [Double(1.0)],
                "argument 1 is a double, not i32",
            ),
            (
                "void (float)",
                &mut [Double(1.0)],
                "argument 1 is a double, not float",
            ),
            (
                "void (ptr sret)",
                &mut [Pointer(0)],
                "sret cannot be passed in a dynamic call",
            ),
            (
                "void (ptr byval)",
                &mut [Pointer(0)],
                "byval cannot be passed in a dynamic call",
            ),
            (
                "void (i128)",
                &mut [Int(0)],
                "i128 cannot be passed in a dynamic call",
            ),
            (
                "x86_fp80 ()",
                &mut [],
                "x86_fp80 cannot be passed in a dynamic call",
            ),
            (
                "{ i64, i64 } ()",
                &mut [],
                "{ i64, i64 } cannot be passed in a dynamic call",
            ),
            (
                "void (<4 x i32>)",
                &mut [Int(0)],
                "<4 x i32> cannot be passed in a dynamic call",
            ),
        ] {
            assert_eq!(error(signature, arguments), expected, "{signature}");
        }
        let integer_registers = if cfg!(target_arch = "aarch64") { 8 } else { 6 };
        let count = integer_registers + MAX_STACK_ARGUMENTS + 1;
        let many = format!("void ({})", vec!["i64"; count].join(", "));
        let mut arguments: Vec<_> = (0..count).map(|it| Int(it as u64)).collect();
        assert_eq!(
            error(&many, &mut arguments),
            "17 arguments go on the stack, but a dynamic call has room for 16"
        );
        assert!(error("void (ptr, ...)", &mut [Pointer(0), Int(1)]).contains("..."));
    }
}
