//! Calls that nothing unwinds out of.
//!
//! A constructor, a destructor or `main` that throws has no frame that could catch: a program ends
//! by `std::terminate`, which prints the exception. An unwinder decides that when the search for a
//! handler comes to a frame without unwind tables. So the frame that calls, which each
//! machine's folder has, has none.

unsafe extern "C" {
    fn farcall_call_noexcept(function: u64, a: u64, b: u64, c: u64) -> u64;
}

/// Calls the function at `function` with three integer or pointer arguments and gives its integer
/// result. An exception that leaves it terminates the process as in C++.
///
/// # Safety
///
/// A function is at the address that follows the C calling convention and takes at most these
/// arguments, and they are what it wants.
pub unsafe fn call(function: u64, arguments: [u64; 3]) -> u64 {
    let [a, b, c] = arguments;
    // SAFETY: the caller's contract; the code above calls `function` with the arguments moved down.
    unsafe { farcall_call_noexcept(function, a, b, c) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn arguments_and_result_pass() {
        extern "C" fn digits(a: u64, b: u64, c: u64) -> u64 {
            100 * a + 10 * b + c
        }
        let address = (digits as *const ()).expose_provenance() as u64;
        // SAFETY: the function takes three integers.
        assert_eq!(unsafe { super::call(address, [1, 2, 3]) }, 123);
    }
}
