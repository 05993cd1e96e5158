//! Images that say of thread-local variables and indirect functions what cannot be.

use farcall_image::Image;
use farcall_testkit::require_tools;

use crate::common::{DESCRIPTORS, image, image_with};

const IS_AARCH64: bool = cfg!(target_arch = "aarch64");
const IRELATIVE: u32 = if IS_AARCH64 { 1032 } else { 37 };
const TLSDESC: u32 = if IS_AARCH64 { 1031 } else { 36 };

/// The offset of the first relocation of this type: of 24 bytes whose second word says it.
fn relocation(bytes: &[u8], r_type: u32) -> usize {
    let image = Image::parse(bytes).unwrap();
    let end = image.segments()[0].file.end;
    let places: Vec<u64> = image.relocations().map(|it| it.place).collect();
    (0..end - 24)
        .step_by(8)
        .find(|&at| {
            word(bytes, at + 8) & 0xffff_ffff == u64::from(r_type)
                && places.contains(&word(bytes, at))
        })
        .unwrap()
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn set_word(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// Why the bytes are not an image, without the number of the entry.
fn refused(bytes: &[u8]) -> String {
    let error = Image::parse(bytes).unwrap_err().to_string();
    error.replace(|it: char| it.is_ascii_digit(), "")
}

#[test]
fn what_chooses_a_function_is_code() {
    require_tools!("clang-22");
    let source = r#"
        static int f(void) { return 1; }
        static int (*volatile function)(void) = f;
        static int (*resolve(void))(void) { return function; }
        int chosen(void) __attribute__((ifunc("resolve")));
        int (*variable)(void) = chosen;"#;
    let good = image("f.c", source);
    let at = relocation(&good, IRELATIVE);
    for resolver in [0, 1 << 32, u64::MAX] {
        let mut bad = good.clone();
        set_word(&mut bad, at + 16, resolver);
        let reason = "what finds its indirect function is in no executable segment";
        assert_eq!(refused(&bad), format!("corrupt relocation : {reason}"));
    }
    let mut bad = good.clone();
    let info = word(&good, at + 8);
    set_word(&mut bad, at + 8, 1 << 32 | info);
    assert_eq!(
        refused(&bad),
        "corrupt relocation : it is indirect and has a symbol"
    );
}

#[test]
fn a_descriptor_is_whole() {
    require_tools!("clang-22");
    let source = "__thread int v; int f(void) { return v; }";
    let good = image_with("f.c", source, DESCRIPTORS);
    let at = relocation(&good, TLSDESC);
    let end = {
        let image = Image::parse(&good).unwrap();
        let place = word(&good, at);
        let mut segments = image.segments().iter();
        let segment = segments.find(|it| it.memory.contains(&place)).unwrap();
        segment.resident.end
    };
    let mut edge = good.clone();
    set_word(&mut edge, at, end - 16);
    Image::parse(&edge).unwrap();
    set_word(&mut edge, at, end - 8);
    assert_eq!(
        refused(&edge),
        "corrupt relocation : its place is in no writable segment"
    );
}

#[test]
fn there_is_an_end_to_thread_local_variables() {
    require_tools!("clang-22");
    let mut bytes = image("f.c", "__thread int v; int f(void) { return v; }");
    let table = usize::try_from(word(&bytes, 32)).unwrap();
    let headers = (table..).step_by(56);
    let tls = headers
        .take(16)
        .find(|&at| bytes[at..at + 4] == [7, 0, 0, 0]);
    let size = tls.unwrap() + 40;
    set_word(&mut bytes, size, 1 << 30);
    Image::parse(&bytes).unwrap();
    set_word(&mut bytes, size, (1 << 30) + 1);
    assert_eq!(
        refused(&bytes),
        "corrupt TLS segment: it is larger than  GiB"
    );
}
