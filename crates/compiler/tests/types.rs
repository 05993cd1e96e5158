//! The sections that carry types and target.

mod tools;

use farcall_compiler::{Compiler, OptLevel, TARGET_SECTION, TYPES_SECTION};
use object::Object as _;

#[test]
fn types_of_every_kind_of_symbol() {
    let ir = std::fs::read_to_string(tools::fixture("ir/types.ll")).unwrap();
    for level in [OptLevel::O0, OptLevel::O3] {
        let object = Compiler::builder()
            .opt_level(level)
            .build()
            .unwrap()
            .compile_ir("types.ll", ir.as_bytes())
            .unwrap();
        let strings = tools::strings(&object.bytes, TYPES_SECTION);
        let records: Vec<String> = strings.chunks(2).map(|record| record.join(" = ")).collect();
        assert_eq!(records, tools::directives(&ir, "Type"), "{level:?}");
    }
}

const V2: &str = "crc32,cx16,popcnt,sahf,sse3,sse4.1,sse4.2,ssse3";
const V3: &str =
    "avx,avx2,bmi,bmi2,crc32,cx16,f16c,fma,lzcnt,movbe,popcnt,sahf,sse3,sse4.1,sse4.2,ssse3,xsave";
const V4: &str = "avx,avx2,avx512bw,avx512cd,avx512dq,avx512f,avx512vl,bmi,bmi2,crc32,cx16,f16c,fma,lzcnt,movbe,popcnt,sahf,\
                  sse3,sse4.1,sse4.2,ssse3,xsave";

/// The processor and the features that are recorded of `ir`.
fn recorded(cpu: Option<&str>, features: &str, ir: &str) -> [String; 2] {
    let builder = Compiler::builder().features(features);
    let builder = match cpu {
        Some(cpu) => builder.cpu(cpu),
        None => builder,
    };
    let compiler = builder.build().expect("a CPU of LLVM");
    let object = compiler
        .compile_ir("f.ll", ir.as_bytes())
        .expect("valid IR");
    let strings = tools::strings(&object.bytes, TARGET_SECTION);
    strings.try_into().expect("one record")
}

#[test]
fn the_processor_and_all_that_it_implies() {
    let of = |cpu, features| recorded(cpu, features, "define void @f() { ret void }");
    assert_eq!(of(None, ""), ["x86-64", ""]);
    assert_eq!(of(Some("x86-64-v1"), ""), ["x86-64", ""]);
    assert_eq!(of(Some("x86-64-v2"), ""), ["x86-64-v2", V2]);
    assert_eq!(of(Some("x86-64-v3"), ""), ["x86-64-v3", V3]);
    assert_eq!(of(Some("x86-64-v4"), ""), ["x86-64-v4", V4]);
    let [cpu, features] = of(Some("x86-64-v3"), "+aes, -fma");
    assert_eq!(cpu, "x86-64-v3");
    assert_eq!(features, V3.replace("avx,", "aes,avx,").replace("fma,", ""));
    // What is only fast, and what guards against other programs, no processor lacks.
    assert_eq!(of(None, "+fast-gather,+retpoline,+shstk"), ["x86-64", ""]);
    let [_, amx] = of(None, "+amx-fp16");
    assert_eq!(amx, "amx-fp16,amx-tile");
    // One name for two things: the longer ones are aliases.
    let tenth = "avx10.1,";
    assert!(of(None, "+avx10.1-512")[1].contains(tenth));
    assert!(of(None, "+avx10.2-512")[1].contains("avx10.1,avx10.2,"));
}

/// What some functions have more than others is not what the code as a whole needs.
#[test]
fn functions_with_processors_of_their_own() {
    let of = |ir: &str| recorded(None, "", ir);
    let baseline = "define void @baseline() { ret void }";
    let v3 = "define void @v3() #0 { ret void } attributes #0 = { \"target-cpu\"=\"x86-64-v3\" }";
    let avx512f =
        "define void @wide() #1 { ret void } attributes #1 = { \"target-features\"=\"+avx512f\" }";
    assert_eq!(of(v3), ["x86-64-v3", V3]);
    assert_eq!(of(&format!("{v3} {baseline}")), ["x86-64", ""]);
    assert_eq!(of(&format!("{baseline} {avx512f}")), ["x86-64", ""]);
    let [cpu, both] = of(&format!("{v3} {avx512f}"));
    assert_eq!(cpu, "x86-64", "they differ: the compiler's own");
    assert_eq!(both, "avx,avx2,f16c,fma,sse3,sse4.1,sse4.2,ssse3");
    // The caller's choice counts for all of them.
    let all = format!("{v3} {baseline}");
    assert_eq!(recorded(Some("x86-64-v2"), "", &all), ["x86-64-v2", V2]);
    // Of what is only declared, nothing is in the object.
    let declared = "declare void @other() define void @f() #0 { call void @other() ret void }
                    define available_externally void @inlined() { ret void }
                    attributes #0 = { \"target-cpu\"=\"x86-64-v3\" }";
    assert_eq!(of(declared), ["x86-64-v3", V3]);
}

/// As clang makes `target_clones` with `-march=x86-64-v2`: the resolver has no attributes.
#[test]
fn versions_of_one_function() {
    let ir = "
        @f = ifunc i32 (i32), ptr @f.resolver
        define i32 @f.wide(i32 %x) #0 { ret i32 %x }
        define i32 @f.default(i32 %x) #1 { ret i32 %x }
        define ptr @f.resolver() { ret ptr @f.default }
        attributes #0 = { \"target-cpu\"=\"x86-64-v2\" \"target-features\"=\"+avx512f\" }
        attributes #1 = { \"target-cpu\"=\"x86-64-v2\" }";
    assert_eq!(recorded(None, "", ir), ["x86-64-v2", V2]);
}

#[test]
fn no_symbols_no_types() {
    let object = Compiler::new()
        .unwrap()
        .compile_ir("asm.ll", b"module asm \"nop\"")
        .unwrap();
    assert_eq!(
        tools::strings(&object.bytes, TARGET_SECTION),
        ["x86-64", ""]
    );
    assert!(
        object::File::parse(&*object.bytes)
            .unwrap()
            .section_by_name(TYPES_SECTION)
            .is_none()
    );
}
