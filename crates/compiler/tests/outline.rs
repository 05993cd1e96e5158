//! What IR defines is what its object does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod tools;

use std::collections::BTreeMap;

use farcall_compiler::{Compiler, DefinedKind, Error, OptLevel, Outline};
use object::{Object as _, ObjectSymbol as _, SymbolKind, SymbolScope};

const IR: &str = r#"
    $group = comdat any
    @variable = global i32 1
    @mine = thread_local global i64 1
    @weak_variable = weak global [2 x i16] zeroinitializer
    @common_variable = common global i8 0
    @hidden_variable = hidden global i32 1
    @local_variable = internal global i32 1
    @elsewhere = external global i32
    @alias = alias i32 (i32), ptr @function
    @alias_of_variable = alias i32, ptr @variable
    @chosen = ifunc void (), ptr @choose
    define i32 @function(i32 signext %x) { ret i32 %x }
    define protected void @protected() { ret void }
    define hidden void @hidden() { ret void }
    define internal ptr @choose() { ret ptr @protected }
    define weak_odr void @weak() { ret void }
    define linkonce_odr void @group() comdat { ret void }
    define void @"\01as it is"() { call void @group()
      call void @imported()
      ret void }
    define available_externally void @known() { ret void }
    declare void @imported()
"#;

fn outline(ir: &str) -> Outline {
    let compiler = Compiler::new().unwrap();
    compiler.outline("m.ll", ir.as_bytes()).unwrap()
}

/// What an object defines for others: whether each symbol is a function, whether it is weak, and whether it is hidden.
fn defined(object: &[u8]) -> BTreeMap<String, (bool, bool, bool)> {
    let file = object::File::parse(object).unwrap();
    let symbols = file.symbols().filter(|symbol| !symbol.is_undefined());
    let visible = symbols.filter(|symbol| symbol.scope() != SymbolScope::Compilation);
    let defined = visible.map(|symbol| {
        // STT_GNU_IFUNC is one of those without a name of their own.
        let is_variable = matches!(symbol.kind(), SymbolKind::Data | SymbolKind::Tls);
        let name = symbol.name().unwrap().to_owned();
        let is_weak = symbol.is_weak() || symbol.is_common();
        let is_hidden = symbol.scope() == SymbolScope::Linkage;
        (name, (!is_variable, is_weak, is_hidden))
    });
    defined.collect()
}

#[test]
fn an_outline_is_what_the_object_defines() {
    // Nothing is dropped because it was inlined.
    let compiler = Compiler::builder().opt_level(OptLevel::O0).build().unwrap();
    let outline = outline(IR);
    let object = compiler.compile_ir("m.ll", IR.as_bytes()).unwrap();
    let outlined = outline.definitions.iter().map(|symbol| {
        let is_function = symbol.kind != DefinedKind::Variable;
        let facts = (is_function, symbol.is_weak, symbol.is_hidden);
        (symbol.name.clone(), facts)
    });
    assert_eq!(outlined.collect::<BTreeMap<_, _>>(), defined(&object.bytes));

    // The types are those that the object says.
    let records = tools::strings(&object.bytes, ".farcall.types");
    let types: BTreeMap<_, _> = records
        .chunks(2)
        .map(|record| (&record[0], &record[1]))
        .collect();
    for symbol in &outline.definitions {
        assert_eq!(
            types.get(&symbol.name),
            Some(&&symbol.value_type),
            "{}",
            symbol.name
        );
    }
    let chosen = outline
        .definitions
        .iter()
        .find(|symbol| symbol.name == "chosen");
    assert_eq!(chosen.unwrap().kind, DefinedKind::IndirectFunction);
}

#[test]
fn the_bitcode_compiles_to_what_the_text_does() {
    let compiler = Compiler::new().unwrap();
    let of_text = compiler.compile_ir("m.ll", IR.as_bytes()).unwrap();
    let outline = outline(IR);
    assert_eq!(
        compiler.compile_ir("m.ll", &outline.bitcode).unwrap(),
        of_text
    );
    let again = compiler.outline("m.ll", &outline.bitcode).unwrap();
    assert_eq!(again.definitions, outline.definitions);
}

#[test]
fn what_nobody_uses_may_not_come_to_be() {
    let ir = "define linkonce_odr void @unused() { ret void }\ndefine void @f() { ret void }";
    let outline = outline(ir);
    let names: Vec<_> = outline
        .definitions
        .iter()
        .map(|it| (&*it.name, it.is_weak))
        .collect();
    assert_eq!(names, [("unused", true), ("f", false)]);
    let object = Compiler::new()
        .unwrap()
        .compile_ir("m.ll", ir.as_bytes())
        .unwrap();
    assert_eq!(
        defined(&object.bytes).into_keys().collect::<Vec<_>>(),
        ["f"]
    );
}

#[test]
fn assembly_defines_symbols_too() {
    let ir = "module asm \".globl there, missing\"
        module asm \".weak maybe, missing_too\"
        module asm \"there: ret\"
        module asm \"maybe: ret\"
        module asm \"mine: ret\"
        define void @f() { ret void }";
    let mut symbols: Vec<_> = (outline(ir).definitions.into_iter())
        .map(|symbol| (symbol.name, symbol.kind, symbol.is_weak))
        .collect();
    symbols.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        symbols,
        [
            ("f".to_owned(), DefinedKind::Function, false),
            ("maybe".to_owned(), DefinedKind::Assembly, true),
            ("there".to_owned(), DefinedKind::Assembly, false),
        ]
    );
    // What is wrong with it is said when it is compiled.
    assert!(
        outline("module asm \"what is this\"")
            .definitions
            .is_empty()
    );
}

#[test]
fn an_outline_has_the_errors_of_reading() {
    let compiler = Compiler::new().unwrap();
    for ir in [
        &b""[..],
        b"define",
        b"BC\xC0\xDE",
        b"target triple = \"armv7-unknown-linux-gnu\"",
        b"define i32 @f() { ret i32 %x }",
    ] {
        let error = compiler.outline("m.ll", ir).unwrap_err();
        assert_eq!(compiler.compile_ir("m.ll", ir), Err(error.clone()));
        assert_eq!(compiler.divide("m.ll", ir, |_| 0).unwrap_err(), error);
    }
    // What only code generation finds is not found.
    let gives_up = std::fs::read(tools::fixture("errors/intrinsic.ll")).unwrap();
    assert!(compiler.outline("m.ll", &gives_up).is_ok());
    let error = compiler.compile_ir("m.ll", &gives_up).unwrap_err();
    assert!(matches!(error, Error::GaveUp { .. }), "{error}");
}
