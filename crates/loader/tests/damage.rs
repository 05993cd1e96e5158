//! Damaged images: whatever bytes of the tables are, loading ends in an error or in a module that works.
//!
//! Each damage follows from its number, so that a failure can be looked at again. `FARCALL_ALL_DAMAGE=1` tries
//! 100,000 of them and every truncation, which takes some minutes.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "a test that cannot go on is to panic; loading runs code"
)]

mod common;

use std::ops::Range;
use std::sync::atomic::Ordering;

use common::child::{End, Numbers, SharedWord, in_child, time_limit};
use common::harmless::harmless;
use common::{call, image, image_with, load_bytes, system_loader};
use farcall_arch::Expression;
use farcall_image::{Image, Symbol, SymbolKind};
use farcall_loader::{Loader, Module, TrustedImage};
use farcall_testkit::{Level, Linker, real, require_tools, tools};

/// An image, and what of it can be said when it is damaged.
struct Subject {
    bytes: Vec<u8>,
    /// The parts to damage: all but code and data.
    tables: Vec<Range<usize>>,
    /// A function that uses nothing but its own code, and what it gives.
    function: &'static str,
    works: fn(&Module),
    /// A function that uses constants too, and works where the segments are as they were.
    constants: fn(&Module),
    /// An image that throws, to be loaded beside it.
    thrower: Vec<u8>,
}

/// What the damaged images of one process share.
struct Machinery {
    with_host: Loader,
    without_host: Loader,
    thrower: Module,
    n_tried: usize,
}

/// Parts of an image that are no table of a loader's.
const CONTENTS: [&str; 8] = [
    ".text",
    ".rodata",
    ".data",
    ".bss",
    ".tdata",
    ".tbss",
    ".data.rel.ro",
    ".gcc_except_table",
];

impl Subject {
    fn new(
        bytes: Vec<u8>,
        function: &'static str,
        works: fn(&Module),
        constants: fn(&Module),
    ) -> Self {
        let header = usize::try_from(word(&bytes, 32)).unwrap();
        let n_headers = half(&bytes, 56);
        let mut tables = vec![0..64, header..header + 56 * n_headers];
        for (name, range) in sections(&bytes) {
            let is_table = !CONTENTS.iter().any(|it| name.starts_with(it));
            if is_table && !range.is_empty() && !name.starts_with(".debug") {
                tables.push(range);
            }
        }
        let thrower =
            r#"extern "C" int caught() { try { throw 5; } catch (int it) { return it; } }"#;
        Self {
            bytes,
            tables,
            function,
            works,
            constants,
            thrower: image("thrower.cpp", thrower),
        }
    }

    /// The damage of this number: a few bytes in one table, or a word of it.
    fn damaged(&self, number: u64) -> (Vec<u8>, String) {
        let mut numbers = Numbers::new(number + 1);
        let mut bytes = self.bytes.clone();
        let mut what = String::new();
        let table = self.tables[numbers.below(self.tables.len())].clone();
        for _ in 0..[1, 1, 1, 2, 3][numbers.below(5)] {
            let at = table.start + numbers.below(table.len());
            // Lengths and counts are small, so that low bits and high ones are as interesting as any.
            let change = match numbers.below(4) {
                0 => 1 << numbers.below(8),
                1 => bytes[at].max(1),
                2 => (!bytes[at]).max(1),
                _ => u8::try_from(1 + numbers.below(255)).unwrap(),
            };
            bytes[at] ^= change;
            what += &format!(" {at:#x}:^{change:#04x}");
        }
        (bytes, what)
    }

    /// Whether a damaged image has its code, as far as it says itself, and says nothing new of what runs at load.
    fn intact<'data>(&self, damaged: &Image<'data>) -> Option<Symbol<'data>> {
        let good = Image::parse(&self.bytes).unwrap();
        let symbol = |image: &Image<'data>| {
            let index = image.exports().lookup(self.function.as_bytes())?;
            image.symbol(index)
        };
        let found = symbol(damaged)?;
        let expected = good.exports().lookup(self.function.as_bytes());
        let expected = good.symbol(expected.unwrap()).unwrap();
        let code = |image: &Image<'_>, at: u64| {
            let mut segments = image.segments().iter();
            let segment = segments.find(|it| it.executable && it.memory.contains(&at))?;
            let skip = usize::try_from(at - segment.memory.start).unwrap();
            let bytes = &image.bytes()[segment.file.clone()];
            let end = skip.checked_add(usize::try_from(expected.size).unwrap())?;
            Some(bytes.get(skip..end)?.to_vec())
        };
        let is_same = !found.is_absolute
            && found.kind == SymbolKind::Function
            && code(damaged, found.value) == code(&good, expected.value);
        is_same.then_some(found)
    }
}

impl Subject {
    /// Whether a damaged image has its segments and its symbols where they were.
    fn has_segments(&self, damaged: &Image<'_>) -> bool {
        let good = Image::parse(&self.bytes).unwrap();
        let parts = |image: &Image<'_>| -> Vec<_> {
            let segments = image.segments().iter();
            segments
                .map(|it| (it.memory.clone(), it.file.clone(), it.executable))
                .collect()
        };
        let symbols = |image: &Image<'_>| -> Vec<_> {
            let exports = image.all_exports();
            exports
                .map(|(_, it)| (it.name.to_vec(), it.value, it.is_absolute))
                .collect()
        };
        parts(&good) == parts(damaged) && symbols(&good) == symbols(damaged)
    }
}

/// Whether an image has code that runs while it is loaded, which damage may send anywhere.
fn runs_at_load(image: &Image<'_>) -> bool {
    let mut exports = image.all_exports();
    exports.any(|(_, symbol)| symbol.kind == SymbolKind::IndirectFunction)
        || !image.init_array().is_empty()
        || !image.fini_array().is_empty()
        || image.relocations().any(|it| {
            it.expression == Expression::IndirectRelative
                || (image.symbol(it.symbol))
                    .is_some_and(|symbol| symbol.kind == SymbolKind::IndirectFunction)
        })
}

impl Machinery {
    fn new(subject: &Subject) -> Self {
        let with_host = system_loader();
        let mut without_host = Loader::new();
        without_host.host_exports(false);
        let thrower = load_bytes(&with_host, "thrower", &subject.thrower, &[]).unwrap();
        Self {
            with_host,
            without_host,
            thrower,
            n_tried: 0,
        }
    }
}

/// Loads what parses, asks for everything, calls, and unloads.
fn load_damaged(subject: &Subject, bytes: &[u8], machinery: &mut Machinery) {
    machinery.n_tried += 1;
    let Ok(image) = Image::parse(bytes) else {
        return;
    };
    if bytes != subject.bytes && bytes.len() == subject.bytes.len() {
        image.verify_digest().unwrap_err();
    }
    if runs_at_load(&image) {
        if let Some(harmless) = harmless(bytes) {
            // A module, or an error.
            let _ = load_bytes(&machinery.with_host, "harmless", &harmless, &[]);
        }
        return;
    }
    let intact = subject.intact(&image).is_some();
    let is_whole = intact && subject.has_segments(&image);
    // SAFETY: no code of the image runs but what is as it was.
    let trusted = unsafe { TrustedImage::assume_trusted(image.clone()) };
    let loader = match machinery.n_tried % 8 {
        0 => &machinery.without_host,
        _ => &machinery.with_host,
    };
    let Ok(module) = loader.load(&trusted, &[]) else {
        return;
    };
    for export in module.exports() {
        let Ok(name) = std::str::from_utf8(export.name) else {
            continue;
        };
        let _ = module.address(name);
        let _ = module.signature(name);
        let _ = module.lookup::<unsafe extern "C" fn() -> i32>(name);
    }
    if intact {
        (subject.works)(&module);
    }
    if is_whole {
        (subject.constants)(&module);
    }
    // Who else throws while the image is there meets none of its damage.
    if machinery.n_tried.is_multiple_of(4) {
        assert_eq!(call(&machinery.thrower, "caught"), 5);
    }
    module.unload().unwrap();
}

/// Tries each number in a child, in a new one after one that failed.
fn try_all(subject: &Subject, numbers: Range<u64>, make: fn(&Subject, u64) -> (Vec<u8>, String)) {
    let at = SharedWord::new();
    let mut failures = Vec::new();
    let mut next = numbers.start;
    while next < numbers.end {
        let end = in_child(60, || {
            let mut machinery = Machinery::new(subject);
            for number in next..numbers.end {
                at.store(number, Ordering::Relaxed);
                time_limit(20);
                load_damaged(subject, &make(subject, number).0, &mut machinery);
            }
        });
        if end == End::Well {
            break;
        }
        let number = at.load(Ordering::Relaxed);
        failures.push(format!("{end:?} at {number}:{}", make(subject, number).1));
        next = number + 1;
        if failures.len() == 20 {
            break;
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// How many of 100,000 are tried.
fn part(count: u64) -> u64 {
    match std::env::var_os("FARCALL_ALL_DAMAGE") {
        Some(_) => 50_000,
        None if tools::is_emulated() => count / 20,
        None => count,
    }
}

fn tiny() -> Subject {
    let source = r#"
        #include <string>
        extern "C" int abs(int);
        extern "C" char **environ;
        TYPE(leaf, "i32 (i32)")
        extern "C" int leaf(int value) { return 3 * value + 4; }
        extern "C" int chosen(int value) {
            switch (value) {
                case 0: return 5; case 1: return 50; case 2: return 7; case 3: return 70;
                case 4: return 11; case 5: return 6; default: return abs(value);
            }
        }
        thread_local int counter = 40;
        extern "C" int next() { return ++counter; }
        const char *names[] = { "one", "two", "three" };
        extern "C" int (*functions[])(int) = { leaf, chosen, abs };
        extern "C" int caught(int value) {
            try { if (environ) throw std::string("text"); } catch (const std::string &it) { return it[0]; }
            return functions[value](value);
        }"#;
    Subject::new(
        image("tiny.cpp", source),
        "leaf",
        |module| {
            let leaf = module.lookup::<unsafe extern "C" fn(i32) -> i32>("leaf");
            // Its type may be damaged.
            if let Ok(leaf) = leaf {
                // SAFETY: its code is as it was, and uses nothing else.
                assert_eq!(unsafe { leaf(5) }, 19);
            }
        },
        |module| {
            if let Ok(chosen) = module.lookup::<unsafe extern "C" fn(i32) -> i32>("chosen") {
                // SAFETY: its code is as it was, and so are the constants beside it.
                let values = [0, 1, 2, 3].map(|it| unsafe { chosen(it) });
                assert_eq!(values, [5, 50, 7, 70]);
            }
        },
    )
}

fn large() -> Subject {
    let objects = real::sqlite().unwrap().objects(Level::O2).unwrap();
    let bytes = std::fs::read(&objects[0]).unwrap();
    let image = Linker::new().add("sqlite3.o", &bytes).link().unwrap();
    Subject::new(
        image,
        "sqlite3_libversion_number",
        |module| {
            assert!(call(module, "sqlite3_libversion_number") > 3_000_000);
        },
        |module| {
            // The hash table may be damaged there.
            let Ok(text) = module.address("sqlite3_version") else {
                return;
            };
            // SAFETY: the variable is a C string.
            let text = unsafe { std::ffi::CStr::from_ptr(text.cast()) };
            assert!(text.to_bytes().starts_with(b"3."));
        },
    )
}

#[test]
fn a_damaged_small_image_is_refused_or_works() {
    require_tools!("clang-22");
    try_all(&tiny(), 0..part(10_000), Subject::damaged);
}

#[test]
fn a_damaged_large_image_is_refused_or_works() {
    require_tools!("clang-22");
    try_all(&large(), 0..part(1500), Subject::damaged);
}

#[test]
fn a_part_of_an_image_is_refused_or_works() {
    require_tools!("clang-22");
    let truncated = |subject: &Subject, number: u64| {
        let length = usize::try_from(number).unwrap();
        (subject.bytes[..length].to_vec(), format!(" {length} bytes"))
    };
    let tiny = tiny();
    // The end has the data, and before it is much that is alike.
    let some = match tools::is_emulated() {
        true => tiny.bytes.len() as u64 - 200..tiny.bytes.len() as u64,
        false => 0..tiny.bytes.len() as u64,
    };
    try_all(&tiny, some, truncated);
    let large = large();
    if std::env::var_os("FARCALL_ALL_DAMAGE").is_some() {
        try_all(&large, 0..large.bytes.len() as u64, truncated);
    }
    let sampled = |subject: &Subject, number: u64| {
        let length = subject.bytes.len() - usize::try_from(number * number * 13).unwrap();
        (subject.bytes[..length].to_vec(), format!(" {length} bytes"))
    };
    let count = (large.bytes.len() / 13).isqrt() as u64;
    try_all(&large, 0..count, sampled);
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn half(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

/// The sections that are loaded, by name: where they are in the file.
fn sections(bytes: &[u8]) -> Vec<(String, Range<usize>)> {
    let to_usize = |value: u64| usize::try_from(value).unwrap();
    let table = to_usize(word(bytes, 40));
    let header = |index: usize| table + 64 * index;
    let range = |index: usize| {
        let start = to_usize(word(bytes, header(index) + 24));
        start..start + to_usize(word(bytes, header(index) + 32))
    };
    let names = range(half(bytes, 62)).start;
    let mut found = Vec::new();
    for index in 1..half(bytes, 60) {
        let at = header(index);
        let name = names + to_usize(word(bytes, at) & 0xffff_ffff);
        let length = bytes[name..].iter().position(|byte| *byte == 0).unwrap();
        let name = String::from_utf8_lossy(&bytes[name..name + length]).into_owned();
        let kind = word(bytes, at) >> 32;
        let is_loaded = word(bytes, at + 8) & 2 != 0;
        // Zeroes have no bytes.
        if is_loaded && kind != 8 {
            found.push((name, range(index)));
        }
    }
    found
}

#[test]
fn a_string_table_that_is_too_large_takes_nothing_away() {
    require_tools!("clang-22");
    let source = "int leaf(int value) { return 3 * value + 4; }
        int chosen(int value) {
            static const int values[] = { 5, 50, 7, 70 };
            return value < 4 ? values[value] : 0;
        }";
    // Without unwind records, which would show that they are missing.
    let options = ["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"];
    let bytes = image_with("tiny.c", source, &options);
    let tiny = Subject::new(bytes, "leaf", |_| (), tiny().constants);
    let (_, dynamic) = (sections(&tiny.bytes).into_iter())
        .find(|(name, _)| name == ".dynamic")
        .unwrap();
    // DT_STRSZ.
    let mut entries = dynamic.step_by(16);
    let size = entries.find(|&at| word(&tiny.bytes, at) == 10).unwrap() + 8;
    let enlarged = |by: u64| {
        let mut bytes = tiny.bytes.clone();
        let larger = word(&bytes, size) + by;
        bytes[size..size + 8].copy_from_slice(&larger.to_le_bytes());
        bytes
    };
    let mut machinery = Machinery::new(&tiny);
    for by in (1..8192).step_by(8192 / tools::rounds(8192)) {
        load_damaged(&tiny, &enlarged(by), &mut machinery);
    }
}
