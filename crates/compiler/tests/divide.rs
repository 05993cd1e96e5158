//! Modules in parts that become images of their own. What running them gives is tested where they are loaded, in sessions.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod tools;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use farcall_compiler::{ADDRESS_SUFFIX, Compiler, DefinedKind, Divided, Error, Object, OptLevel};
use object::{Object as _, ObjectSymbol as _, SymbolScope};

const IR: &str = "
    @counter = internal global i32 0
    @table = constant [2 x ptr] [ptr @first, ptr @helper]
    define i32 @first() { %a = call i32 @helper(ptr @first)
      %b = call i32 @second()
      %r = add i32 %a, %b
      ret i32 %r }
    define i32 @second() { %r = load i32, ptr @counter
      ret i32 %r }
    define internal i32 @helper(ptr %p) noinline { %r = load i32, ptr %p
      ret i32 %r }
    define hidden i32 @hidden() { ret i32 1 }
    define internal void @unused() { ret void }";

fn compiler(level: OptLevel) -> Compiler {
    Compiler::builder().opt_level(level).build().unwrap()
}

/// Each function is a part.
fn divide(ir: &str) -> Divided {
    let next = AtomicU64::new(0);
    let each = move |_: &str| next.fetch_add(1, Ordering::Relaxed);
    let compiler = Compiler::new().unwrap();
    compiler.divide("m.ll", ir.as_bytes(), each).unwrap()
}

/// All parts, compiled.
fn parts(divided: &Divided, level: OptLevel) -> Vec<Object> {
    let compiler = compiler(level);
    let parts = 0..divided.n_parts();
    parts
        .map(|part| compiler.compile_part(divided, part).unwrap())
        .collect()
}

/// What an object defines for others, and what it wants of them.
fn symbols(object: &Object) -> [BTreeSet<String>; 2] {
    let file = object::File::parse(&*object.bytes).unwrap();
    let mut symbols = [BTreeSet::new(), BTreeSet::new()];
    for symbol in file.symbols() {
        let name = symbol.name().unwrap().to_owned();
        if symbol.is_undefined() && !name.is_empty() {
            symbols[1].insert(name);
        } else if symbol.is_definition() && symbol.scope() == SymbolScope::Dynamic {
            symbols[0].insert(name);
        }
    }
    symbols
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[test]
fn parts_define_what_is_said_of_them_and_want_what_others_define() {
    let divided = divide(IR);
    for level in [OptLevel::O0, OptLevel::O2] {
        let objects = parts(&divided, level);
        assert_eq!(objects.len(), 6);
        let mut wanted = BTreeSet::new();
        for (part, object) in (0..).zip(&objects) {
            let [defined, undefined] = symbols(object);
            let said = divided.symbols().iter().filter(|it| it.part == part);
            let said: BTreeSet<_> = said.map(|it| it.symbol.name.clone()).collect();
            assert_eq!(defined, said, "part {part}");
            assert_eq!(object.name, divided.part_name(part));
            wanted.extend(undefined);
        }
        let known = divided.symbols().iter().map(|it| it.symbol.name.clone());
        let known: BTreeSet<_> = known.chain([format!("first{ADDRESS_SUFFIX}")]).collect();
        assert!(wanted.is_subset(&known), "{wanted:?}");
        assert_eq!(symbols(&objects[0])[1], names(["first", "helper.local"]));
        let of_first = names(["first.address", "helper.local", "second"]);
        assert_eq!(symbols(&objects[1])[1], of_first);
    }
    let described: Vec<_> = (divided.symbols().iter())
        .map(|it| (&*it.symbol.name, it.symbol.kind, it.part, it.is_exported))
        .collect();
    assert_eq!(
        described,
        [
            ("first", DefinedKind::Function, 1, true),
            ("second", DefinedKind::Function, 2, true),
            ("helper.local", DefinedKind::Function, 3, false),
            ("hidden", DefinedKind::Function, 4, true),
            ("counter.local", DefinedKind::Variable, 0, false),
            ("table", DefinedKind::Variable, 0, true),
        ]
    );
    let hidden = divided.symbols().iter().filter(|it| it.symbol.is_hidden);
    let hidden: Vec<_> = hidden.map(|it| &*it.symbol.name).collect();
    assert_eq!(hidden, ["hidden"]);
    let parts: Vec<_> = (0..6).map(|part| divided.part_name(part)).collect();
    let expected = [
        "",
        ": first",
        ": second",
        ": helper.local",
        ": hidden",
        ": unused",
    ];
    assert_eq!(parts, expected.map(|it| format!("m.ll{it}")));
}

#[test]
fn groups_are_the_callers() {
    let compiler = Compiler::new().unwrap();
    let asked = std::sync::Arc::new(Mutex::new(Vec::new()));
    let divided = {
        let asked = std::sync::Arc::clone(&asked);
        let group = move |name: &str| {
            asked.lock().unwrap().push(name.to_owned());
            name.len() as u64 * 1_000_000_000_000
        };
        compiler.divide("m.ll", IR.as_bytes(), group).unwrap()
    };
    assert_eq!(
        *asked.lock().unwrap(),
        ["first", "second", "helper", "hidden", "unused"]
    );
    // Numbers are of any size, and parts are in the order in which groups come first.
    assert_eq!(divided.n_parts(), 3);
    assert_eq!(divided.part_name(2), "m.ll: second and 3 more");
    let whole = compiler.divide("m.ll", IR.as_bytes(), |_| 7).unwrap();
    assert_eq!((whole.n_parts(), whole.has_data()), (2, true));
    assert_eq!(whole.part_name(1), "m.ll: first and 4 more");
}

#[test]
fn what_has_one_part_and_what_has_nothing() {
    let in_assembly = "module asm \".globl there\"\nmodule asm \"there: ret\"";
    let divided = divide(&format!("{in_assembly}\n{IR}"));
    assert_eq!((divided.n_parts(), divided.has_data()), (1, true));
    let [defined, undefined] = symbols(&parts(&divided, OptLevel::O2)[0]);
    assert_eq!(
        defined,
        names(["first", "hidden", "second", "table", "there"])
    );
    assert_eq!(undefined, names(["first.address"]));
    let there = divided.symbols().last().unwrap();
    assert_eq!(
        (&*there.symbol.name, there.part, there.is_exported),
        ("there", 0, true)
    );

    let assembly = divide(in_assembly);
    assert_eq!((assembly.n_parts(), assembly.has_data()), (1, true));
    for ir in ["declare void @f()", "; nothing"] {
        let divided = divide(ir);
        assert_eq!((divided.n_parts(), divided.has_data()), (1, false));
        assert!(divided.symbols().is_empty());
        parts(&divided, OptLevel::O2);
    }
    let function = divide("define void @f() { ret void }");
    assert_eq!((function.n_parts(), function.has_data()), (2, false));
    let data = divide("@v = global i32 1");
    assert_eq!((data.n_parts(), data.has_data()), (1, true));
}

#[test]
fn parts_are_the_same_each_time_in_any_order_and_by_any_thread() {
    let divided = divide(IR);
    let again = divide(IR);
    for part in 0..divided.n_parts() {
        assert_eq!(divided.part(part), again.part(part));
    }
    assert_eq!(divided.symbols(), again.symbols());
    for level in [OptLevel::O0, OptLevel::O2] {
        let compiler = compiler(level);
        let expected = parts(&divided, level);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (compiler, again, expected) = (&compiler, &again, &expected);
                scope.spawn(move || {
                    for n in 0..24_u32 {
                        let part = (n * 5 + thread) % again.n_parts();
                        let object = compiler.compile_part(again, part).unwrap();
                        assert_eq!(object, expected[part as usize], "part {part}");
                    }
                });
            }
        });
    }
    assert!(parts(&divided, OptLevel::O0) != parts(&divided, OptLevel::O2));
}

/// What is wrong with a function is said when its part is compiled, and only then.
#[test]
fn an_error_is_of_one_part() {
    let broken = [
        (
            "call i64 @llvm.aarch64.space(i32 4, i64 0)",
            "declare i64 @llvm.aarch64.space(i32, i64)",
        ),
        ("call i32 asm \"\", \"={no such register}\"()", ""),
    ];
    for (instruction, declaration) in broken {
        let ir = format!(
            "define i32 @fine() {{ ret i32 1 }}
            define void @broken() {{ %v = {instruction}
              ret void }}
            {declaration}"
        );
        let divided = divide(&ir);
        assert_eq!(divided.part_name(2), "m.ll: broken");
        for _ in 0..2 {
            let compiler = compiler(OptLevel::O1);
            assert!(compiler.compile_part(&divided, 1).is_ok());
            let error = compiler.compile_part(&divided, 2).unwrap_err();
            let is_expected = matches!(error, Error::GaveUp { .. } | Error::Generate { .. });
            assert!(is_expected, "{error}");
            assert!(error.to_string().starts_with("m.ll: broken: "), "{error}");
        }
    }
}

/// The copy of what has to be inlined is in no part but its own.
#[test]
fn what_is_inlined_is_defined_once() {
    let divided = divide(
        "define i32 @inlined(i32 %x) alwaysinline { %r = mul i32 %x, 3
          ret i32 %r }
        define i32 @user(i32 %x) { %r = call i32 @inlined(i32 %x)
          ret i32 %r }
        define available_externally i32 @library(i32 %x) { %r = mul i32 %x, 7
          ret i32 %r }
        define i32 @other(i32 %x) { %r = call i32 @library(i32 %x)
          ret i32 %r }",
    );
    for level in [OptLevel::O0, OptLevel::O2] {
        let objects = parts(&divided, level);
        let all: Vec<_> = objects.iter().map(symbols).collect();
        assert_eq!(all[1], [names(["inlined"]), names([])]);
        assert_eq!(all[2], [names(["user"]), names([])]);
        assert_eq!(all[3][0], names(["other"]));
    }
}

/// Debug information of a part is of its functions, in a unit of its own.
#[test]
fn debug_information_is_divided_too() {
    let Some(mut clang) = tools::tool("clang-22") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("debug.c");
    std::fs::write(
        &source,
        "static int counter; int global = 5;
        static int bump(int by) { counter += by; return counter; }
        int one(void) { return bump(1); }
        int two(void) { int v = bump(2); return v + global; }",
    )
    .unwrap();
    clang.args([
        "-g",
        "-O1",
        "-S",
        "-emit-llvm",
        "-Xclang",
        "-disable-llvm-passes",
        "-o-",
    ]);
    let ir = tools::run(clang.arg(&source));
    let divided = divide(&ir);
    assert_eq!(divided.n_parts(), 4);
    for level in [OptLevel::O0, OptLevel::O2] {
        for object in parts(&divided, level) {
            for section in [".debug_info", ".debug_line"] {
                assert!(
                    tools::has_section(&object.bytes, section),
                    "{}: {section}",
                    object.name
                );
            }
        }
    }
}

/// What many parts share: copies, aliases, and variables of each thread.
#[test]
fn parts_of_many_want_what_they_share() {
    const N: u32 = 150;
    let mut ir = "@v = internal thread_local(localexec) global i32 1
        @other = internal alias i32 (), ptr @f149
        define i32 @inlined() alwaysinline { %r = call i32 @deep()
          ret i32 %r }\n"
        .to_owned();
    for n in 0..N {
        let callee = (n + 70) % N;
        ir += &format!(
            "define i32 @f{n}() {{ %a = call i32 @f{callee}()
              %b = call i32 @inlined()
              %p = call i32 @pass(ptr @f{n})
              %r = add i32 %a, %b
              ret i32 %r }}\n"
        );
    }
    ir += "declare i32 @pass(ptr)
        define internal i32 @deep() alwaysinline { %v = load i32, ptr @v
          %o = call i32 @other()
          %r = add i32 %v, %o
          ret i32 %r }";
    let divided = divide(&ir);
    assert_eq!(divided.n_parts(), N + 3);
    let compiler = compiler(OptLevel::O0);
    for n in (0..N - 1).rev() {
        let object = compiler.compile_part(&divided, n + 2).unwrap();
        let [defined, undefined] = symbols(&object);
        assert_eq!(defined, names([&format!("f{n}")]));
        let callee = format!("f{}", (n + 70) % N);
        let address = format!("f{n}.address");
        let mut wanted = names([&callee, &address, "other.local", "pass", "v.local"]);
        wanted.extend(undefined.get("__tls_get_addr").cloned());
        assert_eq!(undefined, wanted, "f{n}");
    }
    let last = symbols(&compiler.compile_part(&divided, N + 1).unwrap());
    assert_eq!(last[0], names(["f149", "other.local"]));
}

/// Of a module that was linked of two, with functions of one inlined in the other, each part keeps its debug information.
#[test]
fn debug_information_of_two_units_is_divided_too() {
    let (Some(_), Some(mut link)) = (tools::tool("clang-22"), tools::tool("llvm-link-22")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let sources = [
        ("a", "int inner(int x) { return x * 3; }"),
        (
            "b",
            "int inner(int); int outer(int x) { return inner(x) + 1; }",
        ),
    ];
    for (name, source) in sources {
        let file = folder.path().join(name).with_extension("c");
        std::fs::write(&file, source).unwrap();
        let mut clang = tools::tool("clang-22").unwrap();
        clang.args(["-g", "-O1", "-c", "-emit-llvm", "-o"]);
        let bitcode = file.with_extension("bc");
        tools::run(clang.arg(&bitcode).arg(&file));
        link.arg(bitcode);
    }
    let together = folder.path().join("together.bc");
    tools::run(link.arg("-o").arg(&together));
    let Some(mut opt) = tools::tool("opt-22") else {
        return;
    };
    let ir = tools::run(opt.args(["-S", "-O2", "-o", "-"]).arg(&together));
    assert!(ir.contains("inlinedAt"), "{ir}");
    let divided = divide(&ir);
    assert_eq!(divided.n_parts(), 3);
    for object in parts(&divided, OptLevel::O2).iter().skip(1) {
        assert!(
            tools::has_section(&object.bytes, ".debug_info"),
            "{}",
            object.name
        );
    }
}
