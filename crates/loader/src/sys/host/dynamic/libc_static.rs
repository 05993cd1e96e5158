//! Functions that a program may call by their C names and that no shared object exports, because glibc
//! has or had them in the part that is linked into each program (`libc_nonshared.a`).
//!
//! `atexit`, `at_quick_exit` and `pthread_atfork`, which are there too, must know which image calls: the
//! linker adds them to the image. Those here need not: `stat` and its like, which are exported since
//! glibc 2.33 only, and what code of 32-bit machines calls when it finds its stack overwritten. This
//! crate calls them by name, so that whatever it was linked with is what images get.

/// The function of this name.
pub(crate) fn function(name: &[u8]) -> Option<u64> {
    let function = match name {
        b"stat" => libc::stat as *const (),
        b"fstat" => libc::fstat as *const (),
        b"lstat" => libc::lstat as *const (),
        b"fstatat" => libc::fstatat as *const (),
        b"stat64" => libc::stat64 as *const (),
        b"fstat64" => libc::fstat64 as *const (),
        b"lstat64" => libc::lstat64 as *const (),
        b"fstatat64" => libc::fstatat64 as *const (),
        b"mknod" => libc::mknod as *const (),
        b"mknodat" => libc::mknodat as *const (),
        b"__stack_chk_fail_local" => stack_overwritten as *const (),
        _ => return None,
    };
    Some(function.expose_provenance() as u64)
}

/// Says so and aborts, as the C library's does.
extern "C" fn stack_overwritten() -> ! {
    unsafe extern "C" {
        fn __stack_chk_fail() -> !;
    }
    // SAFETY: it takes nothing and does not return.
    unsafe { __stack_chk_fail() }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::super::global_symbol;

    #[test]
    fn they_are_those_of_the_c_library_where_it_exports_them() {
        for name in ["stat", "fstat", "lstat", "fstatat", "mknod", "mknodat"] {
            let own = super::function(name.as_bytes()).unwrap();
            let name = CString::new(name).unwrap();
            // Before glibc 2.33 there is none to compare with.
            assert_eq!(global_symbol(&name).unwrap_or(own), own, "{name:?}");
        }
        assert!(super::function(b"__stack_chk_fail_local").is_some());
        assert_eq!(super::function(b"printf"), None);
    }
}
