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

#[test]
fn target() {
    let target = |compiler: Compiler| {
        let object = compiler
            .compile_ir("f.ll", b"define void @f() { ret void }")
            .unwrap();
        tools::strings(&object.bytes, TARGET_SECTION)
    };
    assert_eq!(target(Compiler::new().unwrap()), ["x86-64", ""]);
    let chosen = Compiler::builder()
        .cpu("x86-64-v3")
        .features("+aes, -fma")
        .build()
        .unwrap();
    assert_eq!(target(chosen), ["x86-64-v3", "+aes,-fma"]);
    assert_eq!(
        target(Compiler::builder().cpu("x86-64-v1").build().unwrap()),
        ["x86-64", ""]
    );
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
