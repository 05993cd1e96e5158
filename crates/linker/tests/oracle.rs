//! The same objects linked by us and by `ld.lld`, loaded by the C library, must behave alike.
//!
//! A small C host loads the image whose path it is given with `dlopen`, calls its `test` and prints the result. It does not
//! unload it: an image has no start files, so the C library alone would not run its exit handlers before.
//!
//! To add a program: put a `.c` or `.cpp` file with an `int test(void)` into `oracle/`. Each is compiled at every level and
//! with the other options below; what it prints and returns must not depend on them.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use farcall_linker::Linker;
use farcall_testkit::{require_tools, tools};

/// Compilers and options, each with those of C++.
const COMPILERS: &[(&str, &str)] = &[("clang-22", "clang++-22"), ("gcc", "g++")];
const OPTIONS: &[&[&str]] = &[
    &["-O0"],
    &["-O2", "-g"],
    &["-O3", "-ffunction-sections", "-fdata-sections"],
    &["-O1", "-mcmodel=large"],
    &["-O2", "-fno-plt"],
];

const HOST: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv) {
    void *image = dlopen(argv[1], RTLD_NOW);
    if (!image) { printf("dlopen: %s\n", dlerror()); return 1; }
    int (*test)(void) = (int (*)(void))dlsym(image, "test");
    if (!test) { printf("dlsym: %s\n", dlerror()); return 1; }
    printf("test: %d\n", test());
    printf("again: %d\n", test());
    return argc != 2;
}
"#;

#[test]
fn images_behave_as_those_of_another_linker() {
    require_tools!("clang-22", "clang++-22", "gcc", "g++", "ld.lld-22");
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let mut wrong = Vec::new();
    for source in sources() {
        let mut said = Vec::new();
        for (compilers, options) in COMPILERS
            .iter()
            .flat_map(|each| OPTIONS.iter().map(move |options| (each, options)))
        {
            let object = compile(folder.path(), compilers, options, &source);
            let what = format!("{} {} {}", source.display(), compilers.0, options.join(" "));
            let ours = folder.path().join("ours.so");
            match Linker::new()
                .add("object.o", &fs::read(&object).unwrap())
                .link()
            {
                Ok(image) => fs::write(&ours, image).unwrap(),
                Err(errors) => {
                    wrong.push(format!("{what}:\n{errors}"));
                    continue;
                }
            }
            let theirs = folder.path().join("theirs.so");
            let [object, output] = [&object, &theirs].map(|path| path.as_os_str());
            let args = ["-shared", "-Bsymbolic", "--eh-frame-hdr"].map(str::as_ref);
            tools::run(
                "ld.lld-22",
                &[&args[..], &["-o".as_ref(), output, object]].concat(),
            )
            .unwrap();
            let (ours, theirs) = (run(&host, &ours), run(&host, &theirs));
            // The unwind table that ld.lld makes of 64-bit records finds none of them.
            let is_comparable =
                !(theirs.contains("SIGABRT") && options.contains(&"-mcmodel=large"));
            if ours != theirs && is_comparable {
                wrong.push(format!("{what}:\nours:\n{ours}\ntheirs:\n{theirs}"));
            }
            said.push(ours);
        }
        said.dedup();
        if said.len() != 1 || said.iter().any(|text| !text.contains("test: 0\n")) {
            wrong.push(format!("{} says: {said:?}", source.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}

fn sources() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle");
    let mut sources: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(!sources.is_empty());
    sources.sort();
    sources
}

/// The host has the C++ library in it, so that images need not say where it is.
fn host(folder: &Path) -> PathBuf {
    let (source, host) = (folder.join("host.c"), folder.join("host"));
    fs::write(&source, HOST).unwrap();
    let [source, output] = [&source, &host].map(|path| path.as_os_str());
    let libraries = ["-Wl,--no-as-needed", "-lstdc++", "-lm", "-lgcc_s", "-ldl"].map(str::as_ref);
    tools::run(
        "gcc",
        &[&["-o".as_ref(), output, source], &libraries[..]].concat(),
    )
    .unwrap();
    host
}

fn compile(folder: &Path, compilers: &(&str, &str), options: &[&str], source: &Path) -> PathBuf {
    let is_cpp = source
        .extension()
        .is_some_and(|extension| extension == "cpp");
    let compiler = if is_cpp { compilers.1 } else { compilers.0 };
    let object = folder.join("object.o");
    let mut args: Vec<_> = options.iter().map(AsRef::as_ref).collect();
    args.extend(["-c", "-fPIC", "-o"].map(AsRef::<std::ffi::OsStr>::as_ref));
    args.extend([object.as_os_str(), source.as_os_str()]);
    tools::run(compiler, &args).unwrap();
    object
}

/// What the host says and how it ends.
fn run(host: &Path, image: &Path) -> String {
    let output = Command::new(host).arg(image).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{}{}{}",
        text(&output.stdout),
        text(&output.stderr),
        output.status
    )
}
