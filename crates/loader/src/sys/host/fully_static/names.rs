//! The names that images find without anybody giving them.
//!
//! Compilers call some functions that no source names: to copy memory, to unwind, to register destructors.
//! Which image has them is nobody's choice, so that they are here; every other name is for the host to
//! define. All are in each program that loads images anyway.

use std::ffi::c_void;

use crate::sys::runtime;

/// The address of such a function. Versions, which only shared objects have, are not compared.
pub(crate) fn exported(name: &[u8]) -> Option<u64> {
    let name = name.split(|&byte| byte == b'@').next()?;
    let function = match name {
        b"memcpy" => libc::memcpy as *const (),
        b"memmove" => libc::memmove as *const (),
        b"memset" => libc::memset as *const (),
        b"memcmp" => libc::memcmp as *const (),
        b"bcmp" => bcmp as *const (),
        b"strlen" => libc::strlen as *const (),
        b"abort" => libc::abort as *const (),
        b"__stack_chk_fail" => __stack_chk_fail as *const (),
        b"__cxa_atexit" => runtime::__cxa_atexit as *const (),
        b"__cxa_finalize" => runtime::__cxa_finalize as *const (),
        b"__cxa_at_quick_exit" => runtime::__cxa_at_quick_exit as *const (),
        b"__register_atfork" => runtime::__register_atfork as *const (),
        b"dl_iterate_phdr" => libc::dl_iterate_phdr as *const (),
        b"_Unwind_Backtrace" => _Unwind_Backtrace as *const (),
        b"_Unwind_DeleteException" => _Unwind_DeleteException as *const (),
        b"_Unwind_FindEnclosingFunction" => _Unwind_FindEnclosingFunction as *const (),
        b"_Unwind_ForcedUnwind" => _Unwind_ForcedUnwind as *const (),
        b"_Unwind_GetCFA" => _Unwind_GetCFA as *const (),
        b"_Unwind_GetDataRelBase" => _Unwind_GetDataRelBase as *const (),
        b"_Unwind_GetGR" => _Unwind_GetGR as *const (),
        b"_Unwind_GetIP" => _Unwind_GetIP as *const (),
        b"_Unwind_GetIPInfo" => _Unwind_GetIPInfo as *const (),
        b"_Unwind_GetLanguageSpecificData" => _Unwind_GetLanguageSpecificData as *const (),
        b"_Unwind_GetRegionStart" => _Unwind_GetRegionStart as *const (),
        b"_Unwind_GetTextRelBase" => _Unwind_GetTextRelBase as *const (),
        b"_Unwind_RaiseException" => _Unwind_RaiseException as *const (),
        b"_Unwind_Resume" => _Unwind_Resume as *const (),
        b"_Unwind_Resume_or_Rethrow" => _Unwind_Resume_or_Rethrow as *const (),
        b"_Unwind_SetGR" => _Unwind_SetGR as *const (),
        b"_Unwind_SetIP" => _Unwind_SetIP as *const (),
        _ => return None,
    };
    Some(function.expose_provenance() as u64)
}

// Itanium C++ ABI, "Exception Handling", Level I, and what LSB Core 5.0 adds to it.
#[allow(
    clashing_extern_declarations,
    reason = "only their addresses are taken, so that their types do not matter"
)]
unsafe extern "C" {
    fn bcmp(a: *const c_void, b: *const c_void, size: usize) -> i32;
    fn __stack_chk_fail();
    fn _Unwind_Backtrace();
    fn _Unwind_DeleteException();
    fn _Unwind_FindEnclosingFunction();
    fn _Unwind_ForcedUnwind();
    fn _Unwind_GetCFA();
    fn _Unwind_GetDataRelBase();
    fn _Unwind_GetGR();
    fn _Unwind_GetIP();
    fn _Unwind_GetIPInfo();
    fn _Unwind_GetLanguageSpecificData();
    fn _Unwind_GetRegionStart();
    fn _Unwind_GetTextRelBase();
    fn _Unwind_RaiseException();
    fn _Unwind_Resume();
    fn _Unwind_Resume_or_Rethrow();
    fn _Unwind_SetGR();
    fn _Unwind_SetIP();
}
