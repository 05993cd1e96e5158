//! `farcall inspect`, for people and for programs.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

mod common;

use std::fs;
use std::io::Read as _;
use std::process::Stdio;

use common::{Folder, ended, farcall, farcall_in};
use farcall_testkit::require_tools;
use serde_json::Value;

const SOURCE: &str = "#include <stdio.h>
    int numbers[4] = {1, 2, 3, 4};
    __thread int mine = 5;
    int *where = &numbers[2];
    static unsigned char nothing[100000];
    char text[] = \"text\";
    extern int lent;
    extern int maybe(void) __attribute__((weak));
    __attribute__((constructor)) static void begin(void) { puts(text); }
    __attribute__((destructor)) static void end(void) { puts(text); }
    unsigned char first(const char *name, double weight) {
        nothing[1]++;
        printf(\"%s %d %d\", name, lent + *where, maybe ? maybe() : 0);
        return nothing[(int)weight];
    }";

fn images() -> Folder {
    let folder = Folder::new();
    folder.compile("typed.bc", SOURCE, &["-O0"]);
    folder.build("typed", &["typed.bc"]);
    folder.compile("untyped.o", SOURCE, &["-O0"]);
    folder.build("untyped", &["untyped.o"]);
    folder
}

fn json(folder: &Folder, image: &str) -> Value {
    let text = farcall_in(folder, &["inspect", "--json", image]).printed();
    serde_json::from_str(&text).unwrap()
}

#[track_caller]
fn named<'a>(symbols: &'a Value, name: &str) -> &'a Value {
    let symbols = symbols.as_array().unwrap().iter();
    let mut found = symbols.filter(|symbol| symbol["name"] == name);
    let symbol = found.next().unwrap_or_else(|| panic!("no {name}"));
    assert!(found.next().is_none(), "{name} is listed twice");
    symbol
}

#[test]
fn programs_read_everything_from_json() {
    require_tools!("clang-22");
    let folder = images();
    let image = json(&folder, "typed");
    assert_eq!(image["machine"], "x86_64");
    assert_eq!(
        image["file_size"],
        fs::metadata(folder.file("typed")).unwrap().len()
    );
    assert!(image["memory_size"].as_u64().unwrap() > 100_000);
    assert!(image["producer"].as_str().unwrap().contains("farcall"));
    let digest = image["digest"].as_str().unwrap();
    assert_eq!(digest.len(), 64, "{digest}");
    assert!(digest.bytes().all(|digit| digit.is_ascii_hexdigit()));
    assert_eq!(image["cpus"], serde_json::json!(["x86-64"]));
    assert_eq!(image["requires"], serde_json::json!([]));
    assert_eq!(image["lacks"], serde_json::json!([]));

    let segments = image["segments"].as_array().unwrap();
    let permissions = |wanted| {
        let has = |segment: &&Value| segment["permissions"] == wanted;
        segments.iter().filter(has).count()
    };
    assert_eq!(
        permissions("r--") + permissions("r-x") + permissions("rw-"),
        segments.len()
    );
    assert!(
        permissions("r-x") > 0 && permissions("rw-") > 0,
        "{segments:?}"
    );
    assert!(segments.iter().any(|segment| segment["relro"] == true));

    assert_eq!(
        (&image["constructors"], &image["destructors"]),
        (&1.into(), &1.into())
    );
    assert!(
        image["relative_relocations"].as_u64().unwrap() >= 1,
        "where"
    );
    assert!(image["symbolic_relocations"].as_u64().unwrap() >= 3);
    assert_eq!(image["tls_size"], 4);

    let exports = &image["exports"];
    let first = named(exports, "first");
    assert_eq!(first["type"], "zeroext i8 (ptr, double)");
    assert_eq!(first["kind"], "function");
    assert!(first["size"].as_u64().unwrap() > 0 && first["address"].as_u64().unwrap() > 0);
    let numbers = named(exports, "numbers");
    assert_eq!(
        (&numbers["type"], &numbers["kind"]),
        (&"[4 x i32]".into(), &"variable".into())
    );
    assert_eq!(numbers["size"], 16);
    assert_eq!(named(exports, "mine")["kind"], "thread-local variable");

    let imports = &image["imports"];
    let printf = named(imports, "printf");
    assert_eq!(
        (&printf["type"], &printf["weak"]),
        (&"i32 (ptr, ...)".into(), &false.into())
    );
    assert_eq!(printf["referrer"], "typed.bc: first");
    assert_eq!(named(imports, "maybe")["weak"], true);
    let lent = named(imports, "lent");
    assert_eq!(
        (&lent["type"], &lent["kind"]),
        (&"i32".into(), &"variable".into())
    );
}

#[test]
fn people_read_the_same() {
    require_tools!("clang-22");
    let folder = images();
    let image = json(&folder, "typed");
    let text = farcall_in(&folder, &["inspect", "typed"]).printed();
    let sizes = [&image["file_size"], &image["memory_size"]];
    let size = format!("{} bytes in the file, {} of addresses", sizes[0], sizes[1]);
    for part in [
        "x86_64",
        image["digest"].as_str().unwrap(),
        image["producer"].as_str().unwrap(),
        &size,
        "1 constructor, 1 destructor",
        "thread-local 4 bytes",
        "r-x",
        "read-only after relocation",
        "first zeroext i8 (ptr, double)",
        "numbers variable [4 x i32]",
        "printf i32 (ptr, ...), used by typed.bc: first",
        "maybe i32 (), weak",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn an_image_of_objects_has_no_types() {
    require_tools!("clang-22");
    let folder = images();
    let image = json(&folder, "untyped");
    let first = named(&image["exports"], "first");
    assert_eq!(
        (&first["type"], &first["kind"]),
        (&Value::Null, &"function".into())
    );
    assert_eq!(named(&image["imports"], "printf")["type"], Value::Null);
    farcall_in(&folder, &["inspect", "untyped"]).printed();
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    require_tools!("clang-22");
    let folder = images();
    let again = folder.build("again", &["typed.bc"]);
    assert_eq!(
        fs::read(again).unwrap(),
        fs::read(folder.file("typed")).unwrap()
    );
}

#[test]
fn a_changed_image_says_so() {
    require_tools!("clang-22");
    let folder = images();
    let mut bytes = fs::read(folder.file("typed")).unwrap();
    // The last byte of `numbers` as the file has it.
    let numbers: Vec<u8> = (1..=4_i32).flat_map(i32::to_le_bytes).collect();
    let at = bytes
        .windows(16)
        .position(|window| window == numbers)
        .unwrap();
    bytes[at + 15] ^= 1;
    folder.write("changed", &bytes);
    for format in [&[][..], &["--json"]] {
        let outcome = farcall_in(&folder, &[&["inspect", "changed"], format].concat());
        assert_eq!(outcome.end, 1);
        assert!(
            outcome
                .stderr
                .starts_with("farcall: changed: the bytes were changed: ")
        );
        assert!(
            outcome.stdout.contains("numbers"),
            "what it holds is shown all the same"
        );
    }
    let call = farcall_in(&folder, &["call", "changed", "first", "x", "1"]);
    assert!(
        call.refused()
            .starts_with("changed: the bytes were changed")
    );
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    require_tools!("clang-22");
    let folder = images();
    let mut many = String::new();
    for number in 0..3000 {
        many += &format!("int a_function_with_a_long_name_{number}(void) {{ return {number}; }}\n");
    }
    folder.compile("many.o", &many, &["-O0"]);
    folder.build("many", &["many.o"]);
    for args in [
        &["inspect", "many"][..],
        &["inspect", "--json", "many"],
        &["help"],
    ] {
        let mut command = farcall(args);
        command.current_dir(folder.path());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 8];
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut first).unwrap();
        drop(stdout);
        ended(&mut child);
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert_eq!(stderr, "", "{args:?}");
    }
}

#[test]
fn a_terminal_obeys_no_name_of_an_image() {
    let folder = Folder::new();
    folder.write(
        "names.ll",
        "target triple = \"x86_64-pc-linux-gnu\"
         declare i32 @\"\\1B]0;import\\07\"()
         define i32 @\"\\1B[2J\"() {
           %x = call i32 @\"\\1B]0;import\\07\"()
           ret i32 %x
         }",
    );
    folder.build("names", &["names.ll"]);
    let text = farcall_in(&folder, &["inspect", "names"]).printed();
    assert!(text.contains(r"\u{1b}[2J i32 ()"), "{text}");
    assert!(text.contains(r"\u{1b}]0;import\u{7} i32 ()"), "{text}");
    let refused = farcall_in(&folder, &["call", "names", "\u{1b}[2J"]).refused();
    assert!(
        refused.contains(r"missing symbol: \u{1b}]0;import"),
        "{refused}"
    );
    for text in [text, refused] {
        assert!(!text.contains(['\u{1b}', '\u{7}']), "{text}");
    }
    // Programs get the names as they are.
    let json = farcall_in(&folder, &["inspect", "--json", "names"]).printed();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["exports"][0]["name"], "\u{1b}[2J");
}
