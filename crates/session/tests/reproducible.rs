//! The same IR and options give the same bytes: in processes with other addresses, folders and environments, on one core or more,
//! as text or as bitcode, whatever the process has compiled before.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]
#![allow(unsafe_code, reason = "running compiled code is")]

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use farcall_compiler::{Compiler, Object, OptLevel};
use farcall_image::{Digest, Image};
use farcall_linker::Linker;
use farcall_session::{Session, When};
use farcall_store::{Limits, Store};
use farcall_testkit::{Level, Program, paths, real, require_tools, sources};

const LEVELS: [OptLevel; 4] = [OptLevel::O0, OptLevel::O1, OptLevel::O2, OptLevel::O3];

const TEXT: &str = "@v = thread_local global i32 1
define i32 @f(i32 %x) { %y = load i32, ptr @v\n%z = mul i32 %x, %y\nret i32 %z }";

/// C, which is divided, and C++, which is not because it retains a variable. Their functions say that they are to be small.
///
/// Uses of a value have an order, which decides some of what LLVM does. It is in bitcode that clang writes, and in text if asked for.
fn small() -> [Program; 2] {
    let lua = sources::lua().unwrap();
    let c = Program::new("lua")
        .include(&lua)
        .source(lua.join("lstrlib.c"));
    [c, real::inventory()].map(|program| {
        let program = program.flag("-Os");
        program.flag("-Xclang").flag("-emit-llvm-uselists")
    })
}

/// Names and IR: [`small`] programs, C++ with debug information, and text.
fn modules() -> Vec<(String, Vec<u8>)> {
    let small = small().map(|program| program.bitcode(Level::O1).unwrap());
    let debug = real::inventory().flag("-g").bitcode(Level::O0).unwrap();
    let mut modules = read(&small.concat());
    modules.extend(read(&debug[..1]));
    modules.push(("text".to_owned(), TEXT.into()));
    modules
}

/// What is in the files, each under a name that does not depend on how it was made: images have it.
fn read(files: &[PathBuf]) -> Vec<(String, Vec<u8>)> {
    let files = files.iter().enumerate();
    let module = |(nth, file)| (format!("file {nth}"), fs::read(file).unwrap());
    files.map(module).collect()
}

/// Divides what is large enough for more than one core.
fn options(level: OptLevel) -> farcall_compiler::Builder {
    Compiler::builder().opt_level(level).part_size(500)
}

/// The objects of each module, which are compiled in this order.
fn objects(level: OptLevel, modules: &[(String, Vec<u8>)], order: &[usize]) -> Vec<Vec<Object>> {
    let compiler = options(level).build().unwrap();
    let mut objects = vec![Vec::new(); modules.len()];
    for &nth in order {
        let (name, ir) = &modules[nth];
        objects[nth] = compiler.compile_parts(&[(name, ir)]).remove(0).unwrap();
    }
    objects
}

fn digest(objects: &[Object]) -> Digest {
    let mut linker = Linker::new();
    for object in objects {
        linker.add(&object.name, &object.bytes);
    }
    let image = linker.link().unwrap();
    Image::parse(&image).unwrap().digest()
}

/// The digest of the image of many small modules, which are merged.
fn digest_of_unit(level: OptLevel) -> Digest {
    let text = |n| {
        let next = n + 1;
        format!(
            "define internal i32 @own(i32 %x) {{ %y = mul i32 %x, {n}\nret i32 %y }}
            declare i32 @f{next}(i32)
            define i32 @f{n}(i32 %x) {{ %y = call i32 @own(i32 %x)\n%z = call i32 @f{next}(i32 %y)\nret i32 %z }}"
        )
    };
    let texts: Vec<_> = (0..100).map(text).collect();
    let unit: Vec<_> = texts.iter().map(|text| ("text", text.as_bytes())).collect();
    let compiler = options(level).build().unwrap();
    let objects = compiler.compile_units(&[&unit]).remove(0).unwrap();
    assert!(objects.len() < 100, "some are merged");
    digest(&objects)
}

/// The digests of the modules' images.
fn digests(level: OptLevel, modules: &[(String, Vec<u8>)]) -> Vec<Digest> {
    let order: Vec<_> = (0..modules.len()).collect();
    let objects = objects(level, modules, &order);
    objects.iter().map(|objects| digest(objects)).collect()
}

/// The keys under which a session keeps images of the text, one for each level.
fn keys() -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let store = || Store::open(folder.path(), Limits::default()).unwrap();
    for level in LEVELS {
        let builder = Session::builder().compiler(options(level)).store(store());
        // SAFETY: the text is ours, and has no constructors.
        let session = unsafe { builder.build() };
        session.add("text", TEXT.as_bytes(), When::Eager).unwrap();
    }
    let entries = store().entries().unwrap();
    entries.iter().map(|entry| entry.key.to_string()).collect()
}

#[test]
#[ignore = "the other test starts it"]
fn child() {
    println!("cores {}", thread::available_parallelism().unwrap());
    let modules = modules();
    for level in LEVELS {
        for ((name, _), digest) in modules.iter().zip(digests(level, &modules)) {
            println!("made {name} {level:?} {digest}");
        }
    }
    for level in LEVELS {
        println!("made unit {level:?} {}", digest_of_unit(level));
    }
    for key in keys() {
        println!("made key {key}");
    }
}

#[test]
fn what_was_compiled_before_does_not_matter() {
    require_tools!("clang-22", "clang++-22");
    let modules = modules();
    let forward: Vec<_> = (0..modules.len()).collect();
    let back: Vec<_> = forward.iter().rev().copied().collect();
    // In turn, so that kept code generators of all levels have been used.
    let first = LEVELS.map(|level| objects(level, &modules, &forward));
    let second = LEVELS.map(|level| objects(level, &modules, &back));
    assert!(first == second);
    assert!(
        first.iter().all(|level| level[0].len() > 1),
        "it is divided"
    );
    let inputs: Vec<_> = modules.iter().map(|(name, ir)| (&**name, &**ir)).collect();
    let compiler = Compiler::builder().opt_level(OptLevel::O2).build().unwrap();
    let alone = inputs
        .iter()
        .map(|(name, ir)| compiler.compile_ir(name, ir).unwrap());
    let alone: Vec<_> = alone.collect();
    let together = compiler
        .compile_all(&inputs)
        .into_iter()
        .map(Result::unwrap);
    assert!(together.eq(alone));
}

#[test]
fn text_and_bitcode_are_the_same() {
    require_tools!("clang-22", "clang++-22");
    let bitcode = small().map(|program| program.bitcode(Level::O1).unwrap());
    let text = small().map(|program| program.assembly(Level::O1).unwrap());
    let [bitcode, text] = [bitcode, text].map(|files| read(&files.concat()));
    assert!(bitcode.iter().all(|(_, ir)| ir.starts_with(b"BC")));
    assert!(text.iter().all(|(_, ir)| ir.starts_with(b"; ModuleID")));
    let images = LEVELS.map(|level| digests(level, &bitcode));
    assert_eq!(LEVELS.map(|level| digests(level, &text)), images);
    // The level is not without effect.
    assert_ne!(images[0], images[2]);
}

#[test]
fn processes_do_not_matter() {
    require_tools!("clang-22", "clang++-22", "setarch");
    let folder = tempfile::tempdir().unwrap();
    let cores = Program::new("cores").source(paths::program_source("cores.c"));
    let preload = cores.shared_object(Level::O1).unwrap();
    let test = env::current_exe().unwrap();
    let printed = |cores: &str, program: &[&str], variables: &[(&str, &str)], folder: &Path| {
        let mut command = Command::new("env");
        command.args(program).arg(&test);
        command.args(["--exact", "child", "--ignored", "--nocapture", "--quiet"]);
        command.envs(variables.iter().copied()).current_dir(folder);
        command.env("LD_PRELOAD", &preload).env("CORES", cores);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = |word: &str| {
            let lines = text.lines().filter(|line| line.starts_with(word));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        (lines("cores"), lines("made"))
    };
    let (two, first) = printed("2", &[], &[], Path::new("."));
    // At each level there is a unit, and a key of the text's image.
    assert_eq!(first.len(), LEVELS.len() * (modules().len() + 2));
    let fixed = ["setarch", "--addr-no-randomize"];
    let (one, second) = printed("1", &fixed, &[], Path::new("/"));
    assert_eq!(first, second);
    let padding = "x".repeat(9000);
    let environment = [
        ("LANG", "de_DE.UTF-8"),
        ("TZ", "Asia/Tokyo"),
        ("HOME", "/"),
        ("PADDING", &padding),
    ];
    let (three, third) = printed("3", &[], &environment, folder.path());
    assert_eq!(first, third);
    // A container may have fewer than it is told.
    assert_ne!(one, two, "this machine gives one core to a process");
    assert!(three == two || three == ["cores 3"], "{three:?}");
}
