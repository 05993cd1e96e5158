//! Bundles on the command line: built for several CPUs, joined of images, and taken wherever images are.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

mod common;

use std::fs;
use std::process::Command;

use common::{Executor, Folder, farcall, farcall_in, run};
use serde_json::Value;

/// IR for any machine, with some constants.
const TWICE: &str = "@table = constant [100000 x i8] zeroinitializer
    define i32 @twice(i32 %x) { %y = mul i32 %x, 2 ret i32 %y }
    define i32 @main() { ret i32 7 }";

fn setup() -> Folder {
    let folder = Folder::new();
    folder.write("twice.ll", TWICE);
    folder
}

fn build(folder: &Folder, output: &str, options: &[&str]) {
    let args = [&["build", "twice.ll", "-o", output], options].concat();
    assert_eq!(farcall_in(folder, &args).printed(), "");
}

fn json(folder: &Folder, args: &[&str]) -> Value {
    let text = farcall_in(folder, &[&["inspect", "--json"], args].concat()).printed();
    serde_json::from_str(&text).unwrap()
}

fn bytes(folder: &Folder, name: &str) -> Vec<u8> {
    fs::read(folder.file(name)).unwrap()
}

#[test]
fn one_build_for_several_cpus_is_the_same_as_several_joined() {
    let folder = setup();
    let cpus = ["x86-64-v1", "x86-64-v2", "x86-64-v3", "x86-64-v4"];
    build(
        &folder,
        "all",
        &["--target", "x86_64", "--cpu", &cpus.join(",")],
    );
    for cpu in cpus {
        build(&folder, cpu, &["--target", "x86_64", "--cpu", cpu]);
    }
    let join = |output: &str, images: &[&str]| {
        let args = [&["bundle", "-o", output], images].concat();
        assert_eq!(farcall_in(&folder, &args).printed(), "");
    };
    join("joined", &cpus);
    assert!(bytes(&folder, "joined") == bytes(&folder, "all"));
    join("low", &["x86-64-v2", "x86-64-v1"]);
    join("rejoined", &["low", "x86-64-v4", "x86-64-v3"]);
    assert!(bytes(&folder, "rejoined") == bytes(&folder, "all"));
    join("one", &["x86-64-v1"]);

    let report = json(&folder, &["all"]);
    let variants = report["variants"].as_array().unwrap();
    assert_eq!(report["file_size"], bytes(&folder, "all").len());
    for (variant, cpu) in variants.iter().zip(cpus.iter().rev()) {
        assert_eq!(variant["machine"], "x86_64");
        let requires = match *cpu {
            "x86-64-v1" => serde_json::json!([]),
            level => serde_json::json!([level]),
        };
        assert_eq!(variant["requires"], requires);
        let image = bytes(&folder, cpu);
        assert_eq!(variant["size"], image.len());
        let start = usize::try_from(variant["offset"].as_u64().unwrap()).unwrap();
        assert!(bytes(&folder, "all")[start..][..image.len()] == image);
        assert_eq!(variant["digest"], json(&folder, &[cpu])["digest"]);
    }
    for (number, cpu) in ["3", "2", "1", "0"].iter().zip(cpus) {
        assert_eq!(
            json(&folder, &["all", "--variant", number]),
            json(&folder, &[cpu])
        );
    }
    let text = farcall_in(&folder, &["inspect", "all"]).printed();
    assert!(text.starts_with("bundle       4 variants\n"), "{text}");
    if let Some(taken) = report["taken"].as_u64() {
        assert!(text.contains(&format!("takes variant {taken}\n")), "{text}");
        assert_eq!(
            variants[usize::try_from(taken).unwrap()]["lacks"],
            serde_json::json!([])
        );
    }
}

#[test]
fn a_bundle_is_taken_where_an_image_is() {
    let folder = setup();
    let options = ["--variant", "x86_64:x86-64,native", "--variant", "aarch64"];
    // What is native on the baseline is the baseline.
    match cfg!(target_arch = "x86_64") {
        true => build(&folder, "twice", &options),
        false => build(
            &folder,
            "twice",
            &["--variant", "x86_64", "--variant", "aarch64"],
        ),
    }
    let taken = json(&folder, &["twice"])["taken"].as_u64().unwrap();
    let taken = json(&folder, &["twice"])["variants"][usize::try_from(taken).unwrap()].clone();
    let call = ["call", "twice", "twice", "21"];
    assert_eq!(farcall_in(&folder, &call).printed(), "42\n");
    let run = farcall_in(&folder, &["run", "twice"]);
    assert_eq!((run.end, run.stderr.as_str()), (7, ""));
    let place = ["place", "twice", "--at", "0x400000", "-o", "placed"];
    farcall_in(&folder, &place).printed();
    assert!(bytes(&folder, "placed").starts_with(b"\x7fELF"));

    // Over the wire goes one of them, once.
    let executor = Executor::in_folder(&folder);
    let on = [&call[..], &["--on", &executor.address, "--timings"]].concat();
    let size = taken["size"].as_u64().unwrap();
    let first = farcall_in(&folder, &on);
    assert_eq!(first.stdout, "42\n", "{first:?}");
    assert!((size..size + 200).contains(&first.shipped()), "{first:?}");
    let again = farcall_in(&folder, &on);
    assert!(again.shipped() < 200, "{again:?}");
}

/// Each variant is kept by itself: one more compiles one more.
#[test]
fn each_variant_is_kept() {
    let folder = setup();
    let stages = |options: &[&str]| -> Vec<String> {
        let args = [&["build", "twice.ll", "-o", "all", "--timings"], options].concat();
        let mut command: Command = farcall(&args);
        command.current_dir(folder.path());
        let outcome = run(command.env("FARCALL_CACHE", folder.file("cache")));
        assert_eq!(outcome.end, 0, "{outcome:?}");
        let stages = outcome.stderr.lines().map(|line| line[..10].trim_end());
        stages
            .filter(|stage| stage.starts_with("cache") || *stage == "compile")
            .map(str::to_owned)
            .collect()
    };
    let two = ["--target", "x86_64", "--cpu", "x86-64-v2,x86-64-v3"];
    let miss = ["compile", "cache miss"];
    assert_eq!(stages(&two), [miss, miss].concat());
    assert_eq!(stages(&two), ["cache hit"; 2]);
    let three = [
        "--target",
        "x86_64",
        "--cpu",
        "x86-64-v2,x86-64-v4,x86-64-v3",
    ];
    assert_eq!(
        stages(&three),
        [&["cache hit"], &miss[..], &["cache hit"]].concat()
    );
    // One is an image.
    assert_eq!(
        stages(&["--target", "x86_64", "--cpu", "x86-64-v4"]),
        ["cache hit"]
    );
    assert!(bytes(&folder, "all").starts_with(b"\x7fELF"));
}

#[test]
fn debug_information_of_each_variant() {
    let folder = setup();
    let options = [
        "--target",
        "x86_64",
        "--cpu",
        "x86-64-v2,x86-64-v3",
        "--debug",
        "split",
    ];
    build(&folder, "all", &options);
    for variant in json(&folder, &["all"])["variants"].as_array().unwrap() {
        let digest = variant["digest"].as_str().unwrap();
        let debug_file = bytes(&folder, &format!("all.{}.debug", &digest[..16]));
        assert!(debug_file.starts_with(b"\x7fELF"));
    }
}

#[test]
fn what_cannot_be_a_bundle() {
    let folder = setup();
    build(&folder, "v2", &["--target", "x86_64", "--cpu", "x86-64-v2"]);
    build(&folder, "v3", &["--target", "x86_64", "--cpu", "x86-64-v3"]);
    build(
        &folder,
        "both",
        &["--target", "x86_64", "--cpu", "x86-64-v2,x86-64-v3"],
    );
    folder.write("data.ll", "@x = global i32 5");
    for (args, expected) in [
        (
            &["bundle", "v3", "both", "-o", "x"][..],
            "v3 and both: both are images for x86_64 with x86-64-v3: leave one out, as no CPU would take it",
        ),
        (
            &[
                "build",
                "data.ll",
                "--target=x86_64",
                "--cpu=x86-64-v2,x86-64-v3",
                "-o",
                "x",
            ],
            "x86_64:x86-64-v2 and x86_64:x86-64-v3: both are images for x86_64: leave one out, as no CPU would take it",
        ),
        (
            &["build", "both", "-o", "x"],
            "both: a bundle of images, which cannot be linked again",
        ),
        (
            &["bundle", "twice.ll", "-o", "x"],
            "twice.ll: LLVM IR, not an image: make one of it with farcall build",
        ),
        (
            &["build", "twice.ll", "--cpu", "x86-64-v2,", "-o", "x"],
            "--cpu x86-64-v2,: a CPU has no name",
        ),
        (
            &["build", "twice.ll", "--cpu", "a,b,a", "-o", "x"],
            "--cpu a,b,a: a is there twice",
        ),
        (
            &[
                "build",
                "twice.ll",
                "--target=x86_64",
                "--cpu",
                "x86-64-v2,v3",
                "-o",
                "x",
            ],
            "cpu `v3`: unknown on x86-64, did you mean `x86-64-v3`",
        ),
        (
            &[
                "build",
                "twice.ll",
                "--target=x86_64",
                "--features",
                "+avx2 -bmi",
                "-o",
                "x",
            ],
            "cpu features `+avx2 -bmi`: separate them by commas: `+avx2,-bmi`",
        ),
        (
            &["run", "twice.ll", "--cpu", "x86-64-v2,x86-64-v3"],
            "--cpu x86-64-v2,x86-64-v3: what is run is compiled for one CPU: name one, or farcall build a bundle",
        ),
        (
            &["inspect", "both", "--variant", "2"],
            "both: it has no variant 2, the last one is 1",
        ),
        (
            &["inspect", "v2", "--variant", "0"],
            "v2: an image, not a bundle: it has no variants",
        ),
    ] {
        assert_eq!(farcall_in(&folder, args).refused(), expected);
        assert!(!folder.file("x").exists());
    }
    let text = farcall_in(&folder, &["build", "twice.ll", "-o", "x", "--variant", ":"]).refused();
    assert!(
        text.contains("name a target, as in aarch64, or a CPU, as in :x86-64-v3"),
        "{text}"
    );
    let both = [
        "build",
        "twice.ll",
        "-o",
        "x",
        "--variant",
        "aarch64",
        "--cpu",
        "generic",
    ];
    let text = farcall_in(&folder, &both).refused();
    assert!(text.contains("cannot be used with"), "{text}");
}

#[test]
fn no_variant_and_damaged_ones() {
    let folder = setup();
    // Features of which no processor has all.
    let (target, features, other) = match cfg!(target_arch = "x86_64") {
        true => ("x86_64", "+tbm,+amx-fp16", "aarch64"),
        false => ("aarch64", "+sve2,+sme2,+mte,+ls64", "x86_64"),
    };
    let none = format!("{target}::{features}");
    build(&folder, "none", &["--variant", &none, "--variant", other]);
    let executor = Executor::in_folder(&folder);
    let call = ["call", "none", "twice", "1"];
    for args in [
        &call[..],
        &["run", "none"],
        &[&call[..], &["--on", &executor.address]].concat(),
    ] {
        let text = farcall_in(&folder, args).refused();
        assert!(
            text.starts_with(&format!("none: no variant for the {target} CPU (")),
            "{text}"
        );
        assert!(text.contains(": it lacks "), "{text}");
        assert!(
            text.contains(&format!(
                "{other}: another machine; build one for it too: --variant {target}:"
            )),
            "{text}"
        );
    }
    assert_eq!(json(&folder, &["none"])["taken"], Value::Null);

    build(&folder, "good", &["--variant", target, "--variant", &none]);
    let good = bytes(&folder, "good");
    let variants = json(&folder, &["good"])["variants"].clone();
    let start = usize::try_from(variants[1]["offset"].as_u64().unwrap()).unwrap();
    let refused = |bytes: &[u8], expected: &str| {
        folder.write("bad", bytes);
        for args in [&["inspect", "bad"][..], &["call", "bad", "twice", "1"]] {
            let outcome = farcall_in(&folder, args);
            assert_eq!(outcome.end, 1, "{outcome:?}");
            assert!(outcome.stderr.starts_with("farcall: bad: "), "{outcome:?}");
            assert!(outcome.stderr.contains(expected), "{outcome:?}");
        }
    };
    let changed = |at: usize| {
        let mut changed = good.clone();
        changed[at] ^= 0x40;
        changed
    };
    refused(
        &good[..good.len() - 1],
        "truncated: the last variant ends at byte",
    );
    refused(&good[..20], "truncated");
    refused(
        &changed(8),
        "this farcall reads version 1: build the bundle again",
    );
    refused(&changed(100), "the table of the bundle was changed");
    refused(
        &changed(good.len() - 1),
        "the bytes were changed: their digest is",
    );
    refused(&changed(start), "not an ELF file");
}
