//! Images for one CPU and not for another.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

mod common;

use common::{Executor, Folder, farcall_in};
use farcall_testkit::require_tools;
use serde_json::Value;

/// Features of which no processor has all: `tbm` was AMD's before there was the other, which is Intel's.
const CHIMERA: &str = "+tbm,+amx-fp16";

fn json(folder: &Folder, image: &str) -> Value {
    let text = farcall_in(folder, &["inspect", "--json", image]).printed();
    serde_json::from_str(&text).unwrap()
}

/// The features of [`CHIMERA`] and those implied that Linux does not list.
fn lacked() -> Vec<&'static str> {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let flags = text.lines().find(|line| line.starts_with("flags")).unwrap();
    let has = |name: &str| {
        flags
            .split_whitespace()
            .any(|flag| flag == name.replace('-', "_"))
    };
    let names = ["amx-fp16", "amx-tile", "tbm"].into_iter();
    names.filter(|name| !has(name)).collect()
}

#[test]
fn an_image_for_another_cpu_is_refused_wherever_it_is_to_run() {
    require_tools!("clang-22");
    let folder = Folder::new();
    folder.compile("twice.bc", "int twice(int x) { return 2 * x; }", &[]);
    let build = ["build", "twice.bc", "-o", "twice", "--features", CHIMERA];
    farcall_in(&folder, &build).printed();

    let lacked = lacked();
    assert!(!lacked.is_empty());
    let call = farcall_in(&folder, &["call", "twice", "twice", "4"]);
    let message = call.refused();
    let expected = format!(
        "twice: compiled for x86-64: this CPU lacks {}; compile it for what this CPU has: --cpu x86-64",
        lacked.join(", ")
    );
    assert!(message.starts_with(&expected), "{message}");
    let executor = Executor::in_folder(&folder);
    let on = ["call", "twice", "twice", "4", "--on", &executor.address];
    let there = farcall_in(&folder, &on).refused();
    let (_, reason) = expected.split_once(": ").unwrap();
    assert!(there.contains(reason), "{there}");

    let image = json(&folder, "twice");
    assert_eq!(
        image["requires"],
        serde_json::json!(["amx-fp16", "amx-tile", "tbm"])
    );
    assert_eq!(image["lacks"], serde_json::json!(lacked));
    let text = farcall_in(&folder, &["inspect", "twice"]).printed();
    let line = format!(
        "requires     amx-fp16, amx-tile, tbm; this CPU lacks {}\n",
        lacked.join(", ")
    );
    assert!(text.contains(&line), "{text}");
    assert!(text.contains("compiled for x86-64\n"), "{text}");

    farcall_in(
        &folder,
        &["build", "twice.bc", "-o", "twice", "--cpu", "native"],
    )
    .printed();
    assert_eq!(
        farcall_in(&folder, &["call", "twice", "twice", "4"]).printed(),
        "8\n"
    );
}

/// Versions of a function that are chosen by what the processor has require nothing of it.
#[test]
fn code_that_asks_the_cpu_requires_nothing() {
    require_tools!("clang-22");
    let folder = Folder::new();
    let source = "#include <stdio.h>
        __attribute__((target_clones(\"default\", \"avx2\", \"avx512f\", \"sse4a\"))) int sum(const int *at, int n) {
            int sum = 0;
            for (int i = 0; i < n; i++) sum += at[i] * i;
            return sum;
        }
        __attribute__((target(\"avx512f\"))) int wide(const int *at) { return at[1]; }
        int main(void) {
            int many[100];
            for (int i = 0; i < 100; i++) many[i] = i;
            __builtin_cpu_init();
            printf(\"%d %d\\n\", sum(many, 100), __builtin_cpu_supports(\"avx512f\") ? wide(many) : 1);
            return 0;
        }";
    for name in ["clones.bc", "clones.o"] {
        folder.compile(name, source, &["-O2"]);
        folder.build("clones", &[name]);
        let image = json(&folder, "clones");
        assert_eq!(image["requires"], serde_json::json!([]), "{name}");
        assert_eq!(
            farcall_in(&folder, &["run", "clones"]).printed(),
            "328350 1\n",
            "{name}"
        );
    }
    folder.compile("clones.bc", source, &["-O2", "-march=x86-64-v2"]);
    folder.build("clones", &["clones.bc"]);
    assert_eq!(
        json(&folder, "clones")["requires"],
        serde_json::json!(["x86-64-v2"])
    );
}

/// As programs are built that have a file for each CPU.
#[test]
fn files_for_each_cpu() {
    require_tools!("clang-22");
    let folder = Folder::new();
    folder.compile("plain.bc", "int plain(int x) { return x + 1; }", &[]);
    folder.compile(
        "rare.bc",
        "int rare(int x) { return x + 1; }",
        &["-mtbm", "-mamx-fp16"],
    );
    let choose = "int plain(int), rare(int);
        int choose(int x) { __builtin_cpu_init(); return __builtin_cpu_supports(\"tbm\") ? rare(x) : plain(x); }";
    folder.compile("choose.bc", choose, &[]);
    let inputs = ["choose.bc", "plain.bc", "rare.bc"];
    folder.build("any", &inputs);
    let refused = farcall_in(&folder, &["call", "any", "choose", "4"]).refused();
    assert!(refused.contains("this CPU lacks"), "{refused}");
    folder.build("asks", &[&inputs[..], &["--cpu-dispatch"]].concat());
    assert_eq!(json(&folder, "asks")["requires"], serde_json::json!([]));
    assert_eq!(
        farcall_in(&folder, &["call", "asks", "choose", "4"]).printed(),
        "5\n"
    );
}
