//! Bytes that become code on x86-64.

/// The code of two functions: one that gives 1, one that gives 2.
pub const GIVES: [[u8; 6]; 2] = [
    [0xb8, 1, 0, 0, 0, 0xc3], // mov eax, 1; ret
    [0xb8, 2, 0, 0, 0, 0xc3], // mov eax, 2; ret
];

/// Whether [`publish`] does anything.
pub const IS_PUBLISHED: bool = false;

/// Makes all processors see as code what has been written.
///
/// There is nothing to do: what a processor has fetched is thrown away when its memory changes, by
/// whatever address (Intel SDM, volume 3, "Self-Modifying Code"; AMD APM, volume 2, "Cross-Modifying Code").
///
/// # Safety
///
/// As on other machines.
pub unsafe fn publish(_written: *const u8, _executed: *const u8, _length: usize) {}
