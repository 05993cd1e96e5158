//! Modules that belong together: small ones are merged, and mean the same as apart.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod tools;

use std::process::Command;

use farcall_compiler::{Compiler, Error, Object, OptLevel};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolScope};

/// Each has a `helper` and a `count` of its own; they share `shared`, `weak`, `common`, a group and thread-local `state`, and have
/// constructors, which run in the modules' order.
const FIRST: &str = r#"
    $inline = comdat any
    @count = internal global i32 1
    @order = global i32 0
    @common = common global i32 0, align 4
    @state = thread_local global i32 5
    @text = private unnamed_addr constant [2 x i8] c"a\00"
    @llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @construct, ptr null }]
    define internal void @construct() {
      %o = load i32, ptr @order
      %p = mul i32 %o, 10
      %q = add i32 %p, 1
      store i32 %q, ptr @order
      ret void
    }
    define internal i32 @helper(i32 %x) noinline {
      %c = load i32, ptr @count
      %y = add i32 %x, %c
      store volatile i32 %y, ptr @count
      ret i32 %y
    }
    define weak i32 @weak() { ret i32 100 }
    define linkonce_odr i32 @inline(i32 %x) comdat { %y = mul i32 %x, 2 ret i32 %y }
    define hidden i32 @shared(i32 %x) { %y = call i32 @helper(i32 %x) %z = call i32 @inline(i32 %y) ret i32 %z }
    define ptr @first_text() { ret ptr @text }
    define i32 @first() {
      %w = call i32 @weak()
      %s = call i32 @shared(i32 2)
      %r = add i32 %w, %s
      ret i32 %r
    }
"#;
const SECOND: &str = r#"
    $inline = comdat any
    @count = internal global i32 1000
    @order = external global i32
    @common = common global [4 x i32] zeroinitializer, align 16
    @state = external thread_local global i32
    @text = private unnamed_addr constant [2 x i8] c"b\00"
    @llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @construct, ptr null }]
    define internal void @construct() {
      %o = load i32, ptr @order
      %p = mul i32 %o, 10
      %q = add i32 %p, 2
      store i32 %q, ptr @order
      ret void
    }
    define internal i32 @helper(i32 %x) noinline {
      %c = load i32, ptr @count
      %y = sub i32 %c, %x
      store volatile i32 %y, ptr @count
      ret i32 %y
    }
    define i32 @weak() { ret i32 7 }
    declare hidden i32 @shared(i32)
    define linkonce_odr i32 @inline(i32 %x) comdat { %y = mul i32 %x, 2 ret i32 %y }
    define ptr @second_text() { ret ptr @text }
    define i32 @second() {
      %s = call i32 @shared(i32 3)
      %h = call i32 @helper(i32 990)
      %i = call i32 @inline(i32 %h)
      %t = load i32, ptr @state
      %a = add i32 %s, %i
      %b = add i32 %a, %t
      ret i32 %b
    }
"#;
const MAIN: &str = r#"
    @order = external global i32
    declare i32 @first()
    declare i32 @second()
    declare ptr @first_text()
    declare ptr @second_text()
    declare extern_weak i32 @nobody()
    define i32 @main() {
      %a = call i32 @first()
      %b = call i32 @second()
      %o = load i32, ptr @order
      %p = call ptr @first_text()
      %q = call ptr @second_text()
      %c = load i8, ptr %p
      %d = load i8, ptr %q
      %e = sub i8 %d, %c
      %f = zext i8 %e to i32
      %n = icmp ne ptr @nobody, null
      %g = zext i1 %n to i32
      %1 = add i32 %a, %b
      %2 = add i32 %1, %o
      %3 = add i32 %2, %f
      %4 = add i32 %3, %g
      ret i32 %4
    }
"#;
/// first = 7 + 2 * (2 + 1); second = 2 * (3 + 3) + 2 * (1000 - 990) + 5; order = 12; 'b' - 'a'.
const STATUS: i32 = 13 + 37 + 12 + 1;

fn compilers() -> Vec<Compiler> {
    let levels = [OptLevel::O0, OptLevel::O2];
    let build = |level| Compiler::builder().opt_level(level).build().unwrap();
    levels.into_iter().map(build).collect()
}

fn unit(compiler: &Compiler, modules: &[(&str, &str)]) -> Result<Vec<Object>, Error> {
    let modules: Vec<_> = modules
        .iter()
        .map(|&(name, ir)| (name, ir.as_bytes()))
        .collect();
    compiler.compile_units(&[&modules]).remove(0)
}

fn status(objects: &[Object]) -> Option<i32> {
    let mut clang = tools::tool("clang-22")?;
    let folder = tempfile::tempdir().unwrap();
    for (number, object) in objects.iter().enumerate() {
        let file = folder.path().join(format!("{number}.o"));
        std::fs::write(&file, &object.bytes).unwrap();
        clang.arg(file);
    }
    let program = folder.path().join("program");
    tools::run(clang.arg("-o").arg(&program));
    Command::new(program).status().unwrap().code()
}

fn exported(objects: &[Object]) -> Vec<String> {
    let mut names = Vec::new();
    for object in objects {
        let file = object::File::parse(&*object.bytes).unwrap();
        let symbols = file.symbols().filter(|symbol| symbol.is_definition());
        let visible = symbols.filter(|symbol| symbol.scope() == SymbolScope::Dynamic);
        names.extend(visible.map(|symbol| symbol.name().unwrap().to_owned()));
    }
    names.sort();
    names.dedup();
    names
}

#[test]
fn merged_modules_mean_what_linked_ones_do() {
    let modules = [
        ("first.ll", FIRST),
        ("second.ll", SECOND),
        ("main.ll", MAIN),
    ];
    for compiler in compilers() {
        let merged = unit(&compiler, &modules).unwrap();
        assert_eq!(merged.len(), 1);
        assert_eq!(merged[0].name, "first.ll and 2 more");
        let apart: Vec<Object> = (modules.iter())
            .map(|(name, ir)| compiler.compile_ir(name, ir.as_bytes()).unwrap())
            .collect();
        assert_eq!(exported(&merged), exported(&apart));
        assert_eq!(
            tools::strings(&merged[0].bytes, ".farcall.target"),
            tools::strings(&apart[0].bytes, ".farcall.target")
        );
        for objects in [&merged, &apart] {
            if let Some(status) = status(objects) {
                assert_eq!(status, STATUS);
            }
        }
    }
}

/// What follows the same modules in another unit, or in another order, makes no difference.
#[test]
fn a_unit_is_compiled_for_itself() {
    let first: [(&str, &[u8]); 2] = [
        ("first.ll", FIRST.as_bytes()),
        ("second.ll", SECOND.as_bytes()),
    ];
    let other: [(&str, &[u8]); 1] = [("other.ll", b"define void @first() { ret void }")];
    let broken: [(&str, &[u8]); 2] = [
        ("fine.ll", b"define void @g() { ret void }"),
        ("broken.ll", b"define"),
    ];
    for compiler in compilers() {
        let results = compiler.compile_units(&[&first, &broken, &[], &other, &first]);
        let expected = compiler.compile_units(&[&first]).remove(0);
        assert_eq!(expected.as_ref().unwrap().len(), 1);
        assert!(results[0] == expected && results[4] == expected);
        assert!(matches!(&results[1], Err(Error::Parse { input, .. }) if input == "broken.ll"));
        assert_eq!(results[2], Ok(vec![]));
        let alone = compiler.compile_ir("other.ll", other[0].1).unwrap();
        assert_eq!(results[3], Ok(vec![alone]));
    }
}

#[test]
fn many_modules_are_merged_by_neighbours() {
    let sources: Vec<(String, String)> = (0..100)
        .map(|n| {
            let next = (n + 1) % 100;
            let ir = format!(
                "@own = internal global i32 {n}
                 declare i32 @f{next}(i32)
                 define i32 @f{n}(i32 %x) {{
                   %o = load volatile i32, ptr @own
                   %end = icmp eq i32 %x, 0
                   br i1 %end, label %stop, label %go
                 go:
                   %y = sub i32 %x, 1
                   %z = call i32 @f{next}(i32 %y)
                   %s = add i32 %o, %z
                   ret i32 %s
                 stop:
                   ret i32 %o
                 }}"
            );
            (format!("{n}.ll"), ir)
        })
        .collect();
    let mut modules: Vec<_> = sources
        .iter()
        .map(|(name, ir)| (name.as_str(), ir.as_str()))
        .collect();
    let main = "declare i32 @f0(i32)
        define i32 @main() { %s = call i32 @f0(i32 99) %r = sub i32 %s, 4900 ret i32 %r }";
    modules.push(("main.ll", main));
    for compiler in compilers() {
        let objects = unit(&compiler, &modules).unwrap();
        assert_eq!(objects.len(), 4);
        if let Some(status) = status(&objects) {
            assert_eq!(status, 99 * 100 / 2 - 4900);
        }
    }
}

/// With debug information each module stays a compilation unit of its own, with its lines.
#[test]
fn debug_information_is_kept() {
    let Some(clang) = tools::tool("clang-22") else {
        return;
    };
    drop(clang);
    let folder = tempfile::tempdir().unwrap();
    let compile = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let mut clang = tools::tool("clang-22").unwrap();
        clang.args(["-g", "-O1", "-S", "-emit-llvm", "-o-"]);
        tools::run(clang.arg(file))
    };
    let one = compile(
        "one.c",
        "struct s { int a; }; int one(struct s *s) { return s->a; }",
    );
    let two = compile(
        "two.c",
        "struct s { long b; }; long two(struct s *s) { return s->b; }",
    );
    for compiler in compilers() {
        let objects = unit(&compiler, &[("one.ll", &one), ("two.ll", &two)]).unwrap();
        assert_eq!(objects.len(), 1);
        let Some(mut dump) = tools::tool("llvm-dwarfdump-22") else {
            continue;
        };
        let file = folder.path().join("merged.o");
        std::fs::write(&file, &objects[0].bytes).unwrap();
        let text = tools::run(dump.arg("--verify").arg(&file));
        assert!(text.contains("No errors"), "{text}");
        let mut dump = tools::tool("llvm-dwarfdump-22").unwrap();
        let text = tools::run(dump.arg(&file));
        assert_eq!(text.matches("DW_TAG_compile_unit").count(), 2, "{text}");
        for name in [
            "one.c",
            "two.c",
            "(\"one\")",
            "(\"two\")",
            "(\"a\")",
            "(\"b\")",
        ] {
            assert!(text.contains(name), "{name}: {text}");
        }
    }
}

#[test]
fn what_cannot_be_merged_is_apart() {
    let apart = |modules: &[(&str, &str)]| {
        for compiler in compilers() {
            let objects = unit(&compiler, modules).unwrap();
            let each: Vec<_> = (modules.iter())
                .map(|(name, ir)| compiler.compile_ir(name, ir.as_bytes()).unwrap())
                .collect();
            assert!(objects == each, "{}", objects.len());
        }
    };
    let f = "define i32 @f() { ret i32 1 }";
    let g = "define i32 @g() { ret i32 2 }";
    // The linker says who defines a name twice.
    apart(&[("f.ll", f), ("again.ll", f)]);
    apart(&[
        ("f.ll", f),
        ("asm.ll", "module asm \".globl there\\0Athere:\""),
    ]);
    apart(&[
        ("f.ll", f),
        (
            "wide.ll",
            "define i32 @g() #0 { ret i32 2 } attributes #0 = { \"target-features\"=\"+avx2\" }",
        ),
    ]);
    // Flags that must be the same in all modules.
    let wide = "!llvm.module.flags = !{!0} !0 = !{i32 1, !\"wchar_size\", i32 4}";
    let narrow = "!llvm.module.flags = !{!0} !0 = !{i32 1, !\"wchar_size\", i32 2}";
    apart(&[
        ("f.ll", &format!("{f} {wide}")),
        ("g.ll", &format!("{g} {narrow}")),
    ]);
    let large = "!llvm.module.flags = !{!0} !0 = !{i32 1, !\"Code Model\", i32 4}";
    apart(&[("f.ll", f), ("g.ll", &format!("{g} {large}"))]);
    apart(&[
        ("f.ll", f),
        (
            "musl.ll",
            &format!("target triple = \"x86_64-unknown-linux-musl\" {g}"),
        ),
    ]);
}

/// Data alone is for any processor.
#[test]
fn data_is_merged_with_any_code() {
    let code = "@data = external global i32
        define i32 @main() #0 { %d = load i32, ptr @data ret i32 %d } attributes #0 = { \"target-features\"=\"+sse3\" }";
    let modules = [("data.ll", "@data = global i32 9"), ("code.ll", code)];
    for compiler in compilers() {
        let objects = unit(&compiler, &modules).unwrap();
        assert_eq!(objects.len(), 1);
        let alone = compiler.compile_ir("code.ll", code.as_bytes()).unwrap();
        assert_eq!(
            tools::strings(&objects[0].bytes, ".farcall.target"),
            tools::strings(&alone.bytes, ".farcall.target")
        );
        let file = object::File::parse(&*objects[0].bytes).unwrap();
        assert!(file.section_by_name(".farcall.types").unwrap().size() > 0);
    }
}

#[test]
fn an_error_names_the_module() {
    let compiler = Compiler::new().unwrap();
    let fine = "define void @f() { ret void }";
    let error = |name: &str, ir: &str| {
        let others: Vec<String> = (0..40)
            .map(|n| fine.replace("@f", &format!("@f{n}")))
            .collect();
        let mut modules: Vec<_> = others.iter().map(|ir| ("fine.ll", ir.as_str())).collect();
        modules.insert(17, (name, ir));
        unit(&compiler, &modules).unwrap_err()
    };
    let gives_up = std::fs::read_to_string(tools::fixture("errors/gc.ll")).unwrap();
    let found = error("gives_up.ll", &gives_up);
    assert!(
        matches!(&found, Error::GaveUp { input, .. } if input == "gives_up.ll"),
        "{found}"
    );
    let found = error("broken.ll", "define");
    assert!(
        matches!(&found, Error::Parse { input, .. } if input == "broken.ll"),
        "{found}"
    );
    let assembly = "define void @g() { call void asm sideeffect \"nonsense\", \"\"() ret void }";
    let found = error("assembly.ll", assembly);
    assert!(
        matches!(&found, Error::Generate { input, .. } if input == "assembly.ll"),
        "{found}"
    );
}
