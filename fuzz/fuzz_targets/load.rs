//! Images in this process: loading fails and leaves nothing behind, or gives a module that can be asked and unloaded.
//!
//! The input is an image, or several that are loaded together: the word `together`, then for each its size in
//! four bytes and the image. Their code does nothing. A signal ends the fuzzer, which keeps what caused it.
#![no_main]

use std::ffi::c_void;
use std::sync::LazyLock;

use farcall_image::{Image, SymbolKind};
use farcall_loader::{Loader, Module, TrustedImage};

#[path = "../../crates/loader/tests/common/harmless.rs"]
mod harmless;

/// Names that the images to start from import.
const NAMES: [&str; 4] = ["one", "two", "three", "four"];

/// One loader that knows a few names, and one that knows what the process has.
static LOADERS: LazyLock<[Loader; 2]> = LazyLock::new(|| {
    let mut own = Loader::new();
    own.host_exports(false);
    extern "C" fn nothing() {}
    for name in NAMES {
        own.define_function(name, nothing as extern "C" fn());
    }
    let mut host = Loader::new();
    for library in ["libc.so.6", "libgcc_s.so.1", "libstdc++.so.6"] {
        host.library(library);
    }
    [own, host]
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let images: Option<Vec<_>> = parts(bytes).into_iter().map(harmless::harmless).collect();
    let Some(images) = images.filter(|images| !images.is_empty()) else {
        return;
    };
    let before = n_mappings();
    load(&images);
    // The allocator and the loader keep some memory for the next time, but not more each time.
    const AGAIN: usize = 16;
    if n_mappings() > before {
        let before = n_mappings();
        (0..AGAIN).for_each(|_| load(&images));
        let after = n_mappings();
        assert!(after < before + AGAIN, "{before} mappings, then {after}");
    }
});

/// The images of an input.
fn parts(bytes: &[u8]) -> Vec<&[u8]> {
    let Some(mut rest) = bytes.strip_prefix(b"together") else {
        return vec![bytes];
    };
    let mut parts = Vec::new();
    while let Some((size, more)) = rest.split_first_chunk() {
        let size = usize::try_from(u32::from_le_bytes(*size)).expect("64 bits");
        let (part, more) = more.split_at(size.min(more.len()));
        parts.push(part);
        rest = more;
    }
    parts
}

fn load(images: &[Vec<u8>]) {
    let images = images.iter().map(|bytes| {
        let image = Image::parse(bytes).expect("it has been parsed");
        // SAFETY: its code does nothing.
        unsafe { TrustedImage::assume_trusted(image) }
    });
    let images: Vec<_> = images.collect();
    for loader in LOADERS.iter() {
        let modules = match &images[..] {
            [image] => loader.load(image, &[]).map(|module| vec![module]),
            _ => loader.load_all(&images.iter().collect::<Vec<_>>(), &[]),
        };
        let Ok(modules) = modules else { continue };
        modules.iter().for_each(ask);
        // Of a circle the last one goes with the others.
        drop(modules);
    }
}

/// Asks a module for everything, and the host's unwinder for its functions.
fn ask(module: &Module) {
    for export in module.exports() {
        let Ok(name) = std::str::from_utf8(export.name) else {
            continue;
        };
        let address = module.address(name);
        let _ = std::hint::black_box(module.signature(name));
        let _ = module.lookup::<unsafe extern "C" fn() -> i32>(name);
        if export.kind != SymbolKind::Function || address.is_err() {
            continue;
        }
        let mut bases = [std::ptr::null_mut(); 3];
        let address =
            std::ptr::with_exposed_provenance(usize::try_from(export.address).expect("64 bits"));
        // SAFETY: searching takes any address.
        std::hint::black_box(unsafe { _Unwind_Find_FDE(address, &mut bases) });
    }
}

#[link(name = "gcc_s")]
unsafe extern "C" {
    fn _Unwind_Find_FDE(address: *const c_void, bases: *mut [*mut c_void; 3]) -> *const c_void;
}

fn n_mappings() -> usize {
    let maps = std::fs::read("/proc/self/maps").expect("the process has mappings");
    maps.iter().filter(|byte| **byte == b'\n').count()
}
