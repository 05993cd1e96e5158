//! Images for another machine.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

mod common;

use common::{Folder, farcall_in};
use farcall_testkit::require_tools;
use serde_json::Value;

#[test]
fn any_host_builds_for_any_machine() {
    require_tools!("clang-22");
    let folder = Folder::new();
    let source = "int twice(int x) { return 2 * x; }";
    folder.compile("twice.bc", source, &["--target=aarch64-linux-gnu"]);
    let build = ["build", "twice.bc", "-o", "twice", "--target"];
    farcall_in(&folder, &[&build[..], &["aarch64-linux-gnu"]].concat()).printed();
    let text = farcall_in(&folder, &["inspect", "--json", "twice"]).printed();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["machine"], "aarch64");

    let message = farcall_in(&folder, &[&build[..], &["x86_64-linux-gnu"]].concat()).refused();
    let advice = "choose the other target (--target aarch64-unknown-linux-gnu)";
    assert!(
        message.contains("twice.bc: target triple: made for") && message.contains(advice),
        "{message}"
    );
    let message = farcall_in(&folder, &[&build[..], &["sparc-linux-gnu"]].concat()).refused();
    assert!(
        message.contains("sparc-linux-gnu: unknown target, did you mean"),
        "{message}"
    );
}

/// Nothing is compiled that could have the machine that was asked for.
#[test]
fn objects_of_another_machine_are_refused() {
    require_tools!("clang-22");
    let folder = Folder::new();
    folder.compile("two.o", "int two(void) { return 2; }", &[]);
    for machine in ["--target=aarch64-linux-gnu", "--variant=aarch64"] {
        let message = farcall_in(&folder, &["build", "two.o", "-o", "two", machine]).refused();
        assert!(
            message.contains("aarch64") && message.contains("the objects are for x86_64"),
            "{message}"
        );
    }
    for machine in [
        "--target=x86_64-linux-gnu",
        "--target=x86-64",
        "--variant=x86_64",
    ] {
        farcall_in(&folder, &["build", "two.o", "-o", "two", machine]).printed();
    }
}
