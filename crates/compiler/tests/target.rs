//! Code for a machine that is not the host.

mod tools;

use farcall_compiler::{Compiler, OptLevel};

const AARCH64: &str = "aarch64-unknown-linux-gnu";

fn for_target(triple: &str) -> Compiler {
    Compiler::builder().target(triple).build().expect("options")
}

#[test]
fn targets_by_their_names() {
    for (given, full) in [
        ("aarch64-linux-gnu", AARCH64),
        ("aarch64-unknown-linux-musl", "aarch64-unknown-linux-musl"),
        ("x86_64-linux-gnu", "x86_64-unknown-linux-gnu"),
        ("x86_64", "x86_64-unknown-linux-gnu"),
        ("x86-64", "x86_64-unknown-linux-gnu"),
        ("arm64", AARCH64),
    ] {
        assert_eq!(for_target(given).target(), full);
    }
    let error = Compiler::builder().target("riscv64-linux-gnu").build();
    assert_eq!(
        error.unwrap_err().to_string(),
        "riscv64-linux-gnu: unknown target, did you mean `x86_64-unknown-linux-gnu` or `aarch64-unknown-linux-gnu`"
    );
    let error = Compiler::builder()
        .target(AARCH64)
        .cpu("neoverse-n11")
        .build();
    assert_eq!(
        error.unwrap_err().to_string(),
        "cpu `neoverse-n11`: unknown on aarch64, did you mean `neoverse-n1` or `neoverse-e1` or `neoverse-n2`"
    );
    let error = Compiler::builder()
        .target(AARCH64)
        .features("+sve3")
        .build();
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("did you mean `sve` or `sve2`")
    );
}

#[test]
fn ir_is_for_the_target_or_for_any() {
    let body = "define i128 @f(i128 %x) { %y = add i128 %x, 1 ret i128 %y }";
    let machine = |compiler: &Compiler, head: &str| {
        let object = compiler.compile_ir("f.ll", format!("{head}\n{body}").as_bytes());
        object.map(|object| u16::from_le_bytes([object.bytes[18], object.bytes[19]]))
    };
    let (x86_64, aarch64) = (for_target("x86_64-linux-gnu"), for_target(AARCH64));
    assert_eq!(machine(&x86_64, ""), Ok(62));
    assert_eq!(machine(&aarch64, ""), Ok(183));
    assert_eq!(
        machine(&aarch64, "target triple = \"aarch64-linux-musl\""),
        Ok(183)
    );
    let error = machine(&aarch64, "target triple = \"x86_64-pc-linux-gnu\"").unwrap_err();
    assert_eq!(
        error.to_string(),
        "f.ll: target triple: made for `x86_64-pc-linux-gnu`, this compiler makes code for `aarch64-unknown-linux-gnu`: choose the \
         other target (--target x86_64-unknown-linux-gnu)"
    );
}

/// Addresses of AArch64 processes have a bit more, and its thread pointer is no address space.
#[test]
fn addresses_are_those_of_the_target() {
    let ir = |address: u64| format!("@x = global ptr inttoptr (i64 {address} to ptr)");
    let high = ir(0x0000_9000_0000_0000);
    for_target("x86_64-linux-gnu")
        .compile_ir("x.ll", high.as_bytes())
        .unwrap();
    let error = for_target(AARCH64)
        .compile_ir("x.ll", high.as_bytes())
        .unwrap_err();
    assert!(
        error.to_string().contains("an address in one process only"),
        "{error}"
    );
}

/// The objects are fit for executables and for shared objects, and what is made of them runs.
#[test]
fn programs_run_on_aarch64() {
    let tools = ["clang-22", "aarch64-linux-gnu-gcc", "qemu-aarch64-static"];
    let [Some(mut clang), Some(_), Some(_)] = tools.map(tools::tool) else {
        return;
    };
    clang.args([
        "--target=aarch64-linux-gnu",
        "-O1",
        "-Xclang",
        "-disable-llvm-passes",
    ]);
    clang
        .args(["-S", "-emit-llvm", "-o-"])
        .arg(tools::fixture("programs/machine.c"));
    let ir = tools::run(&mut clang);
    for level in [OptLevel::O0, OptLevel::O1, OptLevel::O2] {
        let compiler = Compiler::builder().target(AARCH64).opt_level(level);
        let object = compiler
            .build()
            .unwrap()
            .compile_ir("machine.ll", ir.as_bytes());
        let folder = tempfile::tempdir().unwrap();
        let [o, so, program] = ["o.o", "o.so", "program"].map(|name| folder.path().join(name));
        std::fs::write(&o, object.unwrap().bytes).unwrap();
        let gcc = || tools::tool("aarch64-linux-gnu-gcc").unwrap();
        tools::run(
            gcc()
                .args(["-shared", "-Wl,-z,text,-z,defs", "-o"])
                .arg(so)
                .arg(&o),
        );
        tools::run(gcc().args(["-pie", "-o"]).arg(&program).arg(&o));
        let mut qemu = tools::tool("qemu-aarch64-static").unwrap();
        let printed = tools::run(qemu.args(["-L", "/usr/aarch64-linux-gnu"]).arg(&program));
        assert_eq!(printed, "three one 6493 4000 3 6.75\n", "{level:?}");
    }
}
