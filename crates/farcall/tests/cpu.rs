//! What is compiled for a CPU, and whether it loads on this one.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "all of this is test code, and it runs what it has just compiled"
)]

use std::process::Command;

use farcall::compiler::Builder;
use farcall::loader::{Error, cpu};
use farcall::{Compiler, Image, Linker, Loader, TrustedImage};

const IR: &str = "define i64 @f(i64 %x) { %y = mul i64 %x, %x ret i64 %y }";

fn image(options: Builder) -> Vec<u8> {
    let object = options.build().unwrap().compile_ir("f.ll", IR.as_bytes());
    let object = object.unwrap();
    Linker::new()
        .add(object.name, &object.bytes)
        .link()
        .unwrap()
}

fn load(bytes: &[u8]) -> Result<i64, Error> {
    // SAFETY: this test has made it, of the IR above.
    let trusted = unsafe { TrustedImage::assume_trusted(Image::parse(bytes).unwrap()) };
    let module = Loader::new().load(&trusted.named("f.img"), &[])?;
    let f = module.lookup::<unsafe extern "C" fn(i64) -> i64>("f")?;
    // SAFETY: its type is that of the IR.
    Ok(unsafe { f(6) })
}

/// What is made for this machine loads on it: LLVM finds no feature in its processor that the loader misses.
#[test]
fn native_code_loads() {
    let bytes = image(Compiler::builder().cpu("native"));
    let parsed = Image::parse(&bytes).unwrap();
    assert_eq!(cpu::missing(&parsed), cpu::Missing::default());
    assert!(cpu::rank(&parsed).is_some());
    assert_eq!(load(&bytes).unwrap(), 36);
    assert_eq!(
        load(&image(Compiler::builder().cpu(cpu::level()))).unwrap(),
        36
    );
}

/// What the compiler records the loader knows, and it records all that the loader can tell.
#[test]
fn every_feature_of_llvm() {
    let Ok(output) = Command::new("llc-22")
        .args(["-mtriple=x86_64", "-mcpu=help", "/dev/null"])
        .output()
    else {
        assert!(
            std::env::var_os("FARCALL_REQUIRE_ALL").is_none(),
            "llc-22 is not installed"
        );
        eprintln!("skipped: llc-22 is not installed");
        return;
    };
    let help = String::from_utf8_lossy(&output.stderr).into_owned();
    let (_, features) = help.split_once("Available features").unwrap();
    let (features, _) = features.split_once("\nUse +feature").unwrap();
    let names = features.lines().filter_map(|line| line.split_once(" - "));
    let mut recorded = 0;
    for (name, _) in names {
        let name = name.trim();
        // Modes of the machine are refused, and what switches to another ABI changes more than the CPU.
        let Ok(compiler) = Compiler::builder().features(format!("+{name}")).build() else {
            continue;
        };
        if name == "x32" {
            continue;
        }
        let object = compiler.compile_ir("f.ll", IR.as_bytes()).unwrap();
        let bytes = Linker::new().add("f.o", &object.bytes).link().unwrap();
        let parsed = Image::parse(&bytes).unwrap();
        let missing = cpu::missing(&parsed);
        assert_eq!(missing.unknown, [""; 0], "{name}");
        let feature = parsed.machine().cpu_features(name);
        let is_required = feature.is_some_and(|it| parsed.manifest().required().contains(it));
        assert_eq!(is_required, feature.is_some(), "{name}");
        recorded += usize::from(is_required);
    }
    assert!(recorded > 80, "{recorded}");
}

/// What LLVM knows of a processor becomes the level that people know, and what it has beyond that.
#[test]
fn processors_by_name() {
    let requires = |cpu: &str| {
        let bytes = image(Compiler::builder().cpu(cpu));
        Image::parse(&bytes).unwrap().describe().requires.join(",")
    };
    assert_eq!(requires("x86-64"), "");
    assert_eq!(requires("x86-64-v2"), "x86-64-v2");
    assert_eq!(requires("x86-64-v3"), "x86-64-v3");
    assert_eq!(requires("x86-64-v4"), "x86-64-v4");
    assert_eq!(
        requires("haswell"),
        "x86-64-v3,fsgsbase,pclmul,rdrnd,xsaveopt"
    );
    assert!(requires("znver4").starts_with("x86-64-v4,adx,aes,avx512bf16,"));
}
