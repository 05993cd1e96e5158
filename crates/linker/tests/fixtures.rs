//! Fixtures: a file of source, what linking it must give, in comments of the same file.
//!
//! Every file of `x86_64/` and `aarch64/` is one fixture: it is assembled (`.s`) or compiled (`.c`, `.cpp`) for the folder's machine,
//! linked, and checked by [`check`]. `FARCALL_FIXTURE=text` picks the fixtures whose path has the text.
//!
//! # To add a fixture
//!
//! Put one file into the machine's folder, named after the relocation or the property that it shows. Directives are
//! comments that start with `//#`. Inputs are linked in the order in which they are declared.
//!
//! | directive | meaning |
//! |---|---|
//! | `Object: b.o` | the lines up to the next `Object` are the source of this object; lines before the first are `a.o` |
//! | `Args: -O2` | arguments of the compiler for the object that the line is in |
//! | `Variants: -O0 \| -O2 -g` | arguments of the compiler for all objects: the fixture is checked with each of these by itself |
//! | `Archive: lib.a = x.o y.o` | these objects are not linked themselves but members of an archive |
//! | `ArchiveWithoutIndex: …`, `ThinArchive: …` | the same in another form |
//! | `Raw: c.o = de ad` | an input of these bytes |
//! | `Poke: a.o+0x12 = 28 00` | after assembling, these bytes of the object are replaced |
//! | `Truncate: a.o = 100` | after assembling, the object is cut to so many bytes |
//! | `VersionScript: { global: f; local: *; };` | what is exported, as [`ExportList`] reads it |
//! | `Export: f` | exported however it was declared |
//! | `GcSections: yes` | sections that nothing needs are left out |
//! | `Whole: lib.a` | all members of this archive are linked |
//! | `DebugInfo: keep` | debug information is linked too |
//! | `CpuDispatch: yes` | the code asks the CPU before it calls inputs that need more than others |
//! | `ShareScope: yes` | the image shares weak definitions and hidden names with others |
//! | `ExpectError: text` | the link fails, and its next error has this text; there are no other errors |
//! | `ExpectSymbol: f section=.text type=FUNC binding=WEAK visibility=PROTECTED other=0x3 size=8` | an export; what is not said is not checked |
//! | `ExpectNoSymbol: f` | neither an export nor an import |
//! | `ExpectImport: f [weak] [tls]` | an import; strong and ordinary unless said |
//! | `ExpectBytes: place = de ad` | the bytes of the image at an address |
//! | `ExpectWord32: place = value` | a little-endian word of the image; also 8, 16 and 64 |
//! | `ExpectValue: value = value` | two expressions agree |
//! | `ExpectDynamic: RELATIVE at place = value` | the word at the place, with the load bias added at load |
//! | `ExpectDynamic: GLOB_DAT f at place` | a relocation of the image; also `ABSOLUTE f+8`, `TLS_MODULE f`, `TLS_OFFSET f`, `TLS_POINTER_OFFSET f`, `TLS_DESCRIPTOR f` and `INDIRECT .`, where `.` is the image itself |
//! | `ExpectDynamicCount: 3` | the number of all relocations of the image |
//! | `ExpectInit: f g`, `ExpectFini: f` | the constructor or destructor table |
//! | `ExpectUnwind: f g` | the functions that have unwind records, by address |
//! | `ExpectCpus: x86-64-v3,haswell` | the CPUs that the manifest names; none is possible |
//! | `ExpectRequires: x86-64-v3,aes` | what the image requires of a CPU; none is possible |
//! | `ExpectSection: .got`, `ExpectNoSection: .plt` | a section of the image |
//!
//! Places and values are expressions of numbers, `+`, `-`, `*`, parentheses and
//!
//! | term | value |
//! |---|---|
//! | `f` | the value of the exported symbol: its address, or its offset in the TLS block |
//! | `size(f)` | its size |
//! | `got(f)` | the address of the GOT word that holds its address |
//! | `plt(f)` | the address of the PLT entry that jumps through `got(f)` |
//! | `tls_pair(f)` | the address of the GOT pair for `__tls_get_addr` |
//! | `tls_module()` | the address of the GOT pair of this image's TLS block |
//! | `start(.data)`, `end(.data)`, `align(.data)` | of a section of the image |
//! | `tls_offset(f)` | the address of the GOT word for its offset from the thread pointer |
//! | `tls_descriptor(f)` | the address of the GOT pair of its TLS descriptor; `tls_descriptor()` that of the start of the TLS block |
//! | `tls_align()`, `tls_size()`, `tls_start()` | of the TLS template |
//! | `word32(place)`, `word64(place)` | what is there in the image |
//! | `operand(place)` | what the immediate of the AArch64 instruction there stands for: the address that it names, or the number that it adds |
//! | `page(address)` | the start of the 4 KiB page |
//!
//! all 64-bit and wrapping. The image is seen at load bias 0. Whatever links is also linked again from other folders
//! and compared, parsed by [`Image::parse`](farcall_image::Image::parse), checked against its digest and read by
//! `readelf` and `eu-elflint`.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

mod fixture;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use farcall_linker::{DebugInfo, ExportList, Linker};
use farcall_testkit::require_tools;
use fixture::{Fixture, Image, Inputs, outside_opinions};

const WORKERS: usize = 2;

#[test]
fn x86_64() {
    require_tools!("clang-22", "clang++-22", "ar", "readelf", "eu-elflint");
    check_all("x86_64");
}

#[test]
fn aarch64() {
    require_tools!("clang-22", "clang++-22", "ar", "readelf", "eu-elflint");
    check_all("aarch64");
}

/// Checks one fixture; `Err` says everything that is wrong with it.
fn check(path: &Path) -> Result<(), String> {
    let fixture = Fixture::parse(path)?;
    for args in &fixture.variants {
        check_variant(&fixture, args).map_err(|wrong| {
            if args.is_empty() {
                wrong
            } else {
                format!("{}:\n{wrong}", args.join(" "))
            }
        })?;
    }
    Ok(())
}

/// Checks a fixture whose objects are made with these arguments.
fn check_variant(fixture: &Fixture, args: &[String]) -> Result<(), String> {
    let inputs = Inputs::build(fixture, args)?;
    let link = |folder: &str| {
        let mut linker = Linker::new();
        let is_whole = |name: &str| {
            let mut options = fixture.link_options.iter();
            options.any(|(option, value)| option == "Whole" && value == name)
        };
        for (name, bytes) in inputs.iter() {
            let path = format!("{folder}{name}");
            match is_whole(name) {
                true => linker.add_whole_archive(path, bytes),
                false => linker.add(path, bytes),
            };
        }
        for (option, value) in &fixture.link_options {
            match option.as_str() {
                "Export" => linker.export(value.as_str()),
                "Whole" => &mut linker,
                "GcSections" => linker.gc_sections(true),
                "CpuDispatch" => linker.cpu_dispatch(true),
                "ShareScope" => linker.share_scope(true),
                "DebugInfo" => linker.debug_info(DebugInfo::Keep),
                _ => linker.export_list(ExportList::parse_version_script(value).unwrap()),
            };
        }
        linker.link()
    };
    let bytes = match link("") {
        Ok(bytes) => bytes,
        Err(errors) => {
            let errors = errors.iter().map(ToString::to_string).collect();
            return fixture.check_errors(errors);
        }
    };
    fixture.check_errors(Vec::new())?;
    if link("/else/where/").as_ref() != Ok(&bytes) {
        return Err("linked again, from another folder, it is another image".to_owned());
    }
    let image = Image::read(&bytes)?;
    let mut wrong = outside_opinions(&bytes, inputs.folder())?;
    wrong.extend(image.inconsistencies());
    wrong.extend(fixture.unmet(&image));
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n"))
    }
}

/// Checks every fixture of a folder and reports all that fail.
fn check_all(folder: &str) {
    let paths = fixtures(folder);
    assert!(!paths.is_empty(), "no fixture has been picked");
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = std::panic::catch_unwind(|| check(path));
                    let failure = match outcome {
                        Ok(Ok(())) => continue,
                        Ok(Err(failure)) => failure,
                        Err(_) => "it panics: see above".to_owned(),
                    };
                    failures.lock().unwrap().push((path, failure));
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    for (path, failure) in &failures {
        eprintln!("{}:\n{failure}\n", path.display());
    }
    let n_failures = failures.len();
    assert_eq!(n_failures, 0, "of {} fixtures", paths.len());
}

fn fixtures(folder: &str) -> Vec<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let picked = env::var("FARCALL_FIXTURE").unwrap_or_default();
    let entries = fs::read_dir(tests.join(folder)).unwrap();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains(&picked))
        .collect();
    paths.sort();
    paths
}
