//! Keys, signing and policies on the command line.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code, also outside of the functions that are marked as tests"
)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use common::{Folder, Outcome, farcall, run};
use serde_json::Value;

const TWICE: &str = "declare i32 @getpid()
    define i32 @twice(i32 %x) { %y = mul i32 %x, 2 ret i32 %y }
    define i32 @main() { %p = call i32 @getpid() ret i32 7 }";

/// Runs `farcall` with its keys in the folder.
fn here(folder: &Folder, args: &[&str]) -> Outcome {
    let mut command = farcall(args);
    command.env("FARCALL_KEYS", folder.file("keys"));
    run(command.current_dir(folder.path()))
}

/// A folder with a key, `build`, and its line for policies.
fn setup() -> (Folder, String) {
    let folder = Folder::new();
    folder.write("twice.ll", TWICE);
    let made = here(&folder, &["key", "new", "build"]);
    assert!(made.stderr.contains("keys/build.key: a new secret key"));
    (folder, made.stdout)
}

fn policy(folder: &Folder, text: &str) {
    let path = folder.write("policy", text);
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn from_a_key_to_a_call() {
    let (folder, line) = setup();
    assert!(
        line.starts_with("key ") && line.ends_with(" build\n"),
        "{line}"
    );
    assert_eq!(here(&folder, &["key", "show"]).printed(), line);
    assert_eq!(here(&folder, &["key", "show", "build"]).printed(), line);
    assert_eq!(
        here(&folder, &["key", "show", "keys/build.key"]).printed(),
        line
    );
    let build = |output: &str, more: &[&str]| {
        let args = [&["build", "twice.ll", "-o", output], more].concat();
        assert_eq!(here(&folder, &args).printed(), "");
        fs::read(folder.file(output)).unwrap()
    };
    let plain = build("plain", &[]);
    let signed = build("signed", &["--sign", "build"]);
    assert!(signed.starts_with(&plain));
    // Signing is the same whenever it is done.
    let args = ["sign", "plain", "--key", "keys/build.key", "-o", "later"];
    assert_eq!(here(&folder, &args).printed(), "");
    assert_eq!(fs::read(folder.file("later")).unwrap(), signed);

    policy(&folder, &format!("{line}host getpid\n"));
    let call = |image: &str| {
        here(
            &folder,
            &["call", "--policy", "policy", image, "twice", "21"],
        )
    };
    assert_eq!(call("signed").printed(), "42\n");
    let refused = call("plain").refused();
    assert!(
        refused.starts_with("plain: refused: not signed: sign it"),
        "{refused}"
    );
    let run = here(&folder, &["run", "--policy", "policy", "signed"]);
    assert_eq!((run.end, &*run.stderr), (7, ""));
    let run = here(&folder, &["run", "--policy", "policy", "twice.ll"]).refused();
    assert!(run.contains("refused: not signed"), "{run}");

    policy(&folder, &line);
    let refused = call("signed").refused();
    assert!(
        refused.contains("(build) forbids this import from the host"),
        "{refused}"
    );
    policy(&folder, &format!("{line}host *\nhots *\n"));
    let refused = call("signed").refused();
    assert!(
        refused.starts_with("policy:3: \"hots\": not a word"),
        "{refused}"
    );
    policy(&folder, &format!("{line}host *\n"));
    let revoked = here(&folder, &["key", "revoke", "build", "--policy", "policy"]).printed();
    let id = line.split(' ').nth(1).unwrap();
    assert_eq!(revoked, format!("revoked key {id}\n"));
    let again = here(&folder, &["key", "revoke", id, "--policy", "policy"]).printed();
    assert_eq!(again, format!("key {id} was revoked before\n"));
    let refused = call("signed").refused();
    assert!(refused.contains("which was revoked"), "{refused}");
}

#[test]
fn who_signed() {
    let (folder, line) = setup();
    let id = line.split(' ').nth(1).unwrap();
    let args = [
        "build",
        "twice.ll",
        "-o",
        "image",
        "--sign",
        "build",
        "--expires",
        "2100-01-01",
        "--host-import",
        "x*",
    ];
    here(&folder, &args).printed();
    let text = here(&folder, &["inspect", "image"]).printed();
    let signed_by = format!("signed by    key {id}, until 2100-01-01T00:00:00Z (not verified)\n");
    assert!(text.contains(&signed_by), "{text}");
    assert!(text.contains("getpid i32 (), of another image"), "{text}");
    let json = here(&folder, &["inspect", "--json", "image"]).printed();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["signature"]["key"], id);
    assert_eq!(json["signature"]["expires"], 4_102_444_800_u64);
    policy(&folder, &format!("{line}host *\n"));
    let text = here(&folder, &["inspect", "--policy", "policy", "image"]).printed();
    let trusted =
        format!("trusted: signed with key {id} (build); from other images only: getpid\n");
    assert!(text.ends_with(&trusted), "{text}");
    // It says one thing, wherever it says it.
    assert!(text.contains("2100-01-01T00:00:00Z (verified)\n"), "{text}");
    assert!(!text.contains("not verified"), "{text}");
    policy(&folder, "");
    let refused = here(&folder, &["inspect", "--policy", "policy", "image"]);
    assert_eq!(refused.end, 1);
    assert!(
        refused.stderr.contains("which the policy does not have"),
        "{refused:?}"
    );
    assert!(refused.stdout.contains("(refused)\n"), "{refused:?}");
}

#[test]
fn a_key_is_revoked_where_its_secret_is_not() {
    let (folder, line) = setup();
    let id = line.split(' ').nth(1).unwrap();
    let other = here(&folder, &["key", "new", "other"]).stdout;
    policy(&folder, &format!("{line}{other}"));
    fs::remove_file(folder.file("keys/build.key")).unwrap();
    // Another one of that name, which the policy does not have.
    let strange = here(&folder, &["key", "new", "build"]).stdout;
    let revoke = |key: &str| here(&folder, &["key", "revoke", key, "--policy", "policy"]);
    assert_eq!(revoke("build").printed(), format!("revoked key {id}\n"));
    let unknown = "0123456789abcdef";
    let said = revoke(unknown).printed();
    assert_eq!(
        said,
        format!("revoked key {unknown}, which the policy had not trusted\n")
    );
    let refused = revoke("none").refused();
    assert!(
        refused.contains("the policy has no key of this name"),
        "{refused}"
    );
    policy(&folder, &format!("{line}{strange}"));
    let refused = revoke("build").refused();
    assert!(
        refused.contains(id) && refused.contains("say which"),
        "{refused}"
    );
    // A folder that cannot be one is no key that is there.
    let args = ["key", "new", "x", "--key-dir", "policy"];
    let refused = here(&folder, &args).refused();
    assert!(refused.contains("make this folder"), "{refused}");
}

#[test]
fn what_has_expired_is_neither_signed_nor_loaded() {
    let (folder, line) = setup();
    here(
        &folder,
        &["build", "twice.ll", "-o", "signed", "--sign", "build"],
    )
    .printed();
    let before = fs::read(folder.file("signed")).unwrap();
    let args = ["sign", "signed", "--key", "build", "--expires"];
    let passed = here(&folder, &[&args[..], &["1970-01-02"]].concat()).refused();
    assert!(
        passed.contains("--expires 1970-01-02T00:00:00Z: that has passed, as it is 20"),
        "{passed}"
    );
    assert_eq!(fs::read(folder.file("signed")).unwrap(), before);
    let expired = format!("{line}until 1970-01-02\nhost *\n");
    policy(&folder, &expired);
    let args = ["call", "--policy", "policy", "signed", "twice", "1"];
    let refused = here(&folder, &args).refused();
    assert!(refused.contains("1970-01-02T00:00:00Z"), "{refused}");
}

#[test]
fn bundles_are_signed_whole() {
    let (folder, line) = setup();
    here(&folder, &["key", "new", "other"]);
    let args = [
        "build",
        "twice.ll",
        "--target",
        "x86_64",
        "--cpu",
        "x86-64-v1,x86-64-v2",
        "-o",
        "bundle",
        "--sign",
        "build",
    ];
    here(&folder, &args).printed();
    policy(&folder, &format!("{line}host *\n"));
    let text = here(&folder, &["inspect", "--policy", "policy", "bundle"]).printed();
    assert_eq!(text.matches("signed by key").count(), 2, "{text}");
    assert_eq!(text.matches("trusted: ").count(), 2, "{text}");
    for (cpu, key) in [("x86-64-v1", "build"), ("x86-64-v2", "other")] {
        let args = [
            "build", "twice.ll", "--target", "x86_64", "--cpu", cpu, "-o", cpu, "--sign", key,
        ];
        here(&folder, &args).printed();
    }
    let mixed = here(
        &folder,
        &["bundle", "x86-64-v1", "x86-64-v2", "-o", "mixed"],
    )
    .refused();
    assert!(mixed.contains("signed by different keys"), "{mixed}");
    here(&folder, &["sign", "x86-64-v2", "--key", "build"]).printed();
    here(
        &folder,
        &["bundle", "x86-64-v1", "x86-64-v2", "-o", "joined"],
    )
    .printed();
    let [joined, built] = ["joined", "bundle"].map(|name| fs::read(folder.file(name)).unwrap());
    assert_eq!(joined, built);
}

#[test]
fn what_is_wrong_is_said() {
    let (folder, _) = setup();
    let refused = |args: &[&str]| here(&folder, args).refused();
    let build = ["build", "twice.ll", "-o", "image", "--sign"];
    for (args, wrong) in [
        (&["key", "new", "../build"][..], "not a name of a key"),
        (&["key", "new", "build"], "there already"),
        (&["key", "show", "none"], "no key none"),
        (&[&build[..], &["none"]].concat(), "no key none"),
        (
            &[&build[..], &["./none"]].concat(),
            "./none: open: No such file",
        ),
        (
            &[&build[..], &["build", "--expires", "soon"]].concat(),
            "not a day or a time",
        ),
        (
            &["build", "twice.ll", "-o", "image", "--expires", "1d"],
            "--sign",
        ),
        (
            &["key", "revoke", "build", "--policy", "none"],
            "cannot read",
        ),
        (&["sign", "twice.ll", "--key", "build"], "not an image"),
    ] {
        let error = refused(args);
        assert!(error.contains(wrong), "{args:?}: {error}");
    }
    // Nothing was made meanwhile.
    assert!(!folder.file("image").exists());
    let key = folder.file("keys/build.key");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let error = refused(&[&build[..], &["build"]].concat());
    assert!(
        error.contains("others may read this secret key (mode 644)"),
        "{error}"
    );
}
