//! Large modules in parts. Programs that are compiled so are run by the tests of the command.

mod tools;

use std::process::Command;

use farcall_compiler::{Compiler, Object};
use object::{Object as _, ObjectSymbol as _, SymbolScope};

const IR: &str = r#"
    $grouped = comdat any
    @text = private unnamed_addr constant [3 x i8] c"hi\00"
    @counter = internal global i32 0
    @grouped_data = linkonce_odr global i32 7, comdat($grouped)
    @table = internal constant [2 x ptr] [ptr @first, ptr @hidden]
    @llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @constructor, ptr null }]
    @other = alias i32 (i32), ptr @first
    define internal void @constructor() { store i32 1, ptr @counter ret void }
    define i32 @first(i32 %x) noinline {
      %c = load i32, ptr @counter
      %y = add i32 %x, %c
      ret i32 %y
    }
    define internal i32 @hidden(i32 %x) noinline {
      store volatile i32 %x, ptr @counter
      %y = mul i32 %x, 3
      ret i32 %y
    }
    define linkonce_odr i32 @grouped(i32 %x) noinline comdat {
      %c = load volatile i32, ptr @grouped_data
      %y = add i32 %x, %c
      ret i32 %y
    }
    define i32 @second(i32 %x) noinline {
      %y = call i32 @other(i32 %x)
      %z = call i32 @grouped(i32 %y)
      %w = call i32 @hidden(i32 %z)
      ret i32 %w
    }
    define i32 @third(i32 %n) noinline {
      %at = getelementptr [2 x ptr], ptr @table, i32 0, i32 %n
      %f = load ptr, ptr %at
      %y = call i32 %f(i32 5)
      ret i32 %y
    }
    define ptr @name() noinline { ret ptr @text }
    define i32 @main() {
      %a = call i32 @second(i32 4)
      %b = call i32 @third(i32 1)
      %c = call ptr @name()
      %d = load i8, ptr %c
      %e = zext i8 %d to i32
      %f = add i32 %a, %b
      %g = add i32 %f, %e
      ret i32 %g
    }
"#;

fn parts(compiler: &Compiler, ir: &str) -> Vec<Object> {
    let mut compiled = compiler.compile_parts(&[("whole.ll", ir.as_bytes())]);
    compiled.remove(0).expect("valid IR")
}

fn in_small_parts() -> Compiler {
    Compiler::builder().part_size(3).build().expect("options")
}

#[test]
fn parts_link_to_what_the_whole_is() {
    let objects = parts(&in_small_parts(), IR);
    assert!(objects.len() > 3, "{}", objects.len());
    let whole = in_small_parts()
        .compile_ir("whole.ll", IR.as_bytes())
        .unwrap();

    // The same names for others, each defined once, and none more.
    let exported = |objects: &[Object]| {
        let mut names = Vec::new();
        for object in objects {
            let file = object::File::parse(&*object.bytes).unwrap();
            let symbols = file.symbols().filter(|symbol| symbol.is_definition());
            let visible = symbols.filter(|symbol| symbol.scope() == SymbolScope::Dynamic);
            names.extend(visible.map(|symbol| symbol.name().unwrap().to_owned()));
        }
        names.sort();
        names
    };
    assert_eq!(exported(&objects), exported(std::slice::from_ref(&whole)));
    let target = tools::strings(&whole.bytes, ".farcall.target");
    for object in &objects {
        assert_eq!(tools::strings(&object.bytes, ".farcall.target"), target);
    }

    let Some(mut clang) = tools::tool("clang-22") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for (number, object) in objects.iter().enumerate() {
        let file = folder.path().join(format!("{number}.o"));
        std::fs::write(&file, &object.bytes).unwrap();
        clang.arg(file);
    }
    let program = folder.path().join("program");
    tools::run(clang.arg("-o").arg(&program));
    // second(4) = 3 * (4 + 1 + 7), third(1) = 3 * 5, and 'h'.
    let status = Command::new(program).status().unwrap();
    assert_eq!(status.code(), Some(36 + 15 + 104));
}

#[test]
fn what_cannot_be_divided_is_one_object() {
    let compiler = in_small_parts();
    let one = |ir: &str| {
        let objects = parts(&compiler, ir);
        assert_eq!(objects.len(), 1);
        assert_eq!(
            objects[0],
            compiler.compile_ir("whole.ll", ir.as_bytes()).unwrap()
        );
    };
    one("define void @f() { ret void }");
    one(&format!("{IR}\nmodule asm \".globl there\\0Athere:\""));
    let used = "@llvm.used = appending global [1 x ptr] [ptr @counter], section \"llvm.metadata\"";
    one(&format!("{IR}\n{used}"));
    // By default a part is large.
    assert_eq!(parts(&Compiler::new().unwrap(), IR).len(), 1);
}

/// Prints the objects, for the test that starts this one on one core.
#[test]
#[ignore = "a part of `parts_do_not_depend_on_the_number_of_cores`"]
fn print_parts() {
    for object in parts(&in_small_parts(), IR) {
        let digits: String = object
            .bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        println!("\nobject {digits}");
    }
}

#[test]
fn parts_do_not_depend_on_the_number_of_cores() {
    let Some(mut taskset) = tools::tool("taskset") else {
        return;
    };
    taskset
        .args(["-c", "0"])
        .arg(std::env::current_exe().unwrap());
    taskset.args(["--exact", "print_parts", "--ignored", "--nocapture"]);
    let output = tools::run(&mut taskset);
    let on_one: Vec<&str> = output
        .lines()
        .filter_map(|line| line.strip_prefix("object "))
        .collect();
    let here: Vec<String> = (parts(&in_small_parts(), IR).iter())
        .map(|object| {
            object
                .bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        })
        .collect();
    assert!(on_one == here);
}

#[test]
fn a_batch_keeps_parts_and_errors_apart() {
    let compiler = in_small_parts();
    let inputs: [(&str, &[u8]); 3] = [
        ("whole.ll", IR.as_bytes()),
        ("broken.ll", b"define"),
        ("whole.ll", IR.as_bytes()),
    ];
    let results = compiler.compile_parts(&inputs);
    let expected = Ok(parts(&compiler, IR));
    assert!(results[0] == expected && results[2] == expected);
    assert!(results[1].is_err());
}
