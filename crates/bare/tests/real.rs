//! Real programs in a process without a loader.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::fs;

use common::{Process, number, place};
use farcall_executor::{Argument, BareExecutor, Executor, PlacedModule, Value};
use farcall_image::Image;
use farcall_testkit::{Level, Linker, Program, real, require_tools, tools};

/// All objects of a program in one image.
fn image(program: &Program) -> Vec<u8> {
    let objects = program.objects(Level::O2).unwrap();
    let objects: Vec<Vec<u8>> = objects.iter().map(|it| fs::read(it).unwrap()).collect();
    let mut linker = Linker::new();
    for (index, object) in objects.iter().enumerate() {
        linker.add(format!("{index}.o"), object);
    }
    linker.link().unwrap()
}

/// Calls that have to return.
struct Calls<'a>(&'a BareExecutor, &'a PlacedModule<'a>);

impl Calls<'_> {
    fn call(&mut self, function: &str, signature: &str, arguments: &mut [Argument<'_>]) -> Value {
        let value = self.0.call(self.1, function, Some(signature), arguments);
        value.unwrap_or_else(|error| panic!("{function}: {error}"))
    }

    fn int(&mut self, function: &str, signature: &str, arguments: &mut [Argument<'_>]) -> u64 {
        match self.call(function, signature, arguments) {
            Value::Int { value, .. } => value,
            other => panic!("{function}: {other:?}"),
        }
    }
}

#[test]
fn sqlite_gives_what_it_gives_in_an_executor_with_a_loader() {
    require_tools!("clang-22");
    if tools::skips_emulated("the real programs are not compiled for others") {
        return;
    }
    let bytes = image(&real::sqlite_main().unwrap());
    let parsed = Image::parse(&bytes).unwrap();
    let signature = Some("i32 (i64, ptr, i64)");
    let mut expected = vec![0; 4096];
    let ordinary = Executor::local().unwrap();
    let module = ordinary.load(&parsed).unwrap();
    let arguments = |out| [Argument::Int(2000), Argument::Out(out), Argument::Int(4096)];
    let length = ordinary
        .call(
            &module,
            "workload_report",
            signature,
            &mut arguments(&mut expected),
        )
        .unwrap();

    let (mut process, executor) = Process::start();
    let module = place(&executor, &bytes);
    let mut report = vec![0; 4096];
    let again = executor.call(
        &module,
        "workload_report",
        signature,
        &mut arguments(&mut report),
    );
    assert_eq!(again.unwrap(), length);
    assert_eq!(report, expected);
    assert!(report.starts_with(b"2000|"));
    executor.free(module).unwrap();
    drop(executor);
    assert!(process.ended().0.success());
}

#[test]
fn lua_runs_a_script() {
    require_tools!("clang-22");
    if tools::skips_emulated("the real programs are not compiled for others") {
        return;
    }
    let bytes = image(&real::lua().unwrap());
    let (mut process, executor) = Process::start();
    let module = place(&executor, &bytes);
    let mut lua = Calls(&executor, &module);
    let state = match lua.call("luaL_newstate", "ptr ()", &mut []) {
        Value::Pointer(state) => state,
        other => panic!("{other:?}"),
    };
    let state = || Argument::Pointer(state);
    lua.call("luaL_openlibs", "void (ptr)", &mut [state()]);
    let script = b"local all = {}
        for word in ('one two three'):gmatch('%a+') do all[#all + 1] = word:upper() end
        local caught, why = pcall(error, 'thrown')
        print(table.concat(all, '-'), caught, why, math.floor(2.5 ^ 2))
        return #all * 14\0";
    let load = "i32 (ptr, ptr)";
    let status = lua.int(
        "luaL_loadstring",
        load,
        &mut [state(), Argument::In(script)],
    );
    assert_eq!(status, 0);
    // No arguments, one result, no handler, no continuation.
    let mut call = [
        state(),
        Argument::Int(0),
        Argument::Int(1),
        Argument::Int(0),
        Argument::Int(0),
        Argument::Pointer(0),
    ];
    let status = lua.int(
        "lua_pcallk",
        "i32 (ptr, i32, i32, i32, i64, ptr)",
        &mut call,
    );
    assert_eq!(status, 0);
    let mut top = [state(), Argument::Int(u64::MAX), Argument::Pointer(0)];
    assert_eq!(
        lua.int("lua_tointegerx", "i64 (ptr, i32, ptr)", &mut top),
        42
    );
    lua.call("lua_close", "void (ptr)", &mut [state()]);
    executor.free(module).unwrap();
    drop(executor);
    let (status, printed) = process.ended();
    assert!(status.success());
    assert_eq!(printed, "ONE-TWO-THREE\tfalse\tthrown\t6\n");
}

#[test]
fn zlib_gives_back_what_it_took() {
    require_tools!("clang-22");
    if tools::skips_emulated("the real programs are not compiled for others") {
        return;
    }
    let bytes = image(&real::zlib().unwrap());
    let (_process, executor) = Process::start();
    let module = place(&executor, &bytes);
    let text: Vec<u8> = (0..100_000_u32).map(|n| (n % 251 % 17) as u8).collect();
    let (mut packed, mut size) = (vec![0; 110_000], 110_000_u64.to_le_bytes());
    let signature = "i32 (ptr, ptr, ptr, i64)";
    let mut zlib = Calls(&executor, &module);
    let mut arguments = [
        Argument::Out(&mut packed),
        Argument::InOut(&mut size),
        Argument::In(&text),
        Argument::Int(text.len() as u64),
    ];
    assert_eq!(zlib.int("compress", signature, &mut arguments), 0);
    let packed_size = u64::from_le_bytes(size);
    assert!((100..10_000).contains(&packed_size), "{packed_size}");
    let (mut again, mut size) = (vec![0; text.len()], (text.len() as u64).to_le_bytes());
    let mut arguments = [
        Argument::Out(&mut again),
        Argument::InOut(&mut size),
        Argument::In(&packed),
        Argument::Int(packed_size),
    ];
    assert_eq!(zlib.int("uncompress", signature, &mut arguments), 0);
    assert!(again == text);
}

#[test]
fn a_cpp_program_throws_and_catches_and_ends() {
    require_tools!("clang-22");
    if tools::skips_emulated("the real programs are not compiled for others") {
        return;
    }
    let program = real::inventory();
    let bytes = image(&program);
    let native = std::process::Command::new(program.executable(Level::O2).unwrap())
        .output()
        .unwrap();
    let (mut process, executor) = Process::start();
    let module = place(&executor, &bytes);
    let arguments = &mut [Argument::Int(1), Argument::InOut(&mut [0; 16])];
    let status = executor.call(&module, "main", Some("i32 (i32, ptr)"), arguments);
    assert_eq!(status.unwrap(), common::sources::int(32, 3));
    executor.free(module).unwrap();
    drop(executor);
    let (status, printed) = process.ended();
    assert!(status.success());
    assert_eq!(printed, String::from_utf8(native.stdout).unwrap());
}

#[test]
fn a_crash_of_shipped_code_or_a_killed_process_is_told() {
    require_tools!("clang-22");
    let bytes = common::sources::image(
        "#include <stdlib.h>
         #include <unistd.h>
         int crash(void) { abort(); }
         int wait_for_ever(void) { for (;;) pause(); }
         int f(void) { return 1; }",
    );
    let (mut process, executor) = Process::start();
    let module = place(&executor, &bytes);
    assert_eq!(number(&executor, &module, "f"), 1);
    let error = executor.call(&module, "crash", Some("i32 ()"), &mut []);
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with("connection"), "{error}");
    process.child.wait().unwrap();

    let (mut process, executor) = Process::start();
    let module = place(&executor, &bytes);
    let call = std::thread::scope(|scope| {
        let call = scope.spawn(|| executor.call(&module, "wait_for_ever", Some("i32 ()"), &mut []));
        std::thread::sleep(std::time::Duration::from_millis(50));
        process.child.kill().unwrap();
        call.join().unwrap()
    });
    let error = call.unwrap_err().to_string();
    assert!(error.starts_with("connection"), "{error}");
}
