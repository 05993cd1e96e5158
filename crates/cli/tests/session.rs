//! Sessions that compile in processes of their own, which are this crate's program.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]
#![allow(unsafe_code, reason = "calling compiled functions is")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use farcall::session::{Error, Options};
use farcall::{Session, When};

/// A session that compiles with a program.
fn session(program: &Path) -> Session {
    let builder = Session::builder().compile_process(program);
    // SAFETY: the tests add what is written in them.
    unsafe { builder.build() }
}

fn run(session: &Session, name: &str) -> i32 {
    let function = session
        .lookup::<unsafe extern "C" fn() -> i32>(name)
        .unwrap();
    // SAFETY: the tests' functions want nothing of their callers.
    unsafe { function() }
}

fn constant(name: &str, value: i32) -> Vec<u8> {
    format!("define i32 @{name}() {{ ret i32 {value} }}").into_bytes()
}

#[test]
fn units_are_compiled_in_a_process_whenever_that_is() {
    let session = session(Path::new(env!("CARGO_BIN_EXE_farcall-compile")));
    session.add("a.ll", &constant("a", 1), When::Eager).unwrap();
    session
        .add("b.ll", &constant("b", 2), When::OnLookup)
        .unwrap();
    session
        .add("c.ll", &constant("c", 3), When::OnFirstCall)
        .unwrap();
    let tiers = Options::new(When::Eager).tier_up();
    session.add("d.ll", &constant("d", 4), tiers).unwrap();
    let many = ["e", "f"].map(|name| (name, constant(name, 5)));
    let many = many.each_ref().map(|(name, ir)| (*name, &**ir));
    session.add_all(&many, When::Eager).unwrap();
    let names = ["a", "b", "c", "d", "e", "f"];
    assert_eq!(names.map(|name| run(&session, name)), [1, 2, 3, 4, 5, 5]);
    let wrong = session.add("w.ll", b"define i32 @w() { ret i64 1 }", When::Eager);
    let wrong = wrong.unwrap_err();
    assert!(matches!(wrong, Error::CompileProcess { .. }), "{wrong:?}");
    assert!(wrong.to_string().starts_with("w.ll: w.ll:1:"), "{wrong}");
}

#[test]
fn a_crash_names_the_module_and_the_session_lives() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("compile");
    // It dies of one module, and compiles the others.
    let script = format!(
        "#!/bin/sh\nfor name; do [ \"$name\" = bad.ll ] && kill -SEGV $$; done\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_farcall-compile")
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let session = session(&program);
    let modules = ["good.ll", "bad.ll"].map(|name| (name, constant("f", 1)));
    let modules = modules.each_ref().map(|(name, ir)| (*name, &**ir));
    let crash = session
        .add_all(&modules, When::Eager)
        .unwrap_err()
        .to_string();
    assert!(
        crash.starts_with("bad.ll: the compiler crashed (signal: 11"),
        "{crash}"
    );
    session
        .add("good.ll", &constant("f", 2), When::Eager)
        .unwrap();
    assert_eq!(run(&session, "f"), 2);
}

#[test]
fn a_program_that_is_none_is_an_error() {
    let session = session(Path::new("/nowhere/farcall-compile"));
    let error = session
        .add("a.ll", &constant("a", 1), When::Eager)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("a.ll: /nowhere/farcall-compile: "),
        "{error}"
    );
    let echo = Path::new("/bin/true");
    let error = self::session(echo)
        .add("a.ll", &constant("a", 1), When::Eager)
        .unwrap_err();
    assert!(
        error.to_string().contains("something else than objects"),
        "{error}"
    );
}

#[test]
fn another_build_of_the_program_makes_its_own_images() {
    use farcall::store::{Limits, Store};
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let program = folder.path().join("compile");
    let run_once = |script: &str| {
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let kept = Store::open(&store, Limits::default()).unwrap();
        let builder = Session::builder().compile_process(&program).store(kept);
        // SAFETY: the test adds what is written in it.
        let session = unsafe { builder.build() };
        session.add("a.ll", &constant("a", 7), When::Eager).unwrap();
        assert_eq!(run(&session, "a"), 7);
        let kept = Store::open(&store, Limits::default()).unwrap();
        kept.entries().unwrap().len()
    };
    // One that says that it is made of itself, too.
    let script = |comment: &str| {
        let compile = env!("CARGO_BIN_EXE_farcall-compile");
        format!(
            "#!/bin/sh\n# {comment}\n[ \"$1\" = --libraries ] && printf '%s\\0' \"$0\"\nexec {compile} \"$@\"\n"
        )
    };
    assert_eq!(run_once(&script("one build")), 1);
    assert_eq!(run_once(&script("one build")), 1);
    assert_eq!(run_once(&script("another build")), 2);
}
