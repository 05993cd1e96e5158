//! Position independence, whatever the IR was made for.

mod tools;

use std::path::Path;

use farcall_compiler::{Compiler, OptLevel};

#[test]
fn each_kind_of_global_is_reached_as_in_an_image() {
    let ir = std::fs::read_to_string(tools::fixture("ir/binding.ll")).unwrap();
    for level in [OptLevel::O0, OptLevel::O2] {
        let object = compiler(level)
            .compile_ir("binding.ll", ir.as_bytes())
            .unwrap();
        assert_eq!(
            tools::text_relocations(&object.bytes),
            tools::directives(&ir, "Reaches"),
            "{level:?}"
        );
    }
}

#[test]
fn what_a_scope_shares_is_reached_as_what_is_elsewhere() {
    let ir = std::fs::read_to_string(tools::fixture("ir/binding.ll")).unwrap();
    let hidden = "@listed = linkonce_odr hidden global i32 1
        define ptr @address() { ret ptr @listed }";
    for level in [OptLevel::O0, OptLevel::O2] {
        let compiler = Compiler::builder().opt_level(level).share_scope(true);
        let compiler = compiler.build().unwrap();
        let object = compiler.compile_ir("binding.ll", ir.as_bytes()).unwrap();
        let expected = tools::directives(&ir, "Reaches").into_iter().map(|line| {
            let shared = [
                "weak_own ",
                "weak_own_function ",
                "linkonce_own ",
                "hidden_import ",
            ];
            match shared.iter().any(|name| line.starts_with(name)) {
                true => line.replace(" PC32", " REX_GOTPCRELX"),
                false => line,
            }
        });
        // As sorted as the relocations are.
        let expected: std::collections::BTreeSet<_> = expected.collect();
        let found = tools::text_relocations(&object.bytes);
        assert_eq!(found, Vec::from_iter(expected), "{level:?}");

        let object = compiler.compile_ir("hidden.ll", hidden.as_bytes()).unwrap();
        let listed = tools::strings(&object.bytes, farcall_compiler::HIDDEN_SECTION);
        assert_eq!(listed, ["listed"]);
        let found = tools::text_relocations(&object.bytes);
        assert_eq!(found, ["listed REX_GOTPCRELX"], "{level:?}");
    }
}

#[test]
fn clang_for_any_way_of_linking() {
    for source in tools::fixtures("c") {
        for (level, flags) in [
            (OptLevel::O0, &["-O0"][..]),
            (OptLevel::O2, &["-O2", "-g"]),
            (OptLevel::O2, &["-O2", "-Xclang", "-disable-llvm-passes"]),
        ] {
            check(&source, level, flags);
        }
    }
}

/// One source for each way of linking: the object links to a shared object with no relocation in its text, and the code is the
/// same when no pass of clang's has seen what way it was.
fn check(source: &Path, level: OptLevel, flags: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let symbolic = !tools::directives(
        &std::fs::read_to_string(source).expect("fixture"),
        "Symbolic",
    )
    .is_empty();
    let mut reached = Vec::new();
    for mode in ["-fno-pic", "-fPIE", "-fPIC"] {
        let (Some(mut clang), Some(mut lld)) = (tools::tool("clang-22"), tools::tool("ld.lld-22"))
        else {
            return;
        };
        let bitcode = folder.path().join("input.bc");
        tools::run(
            clang
                .args(flags)
                .args([mode, "-c", "-emit-llvm", "-o"])
                .args([&bitcode, source]),
        );
        let what = format!("{} {mode} {flags:?}", source.display());
        let object = compiler(level)
            .compile_ir(
                "input.bc",
                &std::fs::read(&bitcode).expect("clang's output"),
            )
            .expect(&what);

        let relocations = tools::text_relocations(&object.bytes);
        for relocation in &relocations {
            let (_, kind) = relocation.split_once(' ').expect("symbol and type");
            assert!(
                !["64", "32", "32S", "TPOFF32", "GOTTPOFF"].contains(&kind),
                "{what}: {relocation}"
            );
        }
        reached.push(relocations);

        let path = folder.path().join("object.o");
        std::fs::write(&path, &object.bytes).expect("room for a file");
        let image = folder.path().join("image.so");
        lld.args(["-shared", "-z", "text", "--fatal-warnings"])
            .args(symbolic.then_some("-Bsymbolic"));
        tools::run(lld.arg("-o").args([&image, &path]));
        let linked = std::fs::read(&image).expect("lld's output");
        assert!(!tools::has_text_relocations(&linked), "{what}");
        assert!(
            !tools::has_section(&linked, ".farcall.types"),
            "{what}: the linker drops it"
        );
    }
    if flags.contains(&"-disable-llvm-passes") {
        assert!(
            reached.windows(2).all(|pair| pair[0] == pair[1]),
            "{}: {reached:#?}",
            source.display()
        );
    }
}

fn compiler(level: OptLevel) -> Compiler {
    Compiler::builder()
        .opt_level(level)
        .build()
        .expect("default options")
}
