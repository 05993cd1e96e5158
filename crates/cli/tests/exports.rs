//! What `farcall build --export` exports, and what it says of names that it cannot export.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

mod common;

use std::process::Command;

use common::{Folder, farcall_in};
use farcall_testkit::{require_tools, tools};

const SOURCE: &str = r#"
    static int kept(int x) { return x * 3; }
    __attribute__((visibility("hidden"))) int hidden(int x) { return kept(x); }
    int print_row(int x) { return hidden(x); }
    int print_rows(int x) { return hidden(x) + 1; }
    int (*volatile pointer)(int) = kept;
"#;

const CPP: &str = "int add(int a, int b) { return a + b; } double add(double a) { return a; }";

#[test]
fn a_name_that_is_not_exported_is_an_error() {
    require_tools!("clang-22");
    let folder = Folder::new();
    folder.compile("rows.bc", SOURCE, &["-O0"]);
    folder.compile("add.bc", CPP, &["-xc++"]);
    folder.compile("other.bc", "int other(void) { return 1; }", &[]);
    let build = |arguments: &[&str]| {
        let fixed = ["build", "rows.bc", "add.bc", "-o", "image"];
        farcall_in(&folder, &[&fixed[..], arguments].concat())
    };
    for (names, said) in [
        (
            &["--export=print_rwo"][..],
            "print_rwo: is to be exported, but no input defines it; similar: print_row",
        ),
        (
            &["--export=nothing_like_it"],
            "nothing_like_it: is to be exported, but no input defines it: add the one that does",
        ),
        (
            &["--export=other_*"],
            "other_*: is to be exported, but no input",
        ),
        (
            &["--export=hidden"],
            "rows.bc hides it: declare it with default visibility",
        ),
        (
            &["--export=kept"],
            "rows.bc keeps it to itself: declare it without static",
        ),
        // As C++ programs call it.
        (&["--export=add"], "similar: _Z3addii, _Z3addd"),
        (
            &["--export=print_row", "--export=first", "--export=second"],
            "second: is to be exported",
        ),
    ] {
        let refused = build(names).refused();
        assert!(refused.contains(said), "{names:?}: {refused}");
        assert!(!folder.file("image").exists());
    }
    build(&[
        "--export=print_row?",
        "--export=_Z3add*",
        "--export=pointer",
    ])
    .printed();
    let called = farcall_in(&folder, &["call", "image", "print_rows", "2"]).printed();
    assert_eq!(called, "7\n");
    // A version script says what may be exported, whatever there is.
    folder.write("script", "{ global: print_row; absent; local: *; };");
    build(&["--version-script=script"]).printed();
}

#[test]
fn a_member_of_an_archive_that_nothing_needs_is_named() {
    require_tools!("clang-22", "llvm-ar-22");
    let folder = Folder::new();
    folder.compile("main.o", "int f(void) { return 1; }", &[]);
    folder.compile("member.o", "int of_member(void) { return 5; }", &[]);
    let mut archive = Command::new(tools::find("llvm-ar-22").unwrap());
    let made = archive
        .arg("rcs")
        .args([folder.file("lib.a"), folder.file("member.o")]);
    assert!(made.status().unwrap().success());
    let fixed = [
        "build",
        "main.o",
        "lib.a",
        "-o",
        "image",
        "--export=of_member",
    ];
    let refused = farcall_in(&folder, &fixed).refused();
    assert!(refused.contains("(--whole-archive lib.a)"), "{refused}");
    let whole = [&fixed[..], &["--whole-archive=lib.a"]].concat();
    farcall_in(&folder, &whole).printed();
    let called = ["call", "image", "of_member", "--signature", "i32 ()"];
    assert_eq!(farcall_in(&folder, &called).printed(), "5\n");
}
