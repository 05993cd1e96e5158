//! Addresses that are numbers in the IR.
//!
//! Whoever makes IR in the process that will run it can write an address of that process into it. The code is for other
//! processes too, where it would read and call what happens to be there.

use inkwell::module::Module;

use crate::{Error, llvm, target::Machine};

/// Below it nothing is mapped, so IR uses such numbers for pointers that are none: null and its neighbours, what
/// a dangling reference is aligned to, marks of a table.
const LOWEST: u64 = 1 << 16;

/// What the low half of a number is at most that has a mark there and something else in the high half, as Rust's
/// `std::io::Error` has. Nothing lies that close behind a multiple of 4 GiB but what begins a mapping, and that begins at the multiple.
const HIGHEST_MARK: u64 = 3;

/// Refuses numbers that are addresses of one process, and offsets of thread-local variables, which lie below the
/// thread pointer. What lies above is laid down by the C library's ABI.
pub(crate) fn check(input: &str, module: &Module<'_>, machine: &Machine) -> Result<(), Error> {
    // What is above is a mark too: -1 for one.
    let highest = 1 << machine.n_address_bits;
    let is_refused = |number: u64, address_space: u32| match address_space {
        0 => (LOWEST..highest).contains(&number) && !is_marked(number),
        _ if machine.from_thread_pointer.contains(&address_space) => number.cast_signed() < 0,
        _ => false,
    };
    match llvm::absolute_address(module, is_refused) {
        None => Ok(()),
        Some(found) => Err(Error::AbsoluteAddress {
            input: input.to_owned(),
            owner: found.owner,
            text: found.text,
            location: found.location,
        }),
    }
}

fn is_marked(number: u64) -> bool {
    (1..=HIGHEST_MARK).contains(&(number & u64::from(u32::MAX)))
}
