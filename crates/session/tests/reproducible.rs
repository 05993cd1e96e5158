//! The same IR and options give the same bytes: in processes with other addresses and environments, on one core or more, whatever
//! the process has compiled before.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

use std::process::Command;

use farcall_compiler::{Compiler, OptLevel};
use farcall_testkit::{Level, real, require_tools};

/// Names and bitcode: C and C++ with and without debug information, and text.
fn modules() -> Vec<(String, Vec<u8>)> {
    let inventory = real::inventory();
    let debug = real::inventory().flag("-g");
    let programs = [
        inventory.bitcode(Level::O1).unwrap(),
        debug.bitcode(Level::O0).unwrap(),
    ];
    let mut modules: Vec<_> = programs
        .concat()
        .iter()
        .map(|file| (file.display().to_string(), std::fs::read(file).unwrap()))
        .collect();
    let text = "@v = thread_local global i32 1\ndefine i32 @f(i32 %x) { %y = load i32, ptr @v\n%z = mul i32 %x, %y\nret i32 %z }";
    modules.push(("text.ll".to_owned(), text.into()));
    modules
}

/// All objects of all modules, in the modules' order.
fn objects(level: OptLevel, modules: &[(String, Vec<u8>)], order: &[usize]) -> Vec<Vec<u8>> {
    let compiler = Compiler::builder()
        .opt_level(level)
        .part_size(500)
        .build()
        .unwrap();
    let mut objects = vec![Vec::new(); modules.len()];
    for &nth in order {
        let (name, ir) = &modules[nth];
        let parts = compiler.compile_parts(&[(name, ir)]).remove(0).unwrap();
        let whole = compiler.compile_ir(name, ir).unwrap();
        let each = parts.iter().chain([&whole]).map(|object| &object.bytes);
        objects[nth] = each.flatten().copied().collect();
    }
    objects
}

/// A number that other bytes seldom have (FNV-1a).
fn fingerprint(bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    bytes.iter().fold(start, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

const LEVELS: [OptLevel; 2] = [OptLevel::O0, OptLevel::O2];

#[test]
#[ignore = "the other test starts it"]
fn child() {
    let modules = modules();
    let order: Vec<_> = (0..modules.len()).collect();
    for level in LEVELS {
        for object in objects(level, &modules, &order) {
            println!("object {:016x}", fingerprint(&object));
        }
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
fn processes_do_not_matter() {
    require_tools!("clang-22", "clang++-22", "setarch", "taskset");
    let test = std::env::current_exe().unwrap();
    let arguments = ["--exact", "child", "--ignored", "--nocapture", "--quiet"];
    let printed = |program: &[&str], variables: &[(&str, &str)]| {
        let mut command = match program {
            [] => Command::new(&test),
            [program, options @ ..] => {
                let mut command = Command::new(program);
                command.args(options).arg(&test);
                command
            }
        };
        command.args(arguments).envs(variables.iter().copied());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text
            .lines()
            .filter(|line| line.starts_with("object "))
            .map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    let first = printed(&[], &[]);
    assert_eq!(first.len(), LEVELS.len() * modules().len());
    assert_eq!(first, printed(&["setarch", "--addr-no-randomize"], &[]));
    let padding = "x".repeat(9000);
    let environment = [
        ("LANG", "de_DE.UTF-8"),
        ("TZ", "Asia/Tokyo"),
        ("HOME", "/"),
        ("PADDING", &padding),
    ];
    assert_eq!(
        first,
        printed(&["taskset", "--cpu-list", "0"], &environment)
    );
}
