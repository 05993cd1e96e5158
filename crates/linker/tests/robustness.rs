//! Damaged inputs: linking and reading them gives an answer, never a panic, and takes bounded memory.
//!
//! The damage is random but the same in every run. A failure names the round; `FARCALL_ROUND=n` runs that one alone.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

use std::env;
use std::fs;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use farcall_image::Image;
use farcall_linker::Linker;
use farcall_testkit::{require_tools, tools};

/// Rounds for each input.
const ROUNDS: u64 = if cfg!(debug_assertions) { 700 } else { 7_000 };
/// More than any damaged input of a few kilobytes may take, in KiB.
const MAX_PEAK: u64 = 1 << 20;

const CPP: &str = r#"
struct Error { int code; };
struct Base { virtual ~Base() {} virtual int f(int) = 0; };
struct Derived : Base { int f(int x) override { if (x > 3) throw Error{x}; return x; } };
inline int shared() { static int counter; return ++counter; }
static Derived derived;
Base *volatile base = &derived;
extern "C" int test(int x) {
    try { return base->f(x) + shared(); } catch (const Error &error) { return error.code; }
}
"#;

const TLS: &str = r#"
static _Thread_local int own = 7;
_Thread_local long exported;
extern _Thread_local int imported;
extern int variable, weak __attribute__((weak));
int common __attribute__((common));
const char *const names[] = {"one", "two", "three"};
extern int __start_table, __stop_table;
static int entry __attribute__((section("table"), used)) = 3;
__attribute__((constructor)) static void start(void) { own = variable; }
__attribute__((destructor(200))) static void stop(void) { exported = 0; }
int test(int i) { return own + (int)exported + imported + common + (&__stop_table - &__start_table) + names[i][0] + (&weak != 0); }
"#;

#[test]
fn damaged_objects_and_archives_are_refused_or_linked() {
    require_tools!("clang-22", "clang++-22", "ar");
    let folder = tempfile::tempdir().unwrap();
    let cpp = compile(folder.path(), "clang++-22", "exceptions.cpp", CPP);
    let tls = compile(folder.path(), "clang-22", "tls.c", TLS);
    let archive = folder.path().join("lib.a");
    let members = [
        folder.path().join("exceptions.cpp.o"),
        folder.path().join("tls.c.o"),
    ];
    let [archive_arg, first, second] =
        [&archive, &members[0], &members[1]].map(|path| path.as_os_str());
    tools::run("ar", &["qcDs".as_ref(), archive_arg, first, second]).unwrap();
    let archive = fs::read(archive).unwrap();
    let caller = compile(
        folder.path(),
        "clang-22",
        "caller.c",
        "int test(int); int f(void) { return test(1); }",
    );
    // As clang makes them unless told otherwise.
    let model = "__attribute__((tls_model(\"local-exec\"))) _Thread_local";
    let local_exec = TLS.replace("_Thread_local", model);
    let local_exec = compile(folder.path(), "clang-22", "local-exec.c", &local_exec);
    for input in [&cpp, &tls, &archive, &local_exec] {
        rounds(input, |damaged| {
            let mut linker = Linker::new();
            linker.add("caller.o", &caller).add("damaged", damaged);
            if let Ok(image) = linker.link() {
                let image = Image::parse(&image).unwrap();
                image.verify_digest().unwrap();
            }
        });
    }
    assert_peak();
}

#[test]
fn damaged_images_are_refused_or_read() {
    require_tools!("clang-22", "clang++-22");
    let folder = tempfile::tempdir().unwrap();
    let cpp = compile(folder.path(), "clang++-22", "exceptions.cpp", CPP);
    let tls = compile(folder.path(), "clang-22", "tls.c", TLS);
    for object in [&cpp, &tls] {
        let image = Linker::new().add("a.o", object).link().unwrap();
        rounds(&image, |damaged| {
            if let Ok(image) = Image::parse(damaged) {
                read_all(&image);
            }
        });
    }
    assert_peak();
}

/// Asks an image everything.
fn read_all(image: &Image<'_>) {
    let text = image.describe().to_string();
    assert!(!text.is_empty());
    let bytes = image.bytes();
    let exports = image.exports_in(&bytes[image.lookup_tables()]).unwrap();
    for (index, symbol) in image.all_exports() {
        assert_eq!(image.symbol(index), Some(symbol));
        // Damage may make two names equal, or the table miss one: no more than that.
        let _ = exports.lookup(symbol.name);
    }
    let _ = exports.lookup(b"no such name");
    for (index, symbol) in image.imports() {
        assert!(symbol.is_import);
        let _ = image.manifest().referrer(index);
    }
    let span = 0..image.span();
    let inside = |range: Range<u64>| span.start <= range.start && range.end <= span.end;
    assert!(image.relative_words().all(|word| inside(word..word + 8)));
    assert!(
        image
            .relocations()
            .all(|each| inside(each.place..each.place + 8))
    );
    for range in [image.init_array(), image.fini_array(), image.relro()] {
        assert!(range.is_empty() || inside(range.start..range.end.min(span.end)));
    }
    if let Some(range) = image.eh_frame() {
        assert!(inside(range));
    }
    if let Some(tls) = image.tls() {
        assert!(bytes.get(tls.file.clone()).is_some() && tls.align.is_power_of_two());
    }
    let _ = image.verify_digest();
}

/// Calls `check` with one damaged copy of the input after the other.
fn rounds(input: &[u8], check: impl Fn(&[u8])) {
    let only: Option<u64> = env::var("FARCALL_ROUND")
        .ok()
        .map(|round| round.parse().unwrap());
    let rounds = only.map_or(0..ROUNDS, |round| round..round + 1);
    for round in rounds {
        let damaged = damage(input, &mut Random(round));
        let outcome = catch_unwind(AssertUnwindSafe(|| check(&damaged)));
        assert!(outcome.is_ok(), "round {round} of {ROUNDS}");
    }
}

/// A copy with a few bytes or words replaced, and sometimes cut or with a part moved.
fn damage(input: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0 | 1 => bytes[at] = random.next().to_le_bytes()[0],
            2 => bytes[at] ^= 1 << random.below(8),
            // Sizes, offsets and indices stand at multiples of four and eight.
            3 | 4 => {
                let interesting = [
                    0,
                    1,
                    2,
                    0xff,
                    0xffff,
                    0x7fff_ffff,
                    1 << 31,
                    1 << 40,
                    u64::MAX,
                    u64::MAX - 7,
                ];
                let word = interesting[random.below(interesting.len())];
                let (at, size) = if random.below(2) == 0 {
                    (at / 4 * 4, 4)
                } else {
                    (at / 8 * 8, 8)
                };
                let size = size.min(bytes.len() - at);
                bytes[at..at + size].copy_from_slice(&word.to_le_bytes()[..size]);
            }
            5 | 6 => {
                let from = random.below(bytes.len()) / 8 * 8;
                let size = 8.min(bytes.len() - from).min(bytes.len() - at / 8 * 8);
                bytes.copy_within(from..from + size, at / 8 * 8);
            }
            _ if random.below(4) == 0 => bytes.truncate(at.max(1)),
            _ => {}
        }
    }
    bytes
}

/// xorshift64*, seeded with a small number.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        let mut state = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.0 = state;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 32).unwrap() % limit
    }
}

/// This process never held more memory than it should.
fn assert_peak() {
    let Ok(status) = fs::read_to_string("/proc/self/status") else {
        return;
    };
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak
        .and_then(|peak| peak.split_whitespace().next())
        .unwrap();
    assert!(peak.parse::<u64>().unwrap() < MAX_PEAK, "{peak} KiB");
}

fn compile(folder: &Path, compiler: &str, name: &str, source: &str) -> Vec<u8> {
    let (source_path, object) = (folder.join(name), folder.join(format!("{name}.o")));
    fs::write(&source_path, source).unwrap();
    let target = "--target=x86_64-unknown-linux-gnu";
    let [source_arg, object_arg] = [&source_path, &object].map(|path| path.as_os_str());
    let args = [target, "-c", "-O1", "-fPIC"].map(str::as_ref);
    let args = [&args[..], &[source_arg, "-o".as_ref(), object_arg]].concat();
    tools::run(compiler, &args).unwrap();
    fs::read(object).unwrap()
}
