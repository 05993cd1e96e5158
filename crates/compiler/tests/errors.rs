//! Every error, provoked.

mod tools;

use farcall_compiler::{
    Compiler, Error, OptLevel,
    inkwell::{context::Context, memory_buffer::MemoryBuffer},
};

const FINE: &[u8] = b"define i32 @f(i32 %x) { %y = add i32 %x, 1 ret i32 %y }";

#[test]
fn every_fixture_gives_its_error() {
    let compiler = Compiler::new().unwrap();
    for path in tools::fixtures("errors") {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let error = compiler
            .compile_ir(name, text.as_bytes())
            .expect_err(name)
            .to_string();
        let expected = tools::directives(&text, "ExpectError");
        assert!(error.starts_with(&expected[0]), "{name}: got {error}");
        let mut rest = error.as_str();
        for line in &expected {
            let at = rest
                .find(line.as_str())
                .unwrap_or_else(|| panic!("{name}: no {line:?} in {error}"));
            rest = &rest[at + line.len()..];
        }
        // Whatever went wrong, the next compilation is not affected.
        compiler.compile_ir("fine.ll", FINE).unwrap();
    }
}

#[test]
fn nothing_is_not_ir() {
    let compiler = Compiler::new().unwrap();
    for ir in [&b""[..], b"  \n\t", b"\0\0\0\0"] {
        let error = compiler.compile_ir("empty.bc", ir).unwrap_err();
        assert_eq!(
            error,
            Error::Empty {
                input: "empty.bc".to_owned()
            }
        );
    }
}

#[test]
fn truncated_bitcode() {
    let compiler = Compiler::builder().opt_level(OptLevel::O0).build().unwrap();
    let bitcode = bitcode(FINE);
    assert!(compiler.compile_ir("f.bc", &bitcode).is_ok());
    for length in 1..bitcode.len() {
        let error = compiler
            .compile_ir("f.bc", &bitcode[..length])
            .expect_err("a part is no module");
        match (length, &error) {
            // The magic has four bytes.
            (1..=3, Error::Parse { .. }) | (4.., Error::Bitcode { .. }) => {}
            _ => panic!("{length}: {error:?}"),
        }
    }
    let error = compiler
        .compile_ir("f.bc", b"BC\xC0\xDEnothing of the kind")
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("f.bc: cannot read bitcode: "), "{error}");
}

#[test]
fn wrapped_bitcode() {
    let bitcode = bitcode(FINE);
    let length = u32::try_from(bitcode.len()).unwrap();
    let mut wrapped: Vec<u8> = [0x0B17_C0DE, 0, 20, length, 0]
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect();
    wrapped.extend_from_slice(&bitcode);
    let compiler = Compiler::new().unwrap();
    assert_eq!(
        compiler.compile_ir("f.bc", &wrapped),
        compiler.compile_ir("f.bc", &bitcode)
    );
    let error = compiler.compile_ir("f.bc", &wrapped[..30]).unwrap_err();
    assert!(matches!(error, Error::Bitcode { .. }), "{error:?}");
}

#[test]
fn invalid_module_in_memory() {
    let context = Context::create();
    let module = context.create_module("m");
    let function = module.add_function("f", context.void_type().fn_type(&[], false), None);
    context.append_basic_block(function, "without_a_terminator");
    let error = Compiler::new()
        .unwrap()
        .compile_module("m", &module)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("m: invalid IR: Basic Block in function 'f' does not have terminator!"),
        "{error}"
    );
}

#[test]
fn options() {
    let cpu = |name: &str| {
        Compiler::builder()
            .cpu(name)
            .build()
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        cpu("x86-64-v5"),
        "cpu `x86-64-v5`: unknown on x86-64, did you mean `x86-64-v2` or `x86-64-v3` or `x86-64-v4`"
    );
    assert!(cpu("").starts_with("cpu ``: unknown"));
    let features = |list: &str| {
        Compiler::builder()
            .features(list)
            .build()
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        features("+avx2,+fma5"),
        "cpu feature `fma5`: unknown on x86-64, did you mean `fma` or `fma4`"
    );
    assert_eq!(
        features("avx2"),
        "cpu feature `avx2`: needs a `+` or a `-` before its name"
    );
}

/// The bitcode of text IR.
fn bitcode(ir: &[u8]) -> Vec<u8> {
    let context = Context::create();
    let buffer = MemoryBuffer::create_from_memory_range_copy(ir, "f.ll");
    let module = context.create_module_from_ir(buffer).expect("valid IR");
    module.write_bitcode_to_memory().as_slice().to_vec()
}
