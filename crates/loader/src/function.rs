//! Function pointers that know their type as the manifest writes it.

use std::ffi::c_void;
use std::ptr::NonNull;

use farcall_image::{Parameter, Signature, ValueType};

/// A pointer to a function of the C calling convention with up to 12 parameters, each an
/// [`AbiType`].
pub trait FunctionPointer: sealed::Pointer {
    /// Its type in LLVM's terms.
    fn signature() -> Signature;

    /// Whether a type in LLVM's syntax is this one, attributes aside that it does not have: a quick yes,
    /// or a no that says nothing.
    #[doc(hidden)]
    fn is_written(text: &str) -> bool;
}

/// A [`FunctionPointer`] that is unsafe to call: what a lookup gives, because no type tells all
/// that foreign code wants of its caller.
pub trait UnsafeFunctionPointer: FunctionPointer {}

/// A type that is passed in one register: an integer, a floating-point number or a pointer; as a
/// result also `()`.
pub trait AbiType: sealed::Value {
    /// The type in LLVM's terms.
    const VALUE_TYPE: ValueType;

    /// The same in LLVM's syntax.
    #[doc(hidden)]
    const NAME: &'static str;
}

pub(crate) mod sealed {
    /// Function pointers.
    pub trait Pointer: Copy {
        /// Where the function is.
        fn address(self) -> usize;

        /// The pointer to the function at `address`.
        ///
        /// # Safety
        ///
        /// A function of this type is at `address`.
        unsafe fn at(address: usize) -> Self;
    }

    /// Values.
    pub trait Value {}
}

macro_rules! value_types {
    ($($type:ty => $value_type:expr, $name:literal;)*) => {$(
        impl sealed::Value for $type {}
        impl AbiType for $type {
            const VALUE_TYPE: ValueType = $value_type;
            const NAME: &'static str = $name;
        }
    )*};
}

value_types! {
    () => ValueType::Void, "void";
    bool => ValueType::Int(1), "i1";
    i8 => ValueType::Int(8), "i8";
    u8 => ValueType::Int(8), "i8";
    i16 => ValueType::Int(16), "i16";
    u16 => ValueType::Int(16), "i16";
    i32 => ValueType::Int(32), "i32";
    u32 => ValueType::Int(32), "i32";
    i64 => ValueType::Int(64), "i64";
    u64 => ValueType::Int(64), "i64";
    isize => ValueType::Int(64), "i64";
    usize => ValueType::Int(64), "i64";
    f32 => ValueType::Float, "float";
    f64 => ValueType::Double, "double";
}

macro_rules! pointer_types {
    ($($type:ty),*) => {$(
        impl<T> sealed::Value for $type {}
        impl<T> AbiType for $type {
            const VALUE_TYPE: ValueType = ValueType::Ptr;
            const NAME: &'static str = "ptr";
        }
    )*};
}

pointer_types!(*const T, *mut T, NonNull<T>, Option<NonNull<T>>);

impl<F: FunctionPointer> sealed::Value for Option<F> {}
/// A function pointer that may be null.
impl<F: FunctionPointer> AbiType for Option<F> {
    const VALUE_TYPE: ValueType = ValueType::Ptr;
    const NAME: &'static str = "ptr";
}

macro_rules! function_pointer {
    ([$($qualifier:tt)*] $($parameter:ident)*) => {
        impl<R: AbiType, $($parameter: AbiType),*> sealed::Pointer
            for $($qualifier)* fn($($parameter),*) -> R
        {
            fn address(self) -> usize {
                (self as *const c_void).expose_provenance()
            }

            unsafe fn at(address: usize) -> Self {
                let pointer = std::ptr::with_exposed_provenance::<c_void>(address);
                // SAFETY: the caller vouches for a function of this type at the address.
                unsafe { std::mem::transmute::<*const c_void, Self>(pointer) }
            }
        }

        impl<R: AbiType, $($parameter: AbiType),*> FunctionPointer
            for $($qualifier)* fn($($parameter),*) -> R
        {
            fn signature() -> Signature {
                Signature {
                    result: Parameter::plain(R::VALUE_TYPE),
                    parameters: vec![$(Parameter::plain($parameter::VALUE_TYPE)),*],
                    variadic: false,
                }
            }

            fn is_written(text: &str) -> bool {
                is_written(text, R::NAME, &[$($parameter::NAME),*])
            }
        }
    };
}

/// Whether `text` is the type of a function with these types.
fn is_written(text: &str, result: &str, parameters: &[&str]) -> bool {
    let matches = || {
        let mut rest = text.strip_prefix(result)?.strip_prefix(" (")?;
        for (index, parameter) in parameters.iter().enumerate() {
            if index != 0 {
                rest = rest.strip_prefix(", ")?;
            }
            rest = rest.strip_prefix(parameter)?;
        }
        (rest == ")").then_some(())
    };
    matches().is_some()
}

macro_rules! function_pointers {
    ($($parameter:ident)*) => {
        function_pointer!([extern "C"] $($parameter)*);
        function_pointer!([extern "C-unwind"] $($parameter)*);
        function_pointer!([unsafe extern "C"] $($parameter)*);
        function_pointer!([unsafe extern "C-unwind"] $($parameter)*);
        impl<R: AbiType, $($parameter: AbiType),*> UnsafeFunctionPointer
            for unsafe extern "C" fn($($parameter),*) -> R {}
        impl<R: AbiType, $($parameter: AbiType),*> UnsafeFunctionPointer
            for unsafe extern "C-unwind" fn($($parameter),*) -> R {}
    };
}

function_pointers!();
function_pointers!(A);
function_pointers!(A B);
function_pointers!(A B C);
function_pointers!(A B C D);
function_pointers!(A B C D E);
function_pointers!(A B C D E F);
function_pointers!(A B C D E F G);
function_pointers!(A B C D E F G H);
function_pointers!(A B C D E F G H I);
function_pointers!(A B C D E F G H I J);
function_pointers!(A B C D E F G H I J K);
function_pointers!(A B C D E F G H I J K L);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_pointer_knows_its_type() {
        type Callback = Option<extern "C" fn()>;
        type Function =
            unsafe extern "C" fn(bool, i8, u16, i32, u64, f32, f64, *const u8, Callback) -> usize;
        assert_eq!(
            Function::signature().to_string(),
            "i64 (i1, i8, i16, i32, i64, float, double, ptr, ptr)"
        );
        assert_eq!(<extern "C-unwind" fn()>::signature().to_string(), "void ()");
        assert!(Function::is_written(&Function::signature().to_string()));
        assert!(<extern "C" fn()>::is_written("void ()"));
        for other in ["i32 ()", "void (i32)", "void (...)", "void () ", ""] {
            assert!(!<extern "C" fn()>::is_written(other), "{other}");
        }
    }

    #[test]
    fn an_address_becomes_the_same_function() {
        use sealed::Pointer;
        extern "C" fn double(value: i32) -> i32 {
            2 * value
        }
        let address = (double as extern "C" fn(i32) -> i32).address();
        // SAFETY: the address is that of a function of this type.
        let again = unsafe { <extern "C" fn(i32) -> i32>::at(address) };
        assert_eq!(again(21), 42);
    }
}
