//! Functions whose body is a closure that gets its arguments by their types at run time.
//!
//! Such a function is a stub that leads to code which saves all registers that may hold arguments (each machine's
//! `callback`); what each of them holds is worked out here, by the rules by which [`crate::invoke`] fills them.

use std::sync::Arc;

use farcall_image::Signature;

use crate::definition::Provider;
use crate::held::Kept;
use crate::invoke::{Passed, Value, extend, unsupported};
use crate::kind::Kind;
use crate::stubs::Stub;
use crate::sys::saved_arguments::SavedArguments;
use crate::{Definition, Error, Result, relocate};

/// An argument of a call of a callback.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Argument {
    /// An integer of up to 64 bits, extended from its width: with its sign, unless the parameter is `zeroext` or an `i1`.
    Int(u64),
    /// A `float`.
    Float(f32),
    /// A `double`.
    Double(f64),
    /// A `ptr`: an address.
    Pointer(u64),
}

impl Definition {
    /// A callback: a function of this type that does what `closure` does.
    ///
    /// The closure is called on the thread that calls the function, in the middle of that call, several at a time if
    /// several call. It is given as many arguments as the signature has parameters, of their kinds, and gives a value of
    /// the kind of the result; of an integer the low bits are taken, and extended as [`Argument::Int`] says. It may take
    /// locks, load images, and call the same function. It may panic, and let pass what code that it calls throws, if the
    /// code that called it may be unwound; a value of another kind is a panic. C++ code that catches a panic of Rust's
    /// has to throw it again.
    ///
    /// The type is compared with that of each import that it is bound to. Sign and zero extension are not: the caller's
    /// compiler counts on a narrow result being extended as the import says, so say it here too.
    ///
    /// The definition keeps the closure, as does each module that is bound to it. A closure that keeps such a module
    /// keeps itself.
    ///
    /// Takes 32 bytes for a stub, as [`Redirect::new`](crate::Redirect::new), and a few allocations. A call costs about
    /// 20 ns more than that of a function, and allocates when it has more than 16 arguments.
    ///
    /// # Errors
    ///
    /// [`Error::Callback`] when the signature has a type that dynamic calls do not pass (structures by value, vectors,
    /// `i128`, …) or variable arguments; [`Error::System`] when there is no memory for a stub.
    ///
    /// # Examples
    ///
    /// ```
    /// use farcall_loader::callback::Argument;
    /// use farcall_loader::invoke::Value;
    /// use farcall_loader::{Definition, Loader};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let log = Definition::callback("void (i64)".parse()?, |arguments| {
    ///     let [Argument::Int(value)] = *arguments else {
    ///         unreachable!("the signature has one integer");
    ///     };
    ///     println!("{}", value.cast_signed());
    ///     Value::Void
    /// })?;
    /// Loader::new().define("log", log);
    /// # Ok(())
    /// # }
    /// ```
    pub fn callback(
        signature: Signature,
        closure: impl Fn(&[Argument]) -> Value + Send + Sync + 'static,
    ) -> Result<Self> {
        let callback = Callback::new(&signature, Box::new(closure))?;
        let address = callback.stub.address();
        let provider = Provider::new(
            Kept::Callback(Arc::new(callback)),
            "a definition".to_owned(),
            "a callback".to_owned(),
        );
        Ok(Self {
            value: relocate::Value::Address(address),
            kind: Kind::Function(Some(signature)),
            provider: Some(Arc::new(provider)),
        })
    }
}

/// A function that is a closure, for as long as something may call it.
#[derive(Debug)]
pub(crate) struct Callback {
    stub: Stub,
}

type Closure = Box<dyn Fn(&[Argument]) -> Value + Send + Sync>;

impl Callback {
    fn new(signature: &Signature, closure: Closure) -> Result<Self> {
        let refused = |parameter| {
            move |source| Error::Callback {
                signature: Box::new(signature.clone()),
                parameter,
                source,
            }
        };
        let parameters = signature.parameters.iter().enumerate();
        let parameters = parameters
            .map(|(index, parameter)| Passed::of(parameter).map_err(refused(Some(index + 1))))
            .collect::<Result<_>>()?;
        if signature.variadic {
            let after = signature.parameters.len() + 1;
            return Err(refused(Some(after))(unsupported("\"...\"")));
        }
        let body = Body {
            parameters,
            result: Passed::of_result(&signature.result).map_err(refused(None))?,
            signature: signature.clone(),
            closure,
        };
        let stub = Stub::calling(body).map_err(|source| Error::System {
            image: format!("a callback of type {signature}"),
            call: "a stub".to_owned(),
            source,
        })?;
        Ok(Self { stub })
    }
}

/// What such a function does.
pub(crate) struct Body {
    parameters: Box<[Passed]>,
    result: Option<Passed>,
    /// What both are of.
    signature: Signature,
    closure: Closure,
}

impl Body {
    /// Calls the closure. Gives its result as the register of its kind holds it.
    ///
    /// # Safety
    ///
    /// The arguments are those of a call of a function of this type.
    pub(crate) unsafe fn call(&self, saved: &SavedArguments) -> u64 {
        /// Most functions have no more parameters.
        const FEW: usize = 16;
        let mut few = [Argument::Int(0); FEW];
        let mut many = Vec::new();
        let count = self.parameters.len();
        let arguments = match few.get_mut(..count) {
            Some(few) => few,
            None => {
                many.resize(count, Argument::Int(0));
                &mut many
            }
        };
        let mut rest = saved.all();
        for (argument, &passed) in arguments.iter_mut().zip(&self.parameters) {
            // SAFETY: the caller's contract.
            let word = unsafe { rest.next(passed.is_in_float_register()) };
            *argument = match passed {
                Passed::Int { bits, signed } => Argument::Int(extend(word, bits, signed)),
                Passed::Float => Argument::Float(low_float(word)),
                Passed::Double => Argument::Double(f64::from_bits(word)),
                Passed::Pointer => Argument::Pointer(word),
            };
        }
        self.result_word((self.closure)(arguments))
    }

    /// # Panics
    ///
    /// If the value is not of the result's kind.
    fn result_word(&self, value: Value) -> u64 {
        match (self.result, value) {
            (None, Value::Void) => 0,
            (Some(Passed::Int { bits, signed }), Value::Int { value, .. }) => {
                extend(value, bits, signed)
            }
            (Some(Passed::Float), Value::Float(value)) => u64::from(value.to_bits()),
            (Some(Passed::Double), Value::Double(value)) => value.to_bits(),
            (Some(Passed::Pointer), Value::Pointer(address)) => address,
            (_, value) => panic!(
                "a callback of type {}: its closure gave {value:?}",
                self.signature
            ),
        }
    }
}

/// A `float` is the low half of a register.
fn low_float(word: u64) -> f32 {
    let [b0, b1, b2, b3, ..] = word.to_le_bytes();
    f32::from_le_bytes([b0, b1, b2, b3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_is_called_as_a_function() {
        type Function = unsafe extern "C-unwind" fn(u8, f32, i64, f64) -> i16;
        let signature = "i16 (i8 zeroext, float, i64, double)".parse().unwrap();
        let sum = Definition::callback(signature, |arguments| {
            let [
                Argument::Int(a),
                Argument::Float(b),
                Argument::Int(c),
                Argument::Double(d),
            ] = *arguments
            else {
                panic!("{arguments:?}");
            };
            assert_eq!((b, d), (0.5, 0.25));
            let value = a.wrapping_add(c);
            Value::Int { bits: 16, value }
        });
        let sum = sum.unwrap();
        let function = sum.as_function::<Function>("sum").unwrap();
        // SAFETY: the callback has this type and no contract.
        assert_eq!(unsafe { function(200, 0.5, -300, 0.25) }, -100);
    }

    #[test]
    fn types_that_cannot_be_passed_are_refused_by_their_place() {
        for (signature, expected) in [
            (
                "void (i32, ptr byval)",
                "parameter 2: byval cannot be passed in a dynamic call",
            ),
            (
                "void (ptr sret)",
                "parameter 1: sret cannot be passed in a dynamic call",
            ),
            (
                "void (ptr nest)",
                "parameter 1: nest cannot be passed in a dynamic call",
            ),
            (
                "i32 (i128)",
                "parameter 1: i128 cannot be passed in a dynamic call",
            ),
            (
                "void (ptr, <4 x float>)",
                "parameter 2: <4 x float> cannot be passed in a dynamic call",
            ),
            (
                "void ({ i64, i64 })",
                "parameter 1: { i64, i64 } cannot be passed in a dynamic call",
            ),
            (
                "i32 (ptr, ...)",
                "parameter 2: \"...\" cannot be passed in a dynamic call",
            ),
            (
                "i128 (i32)",
                "the result: i128 cannot be passed in a dynamic call",
            ),
            (
                "x86_fp80 ()",
                "the result: x86_fp80 cannot be passed in a dynamic call",
            ),
            (
                "inreg void ()",
                "the result: inreg cannot be passed in a dynamic call",
            ),
        ] {
            let refused = Definition::callback(signature.parse().unwrap(), |_| Value::Void);
            assert_eq!(
                refused.unwrap_err().to_string(),
                format!("a callback of type {signature}: {expected}")
            );
        }
    }

    #[test]
    fn a_closure_goes_with_the_last_that_keeps_it() {
        let kept = Arc::new(());
        let captured = Arc::clone(&kept);
        let callback = Definition::callback("void ()".parse().unwrap(), move |_| {
            let _ = &captured;
            Value::Void
        });
        let callback = callback.unwrap();
        let again = callback.clone();
        drop(callback);
        assert_eq!(Arc::strong_count(&kept), 2);
        drop(again);
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
