//! Bundles: of several variants that for this CPU is loaded, and nothing of the others is read.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "a test that cannot go on is to panic; loading runs code"
)]

mod common;

use std::fs;

use common::{call, image};
use farcall_image::{Bundle, CpuFeatures, Image, Machine};
use farcall_loader::{Error, Loader, Module, TrustedImage, cpu};
use farcall_testkit::{Linker, require_tools, tools};

fn source(answer: i32, features: &str, n_constants: usize) -> String {
    format!(
        "__asm__(\".pushsection .farcall.target,\\\"e\\\",@progbits\\n\"
            \".asciz \\\"a-cpu\\\"\\n.asciz \\\"{features}\\\"\\n.popsection\");
         const volatile int constants[{n_constants}] = {{ [{n_constants} - 1] = {answer} }};
         int answer(void) {{ return constants[{n_constants} - 1]; }}"
    )
}

fn machine() -> Machine {
    Machine::host().unwrap()
}

fn names(features: CpuFeatures) -> Vec<&'static str> {
    machine().cpu_feature_names(features).collect()
}

/// An image for a machine that is not this one.
fn for_another_machine(n_constants: usize) -> Vec<u8> {
    let other = match machine() {
        Machine::Aarch64 => Machine::X86_64,
        _ => Machine::Aarch64,
    };
    let folder = tempfile::tempdir().unwrap();
    let [c, o] = ["answer.c", "answer.o"].map(|name| folder.path().join(name));
    fs::write(&c, source(3, "", n_constants)).unwrap();
    let [c, object] = [&c, &o].map(|path| path.to_str().unwrap());
    let target = format!("--target={}-linux-gnu", other.name());
    tools::run(
        "clang-22",
        &[&target, "-fPIC", "-O1", "-c", c, "-o", object],
    )
    .unwrap();
    let object = fs::read(o).unwrap();
    Linker::new().add("answer.o", &object).link().unwrap()
}

/// Variants that answer 0 on any CPU, 1 on one that has a feature of this one, 2 on this one, and 3 elsewhere.
fn variants(n_constants: usize) -> Vec<Vec<u8>> {
    let all = names(CpuFeatures::from_bits(u128::MAX));
    let here = names(cpu::features());
    assert!(here.len() > 1 && here.len() < all.len(), "{here:?}");
    let variant = |answer, features: &[&str]| {
        image(
            "answer.c",
            &source(answer, &features.join(","), n_constants),
        )
    };
    vec![
        variant(2, &here),
        variant(3, &all),
        variant(0, &[]),
        for_another_machine(n_constants),
        variant(1, &here[..1]),
    ]
}

fn bundle(variants: &[Vec<u8>]) -> Vec<u8> {
    let images = variants.iter().map(|bytes| Image::parse(bytes).unwrap());
    Bundle::write(&images.collect::<Vec<_>>()).unwrap()
}

fn answer(module: &Module) -> i32 {
    call(module, "answer")
}

#[test]
fn this_cpu_gets_the_best_that_it_can_run() {
    require_tools!("clang-22");
    let mut variants = variants(10);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle");
    let loader = Loader::new();
    let come = |variants: &[Vec<u8>]| {
        let bytes = bundle(variants);
        let image = cpu::choose(&Bundle::parse(&bytes).unwrap()).unwrap();
        // SAFETY: the tests link their images themselves, from sources that keep the contract.
        let image = unsafe { TrustedImage::assume_trusted(image) };
        let from_bytes = loader.load(&image, &[]).unwrap();
        fs::write(&path, bytes).unwrap();
        // SAFETY: as above.
        let read = unsafe { loader.load_file(&path, &[]) }.unwrap();
        // SAFETY: as above; nobody writes to the file while it is mapped.
        let mapped = unsafe { loader.map_file(&path, &[]) }.unwrap();
        [from_bytes, read, mapped].map(|module| answer(&module))
    };
    assert_eq!(come(&variants), [2; 3]);
    variants.remove(0);
    assert_eq!(come(&variants), [1; 3]);
    variants.pop();
    assert_eq!(come(&variants), [0; 3]);

    variants.remove(1);
    let bytes = bundle(&variants);
    fs::write(&path, &bytes).unwrap();
    let error = cpu::choose(&Bundle::parse(&bytes).unwrap()).unwrap_err();
    let expected = format!("{}: {error}", path.display());
    // SAFETY: as above.
    let read = unsafe { loader.load_file(&path, &[]) }.unwrap_err();
    // SAFETY: as above.
    let mapped = unsafe { loader.map_file(&path, &[]) }.unwrap_err();
    for error in [read, mapped] {
        assert!(matches!(error, Error::Image { .. }), "{error:?}");
        assert_eq!(error.to_string(), expected);
    }
    let missing = CpuFeatures::from_bits(u128::MAX).without(cpu::features());
    let lacks = format!("it lacks {}", names(missing).join(", "));
    assert!(expected.contains(&lacks), "{expected}");
    assert!(expected.contains(": another machine"), "{expected}");
    let hint = format!("--variant {}:{}", machine().name(), cpu::level());
    assert!(expected.ends_with(&hint), "{expected}");
}

#[test]
fn a_large_variant_is_mapped_from_where_it_is() {
    require_tools!("clang-22");
    let variants = variants(50_000);
    let bytes = bundle(&variants);
    let table = Bundle::parse(&bytes).unwrap().table().clone();
    let chosen = table.choose(machine(), cpu::features()).unwrap();
    let range = table.variants()[chosen].range();
    assert!(range.start > 0 && range.start.is_multiple_of(1 << 16));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle");
    fs::write(&path, &bytes).unwrap();
    let loader = Loader::new();
    // The third time it is where it was before.
    for _ in 0..4 {
        // SAFETY: the test wrote the file, and leaves it as it is.
        let module = unsafe { loader.map_file(&path, &[]) }.unwrap();
        assert_eq!(answer(&module), 2);
        // Of what is mapped of the file, all is the variant's.
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let lines = maps
            .lines()
            .filter(|line| line.ends_with(path.to_str().unwrap()));
        let mut n_mapped = 0;
        for line in lines {
            let mut fields = line.split_whitespace();
            let (start, end) = fields.next().unwrap().split_once('-').unwrap();
            let [start, end, offset] = [start, end, fields.nth(1).unwrap()]
                .map(|number| u64::from_str_radix(number, 16).unwrap());
            let last = (offset + end - start).min(bytes.len() as u64);
            assert!(range.start <= offset, "{line}");
            assert!(last < range.end.next_multiple_of(1 << 16), "{line}");
            n_mapped += 1;
        }
        assert!(n_mapped > 0, "{maps}");
        // SAFETY: as above.
        let read = unsafe { loader.load_file(&path, &[]) }.unwrap();
        assert_eq!(answer(&read), 2);
    }
    // A variant of the same form in another place of the same file is another one.
    let mut others = variants.clone();
    others.remove(0);
    fs::write(&path, bundle(&others)).unwrap();
    // SAFETY: the mapped modules are gone.
    let module = unsafe { loader.map_file(&path, &[]) }.unwrap();
    assert_eq!(answer(&module), 1);
}

#[test]
fn a_bundle_that_was_changed() {
    require_tools!("clang-22");
    let bytes = bundle(&variants(50_000));
    let table = Bundle::parse(&bytes).unwrap().table().clone();
    let chosen = table.choose(machine(), cpu::features()).unwrap();
    let start = usize::try_from(table.variants()[chosen].range().start).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle");
    let loader = Loader::new();
    let refused = |bytes: &[u8], expected: &str| {
        fs::write(&path, bytes).unwrap();
        // SAFETY: nothing of it runs.
        let read = unsafe { loader.load_file(&path, &[]) }.unwrap_err();
        // SAFETY: as above.
        let mapped = unsafe { loader.map_file(&path, &[]) }.unwrap_err();
        for error in [read.to_string(), mapped.to_string()] {
            assert!(error.starts_with(path.to_str().unwrap()), "{error}");
            assert!(error.contains(expected), "{error}: not {expected}");
        }
    };
    for n_bytes in [12, 60, 100, 300] {
        refused(&bytes[..n_bytes], "truncated");
    }
    refused(
        &bytes[..bytes.len() - 1],
        "truncated: the last variant ends",
    );
    let changed = |at: usize| {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        changed
    };
    refused(&changed(60), "the table of the bundle was changed");
    refused(&changed(8), "bundle version 0");
    refused(&changed(start), "not an ELF file");
    // Another variant where this one was.
    let other = table.variants()[(chosen + 1) % 5].range();
    let other = usize::try_from(other.start).unwrap()..usize::try_from(other.end).unwrap();
    let mut exchanged = bytes.clone();
    exchanged.copy_within(other, start);
    refused(
        &exchanged,
        "it requires something else of a CPU than the table says",
    );
}
