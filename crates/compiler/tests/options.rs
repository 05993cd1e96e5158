//! What options do to the code, and what must not do anything to it.

mod tools;

use std::time::{Duration, Instant};

use object::{Object as _, ObjectSection as _};

use farcall_compiler::{
    Compiler, Error, OptLevel,
    inkwell::{context::Context, memory_buffer::MemoryBuffer},
};

const TINY: &[u8] = b"define i32 @add(i32 %a, i32 %b) { %sum = add i32 %a, %b ret i32 %sum }";

#[test]
fn cpu_and_features_override_the_functions() {
    let build = |cpu: Option<&str>, features: &str| {
        let builder = Compiler::builder().features(features);
        let builder = if let Some(cpu) = cpu {
            builder.cpu(cpu)
        } else {
            builder
        };
        disassembly(&builder.build().unwrap(), "ir/sum.ll")
    };
    let Some(baseline) = build(None, "") else {
        return;
    };
    assert!(
        baseline.contains("paddd") && !baseline.contains("ymm"),
        "vectorized for the baseline:\n{baseline}"
    );
    let v3 = build(Some("x86-64-v3"), "").unwrap();
    assert!(v3.contains("vpaddd") && v3.contains("ymm"), "{v3}");
    let v4 = build(Some("x86-64-v4"), "+prefer-256-bit").unwrap();
    assert!(v4.contains("ymm") && !v4.contains("zmm"), "{v4}");
    let v3_without = build(Some("x86-64-v3"), "-avx2,-avx").unwrap();
    assert!(!v3_without.contains("ymm"), "{v3_without}");
    let added = build(None, "+avx2").unwrap();
    assert!(added.contains("ymm"), "{added}");
    assert_eq!(build(Some("x86-64"), ""), build(Some("x86-64-v1"), ""));
    build(Some("native"), "").unwrap();
}

#[test]
fn levels() {
    let at = |level| {
        disassembly(
            &Compiler::builder().opt_level(level).build().unwrap(),
            "ir/sum.ll",
        )
    };
    let Some(o0) = at(OptLevel::O0) else { return };
    assert!(!o0.contains("paddd") && o0.contains("(%rsp)"), "{o0}");
    assert!(
        !at(OptLevel::O1).unwrap().contains("paddd"),
        "clang does not vectorize at O1"
    );
    assert!(at(OptLevel::O3).unwrap().contains("paddd"));
    assert_eq!(OptLevel::default(), OptLevel::O2);
}

/// Code is generated at the level; what is left out is passes over IR.
#[test]
fn optimized_ir_is_taken_as_it_is() {
    let at = |level| {
        let builder = Compiler::builder().opt_level(level).optimized_ir(true);
        disassembly(&builder.build().unwrap(), "ir/sum.ll")
    };
    let (Some(o0), Some(o2)) = (at(OptLevel::O0), at(OptLevel::O2)) else {
        return;
    };
    assert!(o0.contains("(%rsp)"), "{o0}");
    assert!(!o2.contains("(%rsp)") && !o2.contains("paddd"), "{o2}");

    let ir = b"define internal i32 @seven() alwaysinline { ret i32 7 }
        define available_externally i32 @elsewhere() { ret i32 8 }
        define i32 @f() {
          %seven = call i32 @seven()
          %eight = call i32 @elsewhere()
          %sum = add i32 %seven, %eight
          ret i32 %sum
        }";
    let compiler = Compiler::builder().optimized_ir(true).build().unwrap();
    let object = compiler.compile_ir("f.ll", ir).unwrap();
    assert_eq!(tools::text_relocations(&object.bytes).len(), 1);
}

/// The code is the same, and so is what an error says of the source.
#[test]
fn debug_information_is_left_out_when_asked() {
    let ir = b"@v = internal global i32 0
        define i32 @f(i32 %x) noinline !dbg !3 { %y = add i32 %x, 1, !dbg !4
          store i32 %y, ptr @v, !dbg !4
          ret i32 %y, !dbg !4 }
        define i32 @g(i32 %x) !dbg !5 { %y = call i32 @f(i32 %x), !dbg !6
          %v = load i32, ptr @v, !dbg !6
          %z = mul i32 %y, %v, !dbg !6
          ret i32 %z, !dbg !6 }
        !llvm.module.flags = !{!0}
        !llvm.dbg.cu = !{!1}
        !0 = !{i32 2, !\"Debug Info Version\", i32 3}
        !1 = distinct !DICompileUnit(language: DW_LANG_C99, file: !2, emissionKind: FullDebug)
        !2 = !DIFile(filename: \"source.c\", directory: \"/\")
        !3 = distinct !DISubprogram(name: \"f\", file: !2, line: 3, type: !7, unit: !1, spFlags: DISPFlagDefinition)
        !4 = !DILocation(line: 4, column: 5, scope: !3)
        !5 = distinct !DISubprogram(name: \"g\", file: !2, line: 6, type: !7, unit: !1, spFlags: DISPFlagDefinition)
        !6 = !DILocation(line: 7, column: 8, scope: !5)
        !7 = !DISubroutineType(types: !8)
        !8 = !{}";
    for level in [OptLevel::O0, OptLevel::O2] {
        let compiler = |is_left_out| {
            let builder = Compiler::builder().opt_level(level).part_size(2);
            builder.strip_debug(is_left_out).build().unwrap()
        };
        let [with, without] = [false, true].map(|is_left_out| {
            let object = compiler(is_left_out).compile_ir("f.ll", ir).unwrap();
            let has_it = tools::has_section(&object.bytes, ".debug_info");
            let file = object::File::parse(&*object.bytes).unwrap();
            let text = file.section_by_name(".text").unwrap().data().unwrap();
            (has_it, text.to_vec())
        });
        assert!(with.0 && !without.0);
        assert_eq!(with.1, without.1);
        // A module without any is divided.
        let mut parts = compiler(true).compile_parts(&[("f.ll", ir)]);
        assert!(parts.remove(0).unwrap().len() > 1);
    }
    let located = tools::fixture("errors/absolute_location.ll");
    let located = std::fs::read(located).unwrap();
    let [with, without] = [false, true].map(|is_left_out| {
        let compiler = Compiler::builder()
            .strip_debug(is_left_out)
            .build()
            .unwrap();
        compiler
            .compile_ir("located.ll", &located)
            .unwrap_err()
            .to_string()
    });
    assert_eq!(with, without);
}

#[test]
fn same_input_same_bytes() {
    let compiler = Compiler::new().unwrap();
    for path in tools::fixtures("ir") {
        let ir = std::fs::read(&path).unwrap();
        let one = compiler.compile_ir("one.ll", &ir).unwrap();
        let two = compiler.compile_ir("/some/where/two.ll", &ir).unwrap();
        assert_eq!(
            (one.name.as_str(), two.name.as_str()),
            ("one.ll", "/some/where/two.ll")
        );
        assert!(one.bytes == two.bytes, "{}", path.display());
    }
}

#[test]
fn text_bitcode_and_memory_are_the_same_module() {
    let compiler = Compiler::new().unwrap();
    for path in tools::fixtures("ir") {
        let ir = std::fs::read(&path).unwrap();
        let context = Context::create();
        let buffer = MemoryBuffer::create_from_memory_range_copy(&ir, "ir");
        let module = context.create_module_from_ir(buffer).unwrap();
        let bitcode = module.write_bitcode_to_memory();
        let before = module.print_to_string();

        let of_memory = compiler.compile_module("m", &module).unwrap();
        let of_bitcode = compiler.compile_ir("m", bitcode.as_slice()).unwrap();
        assert_eq!(
            module.print_to_string(),
            before,
            "the caller's module is only read"
        );
        assert!(of_memory == of_bitcode);
        let of_text = compiler.compile_ir("m", &ir).unwrap();
        assert_eq!(
            tools::text_relocations(&of_text.bytes),
            tools::text_relocations(&of_memory.bytes)
        );
    }
}

/// What the text leaves out is chosen by the target's layout, whether the text names it or not.
#[test]
fn layout_and_triple_may_be_missing() {
    let body = "
        declare void @use(ptr, ptr)
        define i64 @f(i64 %x) {
          %wide = alloca i128
          %vector = alloca <4 x i64>
          %narrow = alloca { i8, i64 }
          store i64 %x, ptr %wide
          call void @use(ptr %wide, ptr %vector)
          %y = load i64, ptr %wide
          ret i64 %y
        }";
    let layout = "target datalayout = \"e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128\"";
    let triple = "target triple = \"x86_64-unknown-linux-gnu\"";
    let compiler = Compiler::builder().opt_level(OptLevel::O0).build().unwrap();
    let bytes = |head: &str| {
        compiler
            .compile_ir("f.ll", format!("{head}\n{body}").as_bytes())
            .unwrap()
            .bytes
    };
    let expected = bytes(&format!("{layout}\n{triple}"));
    assert!(bytes("") == expected);
    assert!(bytes(layout) == expected);
    assert!(bytes(triple) == expected);
    assert!(bytes("target triple = \"x86_64-pc-linux-gnu\"") == expected);
    bytes("target triple = \"x86_64-alpine-linux-musl\"");
}

/// A code model that the IR asks for is followed.
#[test]
fn code_models() {
    let compiler = Compiler::new().unwrap();
    let reached = |model: u32| {
        let ir = format!(
            "@x = external global i32
            define i32 @f() {{ %y = load i32, ptr @x ret i32 %y }}
            !llvm.module.flags = !{{!0}}
            !0 = !{{i32 1, !\"Code Model\", i32 {model}}}"
        );
        tools::text_relocations(&compiler.compile_ir("f.ll", ir.as_bytes()).unwrap().bytes)
    };
    assert_eq!(reached(1), ["x REX_GOTPCRELX"]);
    assert_eq!(reached(3), ["x REX_GOTPCRELX"]);
    assert_eq!(reached(4), ["_GLOBAL_OFFSET_TABLE_ GOTPC64", "x GOT64"]);
}

#[test]
fn eight_threads_share_a_compiler() {
    let compiler = Compiler::new().unwrap();
    let inputs: Vec<Vec<u8>> = tools::fixtures("ir")
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    let expected: Vec<_> = inputs
        .iter()
        .map(|ir| compiler.compile_ir("m", ir))
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let found: Vec<_> = inputs
                        .iter()
                        .map(|ir| compiler.compile_ir("m", ir))
                        .collect();
                    assert!(found == expected);
                    compiler.compile_ir("m", b"no IR").unwrap_err();
                }
            });
        }
    });
}

/// LLVM recurses; its stack is not the caller's.
#[test]
fn deep_expressions_on_a_small_stack() {
    let depth = 2000;
    let mut ir = String::from("@x = global i64 0\n@deep = global i64 ");
    ir.push_str(&"add (i64 1, i64 ".repeat(depth));
    ir.push_str("ptrtoint (ptr @x to i64)");
    ir.push_str(&")".repeat(depth));
    let compiler = Compiler::new().unwrap();
    let small = std::thread::Builder::new().stack_size(64 << 10);
    small
        .spawn(move || compiler.compile_ir("deep.ll", ir.as_bytes()).unwrap())
        .unwrap()
        .join()
        .unwrap();
}

/// Prints what the smallest compilation costs.
#[test]
fn time_of_a_tiny_module() {
    let compiler = Compiler::new().unwrap();
    compiler.compile_ir("tiny.ll", TINY).unwrap();
    let mut times: Vec<Duration> = (0..50)
        .map(|_| {
            let start = Instant::now();
            compiler.compile_ir("tiny.ll", TINY).unwrap();
            start.elapsed()
        })
        .collect();
    times.sort();
    println!(
        "a tiny module at O2: {:?} (median), {:?} (best)",
        times[25], times[0]
    );
}

fn disassembly(compiler: &Compiler, path: &str) -> Option<String> {
    let object = compiler
        .compile_ir(path, &std::fs::read(tools::fixture(path)).expect("fixture"))
        .expect(path);
    let mut objdump = tools::tool("llvm-objdump-22")?;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("object.o");
    std::fs::write(&file, object.bytes).expect("room for a file");
    // The first line names the file.
    Some(
        tools::run(objdump.args(["-d", "--no-show-raw-insn"]).arg(file))
            .lines()
            .skip(2)
            .collect::<Vec<_>>()
            .join("\n"),
    )
}

#[test]
fn numbers_that_are_no_addresses_are_pointers_as_before() {
    let ir = b"
        @marks = global [4 x ptr] [ptr inttoptr (i64 -1 to ptr), ptr inttoptr (i64 1 to ptr), ptr inttoptr (i64 65535 to ptr), ptr inttoptr (i64 -9223372036854775808 to ptr)]
        define i64 @canary() { %x = load i64, ptr addrspace(256) inttoptr (i64 40 to ptr addrspace(256)) ret i64 %x }
        define ptr @made(i64 %x) { %p = inttoptr i64 %x to ptr ret ptr %p }";
    Compiler::new().unwrap().compile_ir("marks.ll", ir).unwrap();
}

/// Rust's `std::io::Error` is a pointer of which two bits say that it is none, and what it is then is in the upper half.
#[test]
fn numbers_that_are_kept_in_pointers_are_no_addresses() {
    let compiler = Compiler::new().unwrap();
    let marked = b"@error = global ptr inttoptr (i64 171798691843 to ptr)
        define i1 @f(ptr %x) { %y = icmp ult ptr %x, inttoptr (i64 180388626432 to ptr) ret i1 %y }
        define ptr @g() { ret ptr inttoptr (i64 8589934594 to ptr) }";
    compiler.compile_ir("marked.ll", marked).unwrap();
    for ir in [
        "define i1 @f(ptr %x) { %y = icmp eq ptr %x, inttoptr (i64 180388626432 to ptr) ret i1 %y }",
        "define ptr @g() { ret ptr inttoptr (i64 180388626432 to ptr) }",
        // The same constant, once in a comparison and once as an address.
        "define i64 @h(ptr %x) {
           %y = icmp ult ptr %x, inttoptr (i64 180388626432 to ptr)
           %z = load i64, ptr inttoptr (i64 180388626432 to ptr)
           ret i64 %z
         }",
    ] {
        let error = compiler.compile_ir("f.ll", ir.as_bytes()).unwrap_err();
        assert!(
            matches!(error, Error::AbsoluteAddress { .. }),
            "{ir}: {error}"
        );
    }
}

#[test]
fn absolute_addresses_are_allowed_when_asked_for() {
    let ir = b"define i64 @f() { %x = load volatile i64, ptr inttoptr (i64 4096000000 to ptr) ret i64 %x }";
    Compiler::new()
        .unwrap()
        .compile_ir("device.ll", ir)
        .unwrap_err();
    let compiler = Compiler::builder()
        .absolute_addresses(true)
        .build()
        .unwrap();
    compiler.compile_ir("device.ll", ir).unwrap();
}

/// Functions that are marked so are not optimized, in a module that is.
#[test]
fn functions_that_want_no_optimization_get_none() {
    let ir = |attributes: &str| {
        format!(
            "define i32 @f(i32 %x) {attributes} {{ %p = alloca i32 store i32 %x, ptr %p %y = load i32, ptr %p ret i32 %y }}"
        )
    };
    let compiler = Compiler::new().unwrap();
    let size = |attributes: &str| {
        let object = compiler
            .compile_ir("f.ll", ir(attributes).as_bytes())
            .unwrap();
        let file = object::File::parse(&*object.bytes).unwrap();
        file.section_by_name(".text").unwrap().size()
    };
    assert!(size("noinline optnone") > size("noinline"));
}
