//! Functions in executors that know their types, so that calling one reads as in process.

use std::fmt;
use std::marker::PhantomData;

use farcall_loader::invoke::Value;
use farcall_loader::{Plain, bytes_of, bytes_of_mut};

use crate::argument::Argument;
use crate::client::{Executor, out_of_place};
use crate::pending::Pending;
use crate::remote::RemoteFunction;
use crate::{Order, PoolFunction, RemoteBuffer, Result};
use farcall_protocol::ModuleName;

/// The type of a function, as a lookup is told it: `fn(i32, f64) -> i64`, or with `extern "C"`, `unsafe extern "C"`, so that one name stands for the
/// type here and in process.
///
/// Up to 12 parameters, each a [`Parameter`], and a result that is a [`Returned`].
pub trait FunctionType: sealed::Sealed {
    /// The parameters, as a tuple.
    type Parameters;
    /// The result.
    type Result;

    /// The type in LLVM's syntax, which the manifest's is compared with.
    fn signature() -> String;
}

/// A function whose arguments are known at run time only: one executor's, or that of any of a pool.
pub trait Callable: sealed::Sealed {
    /// Calls it, and waits until it has returned.
    #[doc(hidden)]
    fn call_any(&self, arguments: &mut [Argument<'_>]) -> Result<Value>;

    /// The same as a future.
    #[doc(hidden)]
    fn call_any_async(
        &self,
        arguments: &mut [Argument<'_>],
    ) -> impl Future<Output = Result<Value>> + Send;
}

macro_rules! callable {
    ($($type:ty),*) => {$(
        impl sealed::Sealed for $type {}

        impl Callable for $type {
            fn call_any(&self, arguments: &mut [Argument<'_>]) -> Result<Value> {
                self.call(arguments)
            }

            async fn call_any_async(&self, arguments: &mut [Argument<'_>]) -> Result<Value> {
                self.call_async(arguments).await
            }
        }
    )*};
}

callable!(RemoteFunction, PoolFunction);

/// The type of a parameter: a number, `bool`, a raw pointer for an address there, or [`In`], [`Out`], [`InOut`] for numbers that go
/// with the call.
pub trait Parameter: sealed::Sealed {
    /// What a call is given for it.
    type Given<'a>: Send;

    #[doc(hidden)]
    const WRITTEN: &'static str;

    /// Whether something comes back for it.
    #[doc(hidden)]
    const COMES_OUT: bool = false;

    #[doc(hidden)]
    fn argument<'a>(given: Self::Given<'a>) -> Argument<'a>;
}

/// The type of a result: a number, `bool`, `()`, or a raw pointer for an address there.
pub trait Returned: sealed::Sealed {
    /// What a call gives for it.
    type Taken;

    #[doc(hidden)]
    const WRITTEN: &'static str;

    #[doc(hidden)]
    fn taken(value: Value) -> Option<Self::Taken>;
}

/// A pointer parameter that is given a slice, which is copied there.
///
/// ```
/// use farcall_executor::{FunctionType, In};
///
/// assert_eq!(<fn(In<f32>, usize) -> f64>::signature(), "double (ptr, i64)");
/// ```
#[derive(Debug)]
pub struct In<T>(PhantomData<T>);

/// A pointer parameter that is given a slice, which is zeros there and copied from there when the function has returned.
#[derive(Debug)]
pub struct Out<T>(PhantomData<T>);

/// A pointer parameter that is given a slice, which is copied there, and back when the function has returned.
#[derive(Debug)]
pub struct InOut<T>(PhantomData<T>);

/// What is given for a raw pointer.
#[derive(Debug, Clone, Copy)]
pub enum Pointer<'a> {
    /// An address in the executor's process.
    Address(u64),
    /// A byte of a buffer that is there, by its offset.
    Buffer(&'a RemoteBuffer, u64),
}

impl From<u64> for Pointer<'_> {
    fn from(address: u64) -> Self {
        Self::Address(address)
    }
}

impl<'a> From<&'a RemoteBuffer> for Pointer<'a> {
    fn from(buffer: &'a RemoteBuffer) -> Self {
        Self::Buffer(buffer, 0)
    }
}

/// A function in an executor with parameters `P`, a tuple, and the result `R`. Dropping it lets go of its module.
///
/// Threads may share it. A call costs what one of a [`RemoteFunction`] does.
pub struct TypedFunction<P, R, F = RemoteFunction> {
    function: F,
    typed: PhantomData<fn(P) -> R>,
}

impl<P, R, F> TypedFunction<P, R, F> {
    /// The function without its type.
    pub fn untyped(&self) -> &F {
        &self.function
    }

    pub(crate) fn into_untyped(self) -> F {
        self.function
    }
}

impl<P, R, F: fmt::Debug> fmt::Debug for TypedFunction<P, R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedFunction")
            .field(&self.function)
            .finish()
    }
}

/// A call that was sent, of a function that knows its result. Dropping it leaves the call alone.
#[must_use = "the call's result, and whether it was done at all, is not known until it is waited for"]
pub struct TypedPending<R> {
    pending: Pending,
    typed: PhantomData<fn() -> R>,
}

impl<R: Returned> TypedPending<R> {
    /// Waits until the function has returned.
    ///
    /// # Errors
    ///
    /// As [`Pending::wait`].
    pub fn wait(self) -> Result<R::Taken> {
        taken::<R>(self.pending.wait()?)
    }
}

impl<R> fmt::Debug for TypedPending<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedPending").field(&self.pending).finish()
    }
}

impl Executor {
    /// Finds a function of a module, of this type, for many calls.
    ///
    /// The type is compared with the manifest's now, once. Of images whose manifest does not know it, the caller does. The module stays
    /// loaded as long as the function is there.
    ///
    /// ```no_run
    /// use farcall_executor::{Executor, In};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bytes = std::fs::read("sum.image")?;
    /// # let image = farcall_image::Image::parse(&bytes)?;
    /// let executor = Executor::connect(&"unix:/run/farcall.sock".parse()?)?;
    /// let module = executor.load(&image)?;
    /// let add = executor.typed::<fn(i32, i32) -> i32>(&module, "add")?;
    /// assert_eq!(add.call(1, 2)?, 3);
    /// let sum = executor.typed::<fn(In<i64>, usize) -> i64>(&module, "sum")?;
    /// assert_eq!(sum.call(&[1, 2, 3], 3)?, 6);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Failed`](crate::Error::Failed) when there is no such module or function, or the function is of another type: the message
    /// has both types then.
    pub fn typed<'a, F: FunctionType>(
        &self,
        module: impl Into<ModuleName<'a>>,
        function: &str,
    ) -> Result<TypedFunction<F::Parameters, F::Result>> {
        let module = module.into();
        let signature = F::signature();
        let function = self.function(module, function, Some(&signature))?;
        Ok(TypedFunction::new(function))
    }
}

impl<P, R, F> TypedFunction<P, R, F> {
    pub(crate) fn new(function: F) -> Self {
        Self {
            function,
            typed: PhantomData,
        }
    }
}

fn taken<R: Returned>(value: Value) -> Result<R::Taken> {
    R::taken(value).ok_or_else(out_of_place)
}

mod sealed {
    /// Of this crate's own.
    pub trait Sealed {}
}

macro_rules! integers {
    ($($type:ty: $bits:literal $written:literal $returned:literal;)*) => {$(
        impl sealed::Sealed for $type {}

        impl Parameter for $type {
            type Given<'a> = Self;
            const WRITTEN: &'static str = $written;

            fn argument<'a>(given: Self) -> Argument<'a> {
                // The bits above its own are not looked at.
                #[allow(
                    clippy::cast_sign_loss,
                    clippy::cast_lossless,
                    reason = "of each type its bits are meant"
                )]
                Argument::Int(given as u64)
            }
        }

        impl Returned for $type {
            type Taken = Self;
            const WRITTEN: &'static str = $returned;

            fn taken(value: Value) -> Option<Self> {
                match value {
                    #[allow(
                        clippy::cast_possible_truncation,
                        clippy::cast_possible_wrap,
                        reason = "of each type its bits are meant"
                    )]
                    Value::Int { bits: $bits, value } => Some(value as Self),
                    _ => None,
                }
            }
        }
    )*};
}

integers! {
    i8: 8 "i8 signext" "signext i8";
    u8: 8 "i8 zeroext" "zeroext i8";
    i16: 16 "i16 signext" "signext i16";
    u16: 16 "i16 zeroext" "zeroext i16";
    i32: 32 "i32" "i32";
    u32: 32 "i32" "i32";
    i64: 64 "i64" "i64";
    u64: 64 "i64" "i64";
    isize: 64 "i64" "i64";
    usize: 64 "i64" "i64";
}

macro_rules! values {
    ($($type:ty: $written:literal $returned:literal,
        |$given:ident| $argument:expr, $pattern:pat => $taken:expr;)*) => {$(
        impl sealed::Sealed for $type {}

        impl Parameter for $type {
            type Given<'a> = Self;
            const WRITTEN: &'static str = $written;

            fn argument<'a>($given: Self) -> Argument<'a> {
                $argument
            }
        }

        impl Returned for $type {
            type Taken = Self;
            const WRITTEN: &'static str = $returned;

            fn taken(value: Value) -> Option<Self> {
                match value {
                    $pattern => Some($taken),
                    _ => None,
                }
            }
        }
    )*};
}

values! {
    bool: "i1 zeroext" "zeroext i1",
        |given| Argument::Int(given.into()), Value::Int { bits: 1, value } => value != 0;
    f32: "float" "float", |given| Argument::Float(given), Value::Float(value) => value;
    f64: "double" "double", |given| Argument::Double(given), Value::Double(value) => value;
}

impl sealed::Sealed for () {}

impl Returned for () {
    type Taken = ();
    const WRITTEN: &'static str = "void";

    fn taken(value: Value) -> Option<()> {
        (value == Value::Void).then_some(())
    }
}

macro_rules! pointers {
    ($($type:ty),*) => {$(
        impl<T> sealed::Sealed for $type {}

        impl<T> Parameter for $type {
            type Given<'a> = Pointer<'a>;
            const WRITTEN: &'static str = "ptr";

            fn argument<'a>(given: Self::Given<'a>) -> Argument<'a> {
                match given {
                    Pointer::Address(address) => Argument::Pointer(address),
                    Pointer::Buffer(buffer, offset) => Argument::Buffer(buffer, offset),
                }
            }
        }

        /// The address is one in the executor's process, and so a number here.
        impl<T> Returned for $type {
            type Taken = u64;
            const WRITTEN: &'static str = "ptr";

            fn taken(value: Value) -> Option<u64> {
                match value {
                    Value::Pointer(address) => Some(address),
                    _ => None,
                }
            }
        }
    )*};
}

pointers!(*const T, *mut T);

macro_rules! slices {
    ($($type:ident: $slice:ty, $bytes:ident, $comes_out:literal;)*) => {$(
        impl<T> sealed::Sealed for $type<T> {}

        impl<T: Plain> Parameter for $type<T> {
            type Given<'a> = $slice;
            const WRITTEN: &'static str = "ptr";
            const COMES_OUT: bool = $comes_out;

            fn argument<'a>(given: Self::Given<'a>) -> Argument<'a> {
                Argument::$type($bytes(given))
            }
        }
    )*};
}

slices! {
    In: &'a [T], bytes_of, false;
    Out: &'a mut [T], bytes_of_mut, true;
    InOut: &'a mut [T], bytes_of_mut, true;
}

macro_rules! function_type {
    ([$($qualifier:tt)*] $($parameter:ident)*) => {
        impl<R, $($parameter),*> sealed::Sealed for $($qualifier)* fn($($parameter),*) -> R {}

        impl<R: Returned, $($parameter: Parameter),*> FunctionType
            for $($qualifier)* fn($($parameter),*) -> R
        {
            type Parameters = ($($parameter,)*);
            type Result = R;

            fn signature() -> String {
                let parameters: &[&str] = &[$($parameter::WRITTEN),*];
                format!("{} ({})", R::WRITTEN, parameters.join(", "))
            }
        }
    };
}

macro_rules! functions {
    ($($parameter:ident $argument:ident)*) => {
        function_type!([] $($parameter)*);
        function_type!([extern "C"] $($parameter)*);
        function_type!([unsafe extern "C"] $($parameter)*);

        impl<R: Returned, F: Callable, $($parameter: Parameter),*> TypedFunction<($($parameter,)*), R, F> {
            /// Calls it, and waits until it has returned.
            ///
            /// # Errors
            ///
            /// As [`Executor::call`].
            #[allow(clippy::too_many_arguments, reason = "the function has them")]
            pub fn call(&self, $($argument: $parameter::Given<'_>),*) -> Result<R::Taken> {
                let mut arguments = [$($parameter::argument($argument)),*];
                taken::<R>(self.function.call_any(&mut arguments)?)
            }

            /// As [`call`](Self::call), as a future.
            ///
            /// # Errors
            ///
            /// As [`Executor::call`].
            #[allow(clippy::too_many_arguments, reason = "the function has them")]
            pub async fn call_async(&self, $($argument: $parameter::Given<'_>),*) -> Result<R::Taken> {
                let mut arguments = [$($parameter::argument($argument)),*];
                taken::<R>(self.function.call_any_async(&mut arguments).await?)
            }
        }

        impl<R: Returned, $($parameter: Parameter),*> TypedFunction<($($parameter,)*), R> {
            /// Sends a call, and does not wait: see [`Pending`]. Of a function with slices that come out this does not compile.
            ///
            /// # Errors
            ///
            /// When the connection fails, or the executor does not take as much.
            #[allow(clippy::too_many_arguments, reason = "the function has them")]
            pub fn start(
                &self,
                order: Order,
                $($argument: $parameter::Given<'_>),*
            ) -> Result<TypedPending<R>> {
                const { assert!(!(false $(|| $parameter::COMES_OUT)*), "slices that come out are for `call`") };
                let arguments = [$($parameter::argument($argument)),*];
                let pending = self.function.start_in(order, &arguments)?;
                Ok(TypedPending { pending, typed: PhantomData })
            }
        }
    };
}

functions!();
functions!(A a);
functions!(A a B b);
functions!(A a B b C c);
functions!(A a B b C c D d);
functions!(A a B b C c D d E e);
functions!(A a B b C c D d E e G g);
functions!(A a B b C c D d E e G g H h);
functions!(A a B b C c D d E e G g H h I i);
functions!(A a B b C c D d E e G g H h I i J j);
functions!(A a B b C c D d E e G g H h I i J j K k);
functions!(A a B b C c D d E e G g H h I i J j K k L l);
functions!(A a B b C c D d E e G g H h I i J j K k L l M m);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_type_is_written_as_llvm_writes_it() {
        type Every = fn(bool, i8, u16, i32, u64, f32, f64, *const u8, In<i64>, InOut<u8>) -> u8;
        assert_eq!(
            Every::signature(),
            "zeroext i8 (i1 zeroext, i8 signext, i16 zeroext, i32, i64, float, double, ptr, ptr, ptr)"
        );
        assert_eq!(<unsafe extern "C" fn()>::signature(), "void ()");
        let parsed: farcall_image::Signature = Every::signature().parse().unwrap();
        assert_eq!(parsed.to_string(), Every::signature());
    }

    #[test]
    fn a_result_of_another_kind_is_none() {
        let eight = |value| Value::Int { bits: 8, value };
        assert_eq!(<i8 as Returned>::taken(eight(0xff)), Some(-1));
        assert_eq!(<u8 as Returned>::taken(eight(0xff)), Some(255));
        assert_eq!(<i32 as Returned>::taken(eight(1)), None);
        assert_eq!(<() as Returned>::taken(eight(1)), None);
        assert_eq!(<f64 as Returned>::taken(Value::Float(1.0)), None);
    }
}
