//! What the loader's tests share: images made of C and C++.

#![allow(
    dead_code,
    unsafe_code,
    clippy::unwrap_used,
    reason = "each test binary uses a part; a test that cannot go on is to panic; loading runs code"
)]

pub(crate) mod child;
pub(crate) mod harmless;

use std::path::Path;

use farcall_image::Image;
use farcall_loader::{Error, Loader, Module, TrustedImage};
use farcall_testkit::{Linker, tools};

/// What every C source starts with: `TYPE(add, "i32 (i32, i32)")` gives a symbol a type, as the
/// compiler of IR does.
const PRELUDE: &str = r#"
#define TYPE(name, type) __asm__(".pushsection .farcall.types,\"e\",@progbits\n" \
    ".asciz \"" #name "\"\n.asciz \"" type "\"\n.popsection");
#line 1
"#;

/// What makes compilers ask for thread-local variables by `__tls_get_addr`.
pub(crate) const TRADITIONAL: &[&str] = match cfg!(target_arch = "aarch64") {
    true => &["-mtls-dialect=trad"],
    false => &[],
};

/// What makes them ask by descriptors.
pub(crate) const DESCRIPTORS: &[&str] = match cfg!(target_arch = "aarch64") {
    true => &[],
    false => &["-mtls-dialect=gnu2"],
};

/// What makes them count on a variable's distance from the thread pointer.
pub(crate) const INITIAL_EXEC: &[&str] = &["-ftls-model=initial-exec"];

/// The image of one source. `name` ends in `.c` or `.cpp`.
pub(crate) fn image(name: &str, source: &str) -> Vec<u8> {
    image_with(name, source, &[])
}

/// The image of one source, compiled with more options.
pub(crate) fn image_with(name: &str, source: &str, options: &[&str]) -> Vec<u8> {
    let object = object(name, source, options);
    Linker::new()
        .add(object_name(name), &object)
        .link()
        .unwrap()
}

/// The image of one source and of what it needs of the compiler's own library.
pub(crate) fn image_with_libgcc(name: &str, source: &str) -> Vec<u8> {
    link_with_libgcc(&[object(name, source, &[])])
}

/// The same of sources that are files.
pub(crate) fn image_of_files(sources: &[impl AsRef<Path>]) -> Vec<u8> {
    let objects = sources.iter().map(|source| compiled(source.as_ref(), &[]));
    link_with_libgcc(&objects.collect::<Vec<_>>())
}

fn link_with_libgcc(objects: &[Vec<u8>]) -> Vec<u8> {
    let asks = ["--rtlib=libgcc", "-print-libgcc-file-name"];
    let output = tools::run("clang-22", &[tools::CLANG_TARGET, &asks].concat()).unwrap();
    let path = String::from_utf8(output.stdout).unwrap();
    let library = std::fs::read(path.trim()).unwrap();
    let mut linker = Linker::new();
    for (index, object) in objects.iter().enumerate() {
        linker.add(format!("{index}.o"), object);
    }
    linker.library("libgcc.a", &library).link().unwrap()
}

/// Many images of one source: `renamed` says for each its name and what its symbols are called instead, in
/// as many bytes.
pub(crate) fn images_like(
    source: &str,
    renamed: impl Iterator<Item = (String, Vec<(String, String)>)>,
) -> Vec<(String, Vec<u8>)> {
    let object = object("like.c", source, &[]);
    let image = |(name, symbols): (String, Vec<(String, String)>)| {
        let mut object = object.clone();
        for (from, to) in &symbols {
            assert_eq!(from.len(), to.len());
            for at in 0..object.len() - from.len() {
                if object[at..].starts_with(from.as_bytes()) {
                    object[at..at + to.len()].copy_from_slice(to.as_bytes());
                }
            }
        }
        let mut linker = Linker::new();
        let image = linker.add(object_name(&name), &object).link().unwrap();
        (name, image)
    };
    renamed.map(image).collect()
}

fn object_name(source: &str) -> String {
    source.replace(".cpp", ".o").replace(".c", ".o")
}

/// The object of one source.
pub(crate) fn object(name: &str, source: &str, options: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let source_path = folder.path().join(name);
    std::fs::write(&source_path, format!("{PRELUDE}{source}")).unwrap();
    compiled(&source_path, options)
}

fn compiled(source_path: &Path, options: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let object = folder.path().join("object.o");
    let args = [
        "-fPIC",
        "-O1",
        "-c",
        source_path.to_str().unwrap(),
        "-o",
        object.to_str().unwrap(),
    ];
    // Clang has descriptors only for AArch64.
    match cfg!(target_arch = "aarch64") && options.contains(&TRADITIONAL[0]) {
        true => tools::run("aarch64-linux-gnu-gcc", &[&args, options].concat()),
        false => tools::run("clang-22", &[tools::CLANG_TARGET, &args, options].concat()),
    }
    .unwrap();
    std::fs::read(object).unwrap()
}

/// Loads an image that a test has made.
pub(crate) fn load_bytes(
    loader: &Loader,
    name: &str,
    bytes: &[u8],
    scope: &[&Module],
) -> Result<Module, Error> {
    // SAFETY: the tests link their images themselves, from sources that keep the contract.
    let trusted = unsafe { TrustedImage::assume_trusted(Image::parse(bytes).unwrap()) };
    loader.load(&trusted.named(name), scope)
}

/// Loads images, given by name and bytes, together.
pub(crate) fn load_all(
    loader: &Loader,
    images: &[(&str, &[u8])],
    scope: &[&Module],
) -> Result<Vec<Module>, Error> {
    let trust = |&(name, bytes)| {
        // SAFETY: the tests link their images themselves, from sources that keep the contract.
        let trusted = unsafe { TrustedImage::assume_trusted(Image::parse(bytes).unwrap()) };
        trusted.named(name)
    };
    let images: Vec<_> = images.iter().map(trust).collect();
    loader.load_all(&images.iter().collect::<Vec<_>>(), scope)
}

/// Loads one source.
pub(crate) fn load(
    loader: &Loader,
    name: &str,
    source: &str,
    scope: &[&Module],
) -> Result<Module, Error> {
    load_bytes(loader, name, &image(name, source), scope)
}

/// Calls a function without arguments that gives an `int`.
pub(crate) fn call(module: &Module, name: &str) -> i32 {
    let function = module
        .lookup::<unsafe extern "C-unwind" fn() -> i32>(name)
        .unwrap();
    // SAFETY: the tests' functions have this type and no other contract.
    unsafe { function() }
}

/// A loader that finds what C and C++ programs use.
pub(crate) fn system_loader() -> Loader {
    let mut loader = Loader::new();
    for library in ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6"] {
        loader.library(library);
    }
    loader
}
