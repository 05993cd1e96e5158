//! An image is a shared object too: what the host's dynamic linker makes of it is what loading makes of it.
//!
//! Programs of `testdata/run` are called in two processes, one for each way, and what they print is compared.
//! Alone in its process, because it forks.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "a test that cannot go on is to panic; loading runs code"
)]

mod common;

use std::ffi::{CStr, CString, c_char};
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::ptr;

use common::child::{End, in_child};
use common::{image_of_files, system_loader};
use farcall_testkit::{paths, require_tools};

type Main = unsafe extern "C-unwind" fn(i32, *const *const c_char) -> i32;

/// Programs that end by `main` returning and that have in them something that loading does: constructors and
/// destructors, thread-local variables, indirect functions, exceptions, relocated data. With their other sources.
/// Two things differ on purpose: an import with a version has it in its name, which the host does not take apart, and
/// constructors get the program's arguments from the host, but none from loading.
const PROGRAMS: [&[&str]; 16] = [
    &["aggregates.c"],
    &["containers.cpp"],
    &["exceptions.cpp"],
    &[
        "exceptions_files.cpp",
        "parts/exceptions_files_other.cpp",
        "parts/exceptions_files_c.c",
    ],
    &["function_tables.c"],
    &["ifunc.c"],
    &["inheritance.cpp"],
    &["memory.cpp"],
    &["printf_formats.c"],
    &["setjmp.c"],
    &["switch_tables.c"],
    &["templates_deep.cpp"],
    &[
        "thread_local_objects.cpp",
        "parts/thread_local_objects_other.cpp",
    ],
    &["tls_c.c", "parts/tls_c_other.c"],
    &["unwind_c.c"],
    &["vm_computed_goto.c"],
];

#[test]
fn what_dlopen_of_an_image_prints_loading_prints() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    let programs = paths::workspace_root().join("testdata/run");
    for program in PROGRAMS {
        let sources = program.iter().map(|source| programs.join(source));
        let path = folder.path().join("image");
        let image = image_of_files(&sources.collect::<Vec<_>>());
        std::fs::write(&path, image).unwrap();
        let [theirs, ours] = [by_host as fn(&Path), by_loader].map(|way| {
            let output = folder.path().join("output");
            let file = File::create(&output).unwrap();
            let end = in_child(60, || {
                // SAFETY: the child's own standard output.
                unsafe { libc::dup2(file.as_raw_fd(), 1) };
                way(&path);
            });
            assert_eq!(end, End::Well, "{program:?}");
            String::from_utf8_lossy(&std::fs::read(&output).unwrap()).into_owned()
        });
        assert!(!ours.is_empty(), "{program:?} prints something");
        assert_eq!(ours, theirs, "{program:?}");
    }
}

/// Opened by the host, an image finds what it imports where a program has it, and says no library.
fn by_host(image: &Path) {
    let open = |path: &CStr, flags| {
        // SAFETY: the libraries are the system's, and the image is the test's.
        let handle = unsafe { libc::dlopen(path.as_ptr(), flags) };
        // SAFETY: its message is a C string.
        let error = || unsafe { CStr::from_ptr(libc::dlerror()) };
        assert!(!handle.is_null(), "{:?}", error());
        handle
    };
    for library in [c"libm.so.6", c"libgcc_s.so.1", c"libstdc++.so.6"] {
        open(library, libc::RTLD_NOW | libc::RTLD_GLOBAL);
    }
    let path = CString::new(image.to_str().unwrap()).unwrap();
    let handle = open(&path, libc::RTLD_NOW);
    // SAFETY: the handle is open, the name a C string.
    let main = unsafe { libc::dlsym(handle, c"main".as_ptr()) };
    assert!(!main.is_null());
    // SAFETY: every program's main can be called like this.
    run(unsafe { std::mem::transmute::<*mut libc::c_void, Main>(main) });
    // SAFETY: nothing of the image is used any more.
    unsafe { libc::dlclose(handle) };
    flush();
}

fn by_loader(image: &Path) {
    // SAFETY: the image is the test's.
    let module = unsafe { system_loader().load_file(image, &[]) }.unwrap();
    run(*module.lookup::<Main>("main").unwrap());
    // As `dlclose`, this leaves what has thread-local objects to the end of their threads.
    drop(module);
    flush();
}

fn run(main: Main) {
    let arguments = [c"program".as_ptr(), ptr::null()];
    // SAFETY: these are a program's arguments.
    let status = unsafe { main(1, arguments.as_ptr()) };
    // SAFETY: the format has one `int`.
    unsafe { libc::printf(c"status %d\n".as_ptr(), status) };
}

/// The child ends without the C library's exit handlers.
fn flush() {
    // SAFETY: all streams are flushed.
    unsafe { libc::fflush(ptr::null_mut()) };
}
