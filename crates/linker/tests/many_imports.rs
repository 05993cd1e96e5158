//! Time that grows with the square of the input shows here as a test that does not end.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

use std::fmt::Write as _;
use std::fs;

use farcall_image::Image;
use farcall_linker::Linker;
use farcall_testkit::{require_tools, tools};

const N: usize = 20_000;

#[test]
fn every_import_of_many_has_its_referrer() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    let mut source = String::new();
    for index in 0..N {
        write!(
            source,
            ".globl f{index}\n.type f{index}, @function\nf{index}: call g{index}@PLT\n"
        )
        .unwrap();
        writeln!(source, ".size f{index}, . - f{index}").unwrap();
    }
    let (path, object) = (folder.path().join("many.s"), folder.path().join("many.o"));
    fs::write(&path, source).unwrap();
    let [path, output] = [&path, &object].map(|path| path.as_os_str());
    tools::run("clang-22", &["-c".as_ref(), path, "-o".as_ref(), output]).unwrap();
    let object = fs::read(&object).unwrap();
    let image = Linker::new().add("many.o", &object).link().unwrap();
    let image = Image::parse(&image).unwrap();
    let manifest = image.manifest();
    for (index, symbol) in image.imports() {
        let referrer = manifest.referrer(index).unwrap();
        let number = std::str::from_utf8(symbol.name).unwrap().strip_prefix('g');
        assert_eq!(referrer.place.strip_prefix('f'), number);
    }
    assert_eq!(image.imports().count(), N);
}
