//! Bundles: what is written is read, the best variant is chosen, and nothing else is taken for a bundle.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

use std::fs;

use farcall_image::{
    Bundle, BundleTable, Claims, CpuFeatures, DIGEST_SIZE, Digest, Error, Image, KeyId, Machine,
    SIGNATURE_SIZE, Utc,
};
use farcall_testkit::{Linker, require_tools, tools};

const X86_64: Machine = Machine::X86_64;
const V2: &str = "crc32,cx16,popcnt,sahf,sse3,sse4.1,sse4.2,ssse3";
const V3: &str =
    "crc32,cx16,popcnt,sahf,sse3,sse4.1,sse4.2,ssse3,avx,avx2,bmi,bmi2,f16c,fma,lzcnt,movbe,xsave";

/// Where the table starts, the size of a row, and where in one its fields are.
const HEAD: usize = BundleTable::HEAD_SIZE;
const ROW: usize = 68;
const START: usize = 16;
const SIZE: usize = 24;
const DIGEST: usize = 32;
const MACHINE: usize = 64;

/// An image of a function and `size` bytes of constants, whose code uses these features.
fn image(machine: Machine, features: &str, size: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let [source, object] = ["module.s", "module.o"].map(|name| folder.path().join(name));
    let text = format!(
        ".globl f\nf: ret\n.section .rodata,\"a\"\n.globl table\ntable: .zero {size}, 7\n\
         .section .farcall.target,\"e\",@progbits\n.asciz \"a-cpu\", \"{features}\"\n"
    );
    fs::write(&source, text).unwrap();
    let target = format!("--target={}-linux-gnu", machine.name());
    let [source, object_path] = [&source, &object].map(|path| path.to_str().unwrap());
    tools::run("clang-22", &[&target, "-c", source, "-o", object_path]).unwrap();
    let object = fs::read(object).unwrap();
    Linker::new().add("module.o", &object).link().unwrap()
}

fn bundle(images: &[Vec<u8>]) -> Vec<u8> {
    Bundle::write(&parsed(images)).unwrap()
}

fn parsed(images: &[Vec<u8>]) -> Vec<Image<'_>> {
    images
        .iter()
        .map(|bytes| Image::parse(bytes).unwrap())
        .collect()
}

/// For any x86-64 processor, for two levels, and for AArch64.
fn four() -> Vec<Vec<u8>> {
    vec![
        image(Machine::Aarch64, "", 10),
        image(X86_64, V3, 10),
        image(X86_64, "", 10),
        image(X86_64, V2, 10),
    ]
}

fn features(names: &[&str]) -> CpuFeatures {
    let sets = names.iter().map(|name| X86_64.cpu_features(name).unwrap());
    sets.fold(CpuFeatures::NONE, CpuFeatures::union)
}

/// The bundle with a change of its head or table, and the digest that this has.
fn forged(bytes: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    change(&mut bytes);
    let n_variants = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    if let Some(head) = bytes.get(..HEAD + n_variants.min(1000) * ROW) {
        let digest = Digest::of_with_hole(head, 16).unwrap();
        bytes[16..HEAD].copy_from_slice(digest.as_bytes());
    }
    bytes
}

/// Changes the number in the field at `at` of row `index`.
fn add(bytes: &mut [u8], index: usize, at: usize, more: i64) {
    let at = HEAD + index * ROW + at;
    let number = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let number = number.wrapping_add_signed(more);
    bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
}

#[track_caller]
fn refused(bytes: &[u8]) -> String {
    Bundle::parse(bytes).unwrap_err().to_string()
}

#[test]
fn the_same_images_are_the_same_bundle() {
    require_tools!("clang-22");
    let mut images = four();
    images.push(image(X86_64, "avx512f", 200_000));
    let bytes = bundle(&images);
    let table = Bundle::parse(&bytes).unwrap().table().clone();
    images.rotate_left(2);
    images.swap(0, 3);
    assert!(bundle(&images) == bytes);

    let parsed = Bundle::parse(&bytes).unwrap();
    parsed.verify().unwrap();
    let requires = |index: usize| table.variants()[index].required();
    let levels = ["x86-64-v3", "x86-64-v2"].map(|level| X86_64.cpu_features(level).unwrap());
    let expected = [
        levels[0],
        levels[1],
        features(&["avx512f"]),
        CpuFeatures::NONE,
    ];
    assert_eq!([0, 1, 2, 3].map(requires), expected);
    assert_eq!(table.variants()[4].machine(), Some(Machine::Aarch64));
    for (index, variant) in table.variants().iter().enumerate() {
        let image = parsed.image(index).unwrap().unwrap();
        assert!(images.iter().any(|bytes| bytes == image.bytes()));
        assert_eq!(image.digest(), variant.digest());
        let align = if index == 2 { 1 << 16 } else { 64 };
        assert_eq!(variant.range().start % align, 0, "{index}");
    }
    assert!(parsed.image(5).is_none());

    // The start of the file is enough to know where a variant is.
    let size = BundleTable::size(&bytes[..HEAD]).unwrap().unwrap();
    assert_eq!(size, HEAD + 5 * ROW);
    let from_start = BundleTable::parse(&bytes[..size], bytes.len() as u64);
    assert_eq!(from_start.as_ref(), Ok(&table));
}

#[test]
fn the_best_that_a_cpu_can_run() {
    require_tools!("clang-22");
    let mut images = four();
    images.push(image(X86_64, "tbm", 10));
    images.push(image(X86_64, "xop", 10));
    let bytes = bundle(&images);
    let bundle = Bundle::parse(&bytes).unwrap();
    let chosen = |machine, features| {
        let image = bundle.choose(machine, features).unwrap();
        images
            .iter()
            .position(|bytes| bytes == image.bytes())
            .unwrap()
    };
    assert_eq!(chosen(X86_64, CpuFeatures::NONE), 2);
    assert_eq!(chosen(X86_64, features(&["x86-64-v2"])), 3);
    assert_eq!(chosen(X86_64, features(&["x86-64-v2", "avx", "avx2"])), 3);
    assert_eq!(chosen(X86_64, features(&["x86-64-v3"])), 1);
    assert_eq!(chosen(X86_64, features(&["x86-64-v4"])), 1);
    assert_eq!(chosen(Machine::Aarch64, CpuFeatures::NONE), 0);
    assert_eq!(
        chosen(Machine::Aarch64, CpuFeatures::from_bits(u128::MAX)),
        0
    );
    assert_eq!(chosen(X86_64, features(&["tbm"])), 4);
    // Of two that require as much always the same: that of the feature with the lower number.
    assert_eq!(chosen(X86_64, features(&["tbm", "xop"])), 4);
    assert_eq!(chosen(X86_64, features(&["tbm", "xop", "x86-64-v2"])), 3);
}

#[test]
fn a_cpu_that_runs_none_is_told_why() {
    require_tools!("clang-22");
    let images = [
        image(X86_64, &format!("{V2},avx"), 10),
        image(X86_64, "popcnt,warp", 10),
    ];
    let bytes = bundle(&images);
    let bundle = Bundle::parse(&bytes).unwrap();
    let refusal = |machine, features| bundle.choose(machine, features).unwrap_err().to_string();
    assert_eq!(
        refusal(X86_64, features(&["x86-64-v2"])),
        "no variant for the x86_64 CPU (x86-64-v2): x86_64 with x86-64-v2, avx: it lacks avx; \
         x86_64 with popcnt: it lacks a feature that has no number; build one for it too: --variant x86_64:x86-64-v2"
    );
    assert_eq!(
        refusal(Machine::Aarch64, CpuFeatures::NONE),
        "no variant for the aarch64 CPU (generic): x86_64 with x86-64-v2, avx: another machine; \
         x86_64 with popcnt: another machine; build one for it too: --variant aarch64:generic"
    );
}

#[test]
fn images_for_the_same_cpus_are_refused() {
    require_tools!("clang-22");
    let images = [
        image(X86_64, V2, 10),
        image(X86_64, "", 10),
        image(X86_64, V2, 20),
    ];
    let error = Bundle::write(&parsed(&images)).unwrap_err();
    let text = "images 0 and 2 are both for x86_64 with x86-64-v2: a bundle has one variant for each kind of CPU";
    assert_eq!(error.to_string(), text);
    assert!(Bundle::write(&[]).is_err());
}

#[test]
fn what_is_no_bundle() {
    require_tools!("clang-22");
    let images = four();
    let bytes = bundle(&images);
    assert!(!Bundle::is_bundle(&images[0]));
    assert_eq!(Bundle::parse(&images[0]).unwrap_err(), Error::NotBundle);
    assert_eq!(Bundle::parse(b"").unwrap_err(), Error::NotBundle);
    assert_eq!(Image::parse(&bytes).unwrap_err(), Error::IsBundle);
    for n_bytes in 0..bytes.len() {
        assert!(Bundle::parse(&bytes[..n_bytes]).is_err(), "{n_bytes}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(
        refused(&longer),
        "corrupt bundle: something follows the last variant"
    );
    for version in [0_u32, 2, u32::MAX] {
        let other = forged(&bytes, |bytes| {
            bytes[8..12].copy_from_slice(&version.to_le_bytes());
        });
        assert!(refused(&other).contains(&format!("bundle version {version}, but")));
    }
}

#[test]
fn each_byte_of_the_table_counts() {
    require_tools!("clang-22");
    let bytes = bundle(&four());
    for index in 0..HEAD + 4 * ROW {
        for change in [1, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[index] ^= change;
            assert!(Bundle::parse(&changed).is_err(), "byte {index}");
        }
    }
}

/// A table that is not what its digest says is one thing; one that someone made to be wrong another.
#[test]
fn tables_that_were_made_to_be_wrong() {
    require_tools!("clang-22");
    let bytes = bundle(&four());
    let row = |index: usize| HEAD + index * ROW..HEAD + (index + 1) * ROW;
    let number = |at: usize, number: u32| {
        forged(&bytes, |bytes| {
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        })
    };
    let moved = |index, at, more| forged(&bytes, |bytes| add(bytes, index, at, more));
    let exchanged = forged(&bytes, |bytes| {
        let (one, other) = (bytes[row(0)].to_vec(), bytes[row(1)].to_vec());
        bytes[row(0)].copy_from_slice(&other);
        bytes[row(1)].copy_from_slice(&one);
    });
    let doubled = forged(&bytes, |bytes| {
        let one = bytes[row(0)].to_vec();
        bytes[row(1)].copy_from_slice(&one);
    });
    for (forged, expected) in [
        (number(12, 0), "it has no variant"),
        (number(12, 1025), "it has more than 1024 variants"),
        (number(12, u32::MAX), "it has more than 1024 variants"),
        (number(12, 1000), "truncated: table of the bundle ends"),
        (
            number(HEAD + MACHINE, 1 << 16),
            "variant 0: its machine or its size",
        ),
        (
            moved(1, START, -64),
            "variant 1: its image overlaps what is before it",
        ),
        (
            moved(0, START, -64),
            "variant 0: its image overlaps what is before it",
        ),
        (
            moved(1, START, 64),
            "variant 1: its image is not where it has to be",
        ),
        (
            moved(1, START, 1),
            "variant 1: its image is not where it has to be",
        ),
        (moved(3, START, i64::MAX), "variant 3: its image"),
        (moved(0, SIZE, 64), "variant 1: its image overlaps"),
        (moved(3, SIZE, 1), "truncated: the last variant ends"),
        (moved(3, SIZE, -1), "something follows the last variant"),
        (
            forged(&bytes, |bytes| {
                let at = HEAD + 3 * ROW + SIZE;
                bytes[at..at + 8].fill(0xff);
            }),
            "variant 3: its machine or its size is impossible",
        ),
        (exchanged, "variant 1: it is out of order"),
        (
            doubled,
            "variant 1: it is for the same CPUs as the one before it",
        ),
        (
            forged(&bytes, |bytes| {
                let at = HEAD + SIZE;
                bytes[at..at + 8].fill(0);
            }),
            "variant 0: its image is empty",
        ),
    ] {
        let message = refused(&forged);
        assert!(message.contains(expected), "{message}: not {expected}");
    }
}

#[test]
fn images_that_the_table_does_not_mean() {
    require_tools!("clang-22");
    let bytes = bundle(&four());
    let wrong = |forged: &[u8], index: usize, expected: &str| {
        let bundle = Bundle::parse(forged).unwrap();
        let error = bundle.image(index).unwrap().unwrap_err().to_string();
        assert_eq!(error, format!("variant {index}: corrupt image: {expected}"));
        assert_eq!(bundle.verify().unwrap_err().to_string(), error);
    };
    let last = HEAD + 3 * ROW;
    // AArch64's becomes one of a machine between the two.
    let other = forged(&bytes, |bytes| bytes[last + MACHINE] = 100);
    wrong(&other, 3, "it is for another machine than the table says");
    // What a newer farcall knows does not keep this one from the rest.
    let bundle = Bundle::parse(&other).unwrap();
    assert_eq!(bundle.table().variants()[3].machine(), None);
    assert!(bundle.choose(X86_64, CpuFeatures::NONE).is_ok());
    let error = bundle
        .choose(Machine::Aarch64, CpuFeatures::NONE)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("; machine 100: another machine;"),
        "{error}"
    );

    let other = forged(&bytes, |bytes| bytes[last] = 1);
    wrong(
        &other,
        3,
        "it requires something else of a CPU than the table says",
    );
    let other = forged(&bytes, |bytes| bytes[HEAD + DIGEST + DIGEST_SIZE - 1] ^= 1);
    wrong(&other, 0, "it has another digest than the table says");

    let code = usize::try_from(
        Bundle::parse(&bytes).unwrap().table().variants()[2]
            .range()
            .end,
    );
    let mut changed = bytes.clone();
    changed[code.unwrap() - 1] ^= 1;
    let error = Bundle::parse(&changed).unwrap().verify().unwrap_err();
    assert!(error.to_string().starts_with("variant 2: "), "{error}");

    let bytes = self::bundle(&[image(X86_64, V3, 10), image(X86_64, V2, 200_000)]);
    let mut changed = bytes.clone();
    changed[(1 << 16) - 1] = 1;
    let error = Bundle::parse(&changed).unwrap().verify().unwrap_err();
    assert_eq!(
        error.to_string(),
        "corrupt variant 1: the bytes before its image are not zero"
    );
}

/// The document says what the code does.
#[test]
fn the_document_has_the_numbers() {
    const DOCUMENT: &str = include_str!("../../../docs/bundle.md");
    let blocks = DOCUMENT.split("```text\n").skip(1);
    let lists = blocks.map(|block| block.split("```").next().unwrap());
    let machines = [X86_64, Machine::Aarch64];
    assert_eq!(lists.clone().count(), machines.len());
    for (machine, list) in machines.into_iter().zip(lists) {
        let all = machine.cpu_feature_names(CpuFeatures::from_bits(u128::MAX));
        let all = all
            .enumerate()
            .map(|(number, name)| format!("{number} {name}"));
        let listed = list.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(listed, all.collect::<Vec<_>>().join(", "), "{machine}");
        assert!(DOCUMENT.contains(&format!("{} for ", machine.e_machine())));
    }
    assert!(DOCUMENT.contains(&format!("a row of {ROW} bytes")));
}

/// The image with a code signature that says it is of this key, and is not.
fn signed(bytes: &[u8], key: u8) -> Vec<u8> {
    let image = Image::parse(bytes).unwrap();
    let claims = Claims {
        digest: image.digest(),
        e_machine: image.machine().e_machine(),
        host_imports: Vec::new(),
        not_before: Utc::START,
        expires: Utc::NEVER,
        key: KeyId::from_bytes([key; 8]),
    };
    let trailer = claims.signed(|_| [key; SIGNATURE_SIZE]).unwrap();
    [image.content(), &trailer].concat()
}

#[test]
fn signed_images_are_the_same_images() {
    require_tools!("clang-22");
    let plain = image(X86_64, "", 10);
    let with_signature = signed(&plain, 1);
    let image = Image::parse(&with_signature).unwrap();
    image.verify_digest().unwrap();
    assert_eq!(image.digest(), Image::parse(&plain).unwrap().digest());
    assert_eq!(image.bytes(), with_signature);
    assert_eq!(image.content(), plain);
    assert_eq!(image.code_signature(), Some(&with_signature[plain.len()..]));
    assert_eq!(Image::parse(&plain).unwrap().code_signature(), None);
    // A second one hides nothing: what is before it is not what the digest is of.
    let twice = [&with_signature[..], &with_signature[plain.len()..]].concat();
    let twice = Image::parse(&twice).unwrap();
    assert!(matches!(
        twice.verify_digest(),
        Err(Error::DigestMismatch { .. })
    ));
    let mut too_long = with_signature.clone();
    let size_at = too_long.len() - 16;
    too_long[size_at + 3] = 0x7f;
    assert!(matches!(
        Image::parse(&too_long),
        Err(Error::Corrupt { .. })
    ));
}

#[test]
fn variants_that_different_keys_signed_are_no_bundle() {
    require_tools!("clang-22");
    let all: Vec<_> = four().iter().map(|bytes| signed(bytes, 1)).collect();
    let bytes = bundle(&all);
    let whole = Bundle::parse(&bytes).unwrap();
    whole.verify().unwrap();
    let taken = whole.choose(X86_64, CpuFeatures::NONE).unwrap();
    assert!(all.iter().any(|one| one == taken.bytes()));

    let others = [
        signed(&all[1], 2),
        Image::parse(&all[1]).unwrap().content().to_vec(),
    ];
    for other in others {
        let mut mixed = all.clone();
        mixed[1] = other;
        let error = Bundle::write(&parsed(&mixed)).unwrap_err();
        assert!(matches!(error, Error::DifferentSigners { .. }), "{error}");
    }
    // One that was changed afterwards: the key's id is 88 bytes before the end of each image.
    let last = whole.table().variants().last().unwrap().range().end;
    let mut changed = bytes.clone();
    changed[usize::try_from(last).unwrap() - 88] ^= 1;
    let changed = Bundle::parse(&changed).unwrap();
    let error = changed.choose(X86_64, CpuFeatures::NONE).unwrap_err();
    let keys = "0101010101010101 and 0001010101010101";
    assert!(error.to_string().contains(keys), "{error}");
    assert!(changed.verify().is_err());
    assert!(changed.image(0).unwrap().is_err());
}
