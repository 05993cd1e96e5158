//! What the functions that TLS descriptors name have in common on all machines, and what they read of a
//! thread.
//!
//! Code calls a descriptor's function with the descriptor's address and gets where the variable is from
//! the thread pointer; all other registers keep their values, as far as compilers count on that.
//! So the functions are written in assembly, and save all that Rust code could change before they call any:
//! each machine's folder has them.

use std::arch::global_asm;

use super::machine;
use crate::tls::Block;

pub(crate) use super::machine::tls_descriptor::{thread_blocks, thread_pointer};

/// The addresses of the three functions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DescriptorFunctions {
    /// The descriptor's second word is the result.
    pub(crate) constant: u64,
    /// The second word is the address of a [`TlsIndex`](crate::tls::TlsIndex) of an image of ours.
    pub(crate) ours: u64,
    /// The same of a library of the host's.
    pub(crate) hosts: u64,
}

/// A thread's table of blocks, by slot. All zero until the thread first uses one.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct ThreadBlocks {
    pub(crate) blocks: *mut Block,
    /// The number of blocks.
    pub(crate) length: usize,
}

global_asm!(
    // A thread's `ThreadBlocks`. Rust's own thread-local variables have no name for assembly.
    ".pushsection .tbss.farcall_thread_blocks,\"awT\",@nobits",
    ".hidden farcall_thread_blocks",
    ".globl farcall_thread_blocks",
    ".type farcall_thread_blocks, @object",
    ".size farcall_thread_blocks, 16",
    ".p2align 3",
    "farcall_thread_blocks:",
    ".zero 16",
    ".popsection",
);

unsafe extern "C" {
    fn farcall_tls_descriptor_constant();
    fn farcall_tls_descriptor_ours();
    fn farcall_tls_descriptor_hosts();
}

/// The functions, ready to be called.
pub(crate) fn descriptor_functions() -> DescriptorFunctions {
    machine::tls_descriptor::prepare();
    let address = |function: unsafe extern "C" fn()| (function as *const ()).expose_provenance();
    DescriptorFunctions {
        constant: address(farcall_tls_descriptor_constant) as u64,
        ours: address(farcall_tls_descriptor_ours) as u64,
        hosts: address(farcall_tls_descriptor_hosts) as u64,
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::Layout;

    use super::*;
    use crate::sys::machine::tls_descriptor::tests::call;
    use crate::tls::{Slot, Template, TlsIndex};

    fn value(distance: u64) -> u8 {
        let address = usize::try_from(thread_pointer().wrapping_add(distance)).unwrap();
        // SAFETY: a variable of this thread's.
        unsafe { std::ptr::with_exposed_provenance::<u8>(address).read() }
    }

    #[test]
    fn a_descriptor_gives_the_distance_and_leaves_every_other_register() {
        let functions = descriptor_functions();
        assert_eq!(
            call([functions.constant, 0x1234_5678_9abc]),
            0x1234_5678_9abc
        );

        static BYTES: [u8; 4] = [1, 2, 3, 4];
        // Other slots before it, so that a table of one is too short.
        let slots: Vec<Slot> = (0..5).map(|_| Slot::new().unwrap()).collect();
        for slot in &slots {
            let template = Template {
                address: BYTES.as_ptr().expose_provenance() as u64,
                initialized: 4,
                layout: Layout::from_size_align(64, 64).unwrap(),
            };
            // SAFETY: the bytes are static.
            unsafe { slot.publish(template) };
        }
        let test = || {
            for slot in slots.iter().rev() {
                let pair = TlsIndex {
                    module: slot.identity(),
                    offset: 2,
                };
                let descriptor = [functions.ours, (&raw const pair).expose_provenance() as u64];
                // The long way, then the short one.
                let distance = call(descriptor);
                assert_eq!(value(distance), 3);
                assert_eq!(call(descriptor), distance);
            }
        };
        test();
        std::thread::scope(|scope| {
            scope.spawn(test);
        });
    }

    #[test]
    fn a_slot_used_again_has_a_new_block() {
        static BYTES: [u8; 2] = [7, 8];
        let functions = descriptor_functions();
        for byte in [0, 1, 0, 1] {
            let slot = Slot::new().unwrap();
            let template = Template {
                address: BYTES[byte..].as_ptr().expose_provenance() as u64,
                initialized: 1,
                layout: Layout::from_size_align(1, 1).unwrap(),
            };
            // SAFETY: the bytes are static.
            unsafe { slot.publish(template) };
            let pair = TlsIndex {
                module: slot.identity(),
                offset: 0,
            };
            let address = (&raw const pair).expose_provenance() as u64;
            assert_eq!(value(call([functions.ours, address])), BYTES[byte]);
        }
    }

    #[test]
    fn the_hosts_variables_are_found_through_the_host() {
        // One of this program's, and the C library's `errno` where that is a thread-local variable.
        let own = thread_blocks().expose_provenance() as u64;
        // SAFETY: it takes nothing and always succeeds.
        let errno = unsafe { libc::__errno_location() }.expose_provenance() as u64;
        let variables = match cfg!(target_env = "musl") {
            true => vec![own],
            false => vec![own, errno],
        };
        let functions = descriptor_functions();
        for variable in variables {
            let tls = crate::sys::host::host_tls_at(variable).unwrap();
            let pair = TlsIndex {
                module: tls.module,
                offset: variable - tls.block.start,
            };
            let address = (&raw const pair).expose_provenance() as u64;
            let distance = call([functions.hosts, address]);
            assert_eq!(thread_pointer().wrapping_add(distance), variable);
            let blocks = crate::sys::host::static_blocks(&[tls.module]);
            assert_eq!(blocks[&tls.module].wrapping_add(pair.offset), distance);
        }
    }
}
