//! Running an image as a program.

use std::convert::Infallible;
use std::ffi::{CString, c_char};
use std::ptr;

use farcall_image::{SymbolKind, nearest};

use crate::error::{Error, Result};
use crate::load::{Arguments, Published};
use crate::relocate::Value;
use crate::sys::{noexcept, runtime};

/// Runs the constructors and `main`, and ends the process with its result.
///
/// # Safety
///
/// As [`crate::Loader::run_program`].
pub(crate) unsafe fn run(published: Published, args: Vec<CString>) -> Result<Infallible> {
    let main = main_function(&published)?;
    let count = i32::try_from(args.len()).unwrap_or(i32::MAX);
    // Programs keep pointers into their arguments, and may write to them, until the very end.
    let mut values: Vec<*mut c_char> = args.into_iter().map(CString::into_raw).collect();
    values.push(ptr::null_mut());
    let values: &'static mut [*mut c_char] = values.leak();
    if let Some(&name) = values.first().filter(|name| !name.is_null()) {
        // SAFETY: the name is a C string that is never freed; the caller vouches that no other
        // thread minds.
        unsafe { set_program_name(name) };
    }
    // SAFETY: the caller vouches that no other thread minds.
    unsafe { restore_signals() };

    let arguments = Arguments {
        count,
        values: values.as_mut_ptr().cast::<*const c_char>().cast_const(),
    };
    // SAFETY: it takes nothing and always succeeds.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: this thread's variable. A program starts with no error behind it.
    unsafe { *errno = 0 };
    let module = published.start(arguments)?;
    // The handlers that run at exit need it to the end.
    std::mem::forget(module);
    // SAFETY: the image says that this is its `main`, and someone vouches for the image.
    let result = unsafe { noexcept::call(main, arguments.words()) };
    let [b0, b1, b2, b3, ..] = result.to_le_bytes();
    // SAFETY: handlers run on this thread; they are the program's own and the host's.
    unsafe { libc::exit(i32::from_le_bytes([b0, b1, b2, b3])) }
}

fn main_function(published: &Published) -> Result<u64> {
    let loaded = published.loaded();
    let main = loaded.export(b"main").filter(|export| {
        matches!(
            export.symbol.kind,
            SymbolKind::Function | SymbolKind::IndirectFunction | SymbolKind::Unknown
        )
    });
    match main.map(|export| export.value) {
        Some(Value::Address(address)) => Ok(address),
        _ => Err(Error::NoExport {
            module: loaded.name.as_str().to_owned(),
            name: "main".to_owned(),
            nearest: nearest(b"main", loaded.export_names()),
        }),
    }
}

/// Says what the program is called in messages of the C library, as `assert` prints them.
///
/// # Safety
///
/// `name` is a C string that is never freed, and no other thread reads the names now.
unsafe fn set_program_name(name: *mut c_char) {
    // SAFETY: a C string.
    let slash = unsafe { libc::strrchr(name, i32::from(b'/')) };
    let short = if slash.is_null() {
        name
    } else {
        // SAFETY: the slash is not the string's zero.
        unsafe { slash.add(1) }
    };
    // SAFETY: the caller's contract.
    unsafe { runtime::program_invocation_name = name };
    // SAFETY: as above.
    unsafe { runtime::program_invocation_short_name = short };
}

/// Undoes what Rust's runtime does to signals before `main`.
///
/// # Safety
///
/// No other thread relies on it.
unsafe fn restore_signals() {
    for signal in [libc::SIGPIPE, libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: the default action.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let none = libc::stack_t {
        ss_sp: ptr::null_mut(),
        ss_flags: libc::SS_DISABLE,
        ss_size: 0,
    };
    // SAFETY: no signal is being handled on the stack that this turns off.
    unsafe { libc::sigaltstack(&raw const none, ptr::null_mut()) };
}
