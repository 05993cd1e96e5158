//! Functions that lead where the controller says when they are first called.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{assert_fails, controller, image, int, number};
use farcall_executor::{ErrorKind, Executor, FirstCall, LoadOptions, RemoteModule, Service};
use farcall_image::{Digest, Image};
use farcall_testkit::require_tools;

const SPACE: Digest = Digest::from_bytes([7; 32]);

const F: FirstCall<'_> = FirstCall {
    name: "f",
    alias: "f.address",
    value_type: Some("i32 ()"),
};

/// A module that calls `f`, found in the space.
fn caller(executor: &Executor) -> RemoteModule {
    let bytes = image("int f(void); int call(void) { return f(); }");
    let options = LoadOptions {
        scope: Some(&[SPACE]),
        ..LoadOptions::default()
    };
    let image = Image::parse(&bytes).unwrap();
    executor.load_with(&image, options).unwrap()
}

fn load(executor: &Executor, source: &str) -> RemoteModule {
    let bytes = image(source);
    executor.load(&Image::parse(&bytes).unwrap()).unwrap()
}

#[test]
fn who_defined_a_function_is_asked_once() {
    require_tools!("clang-22");
    let executor = controller(&Service::default());
    // Not this one, though everybody sees it.
    load(&executor, "int f(void) { return 3; }");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let resolve = move |executor: &Executor, place| {
        assert_eq!(place, 0);
        count.fetch_add(1, Ordering::Relaxed);
        let module = load(executor, "int f(void) { return 4; } int other;");
        Ok(executor.lookup(&module, "f").unwrap().address)
    };
    executor.define_on_first_call(SPACE, &[F], resolve).unwrap();
    let caller = caller(&executor);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    for _ in 0..3 {
        assert_eq!(number(&executor, &caller, "call"), 4);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    // What it leads to is in use.
    let modules = executor.list().unwrap();
    let unloaded = executor.unload(modules.last().unwrap().digest);
    assert_fails(unloaded, ErrorKind::InUse, "a redirect of f");
}

#[test]
fn what_is_no_such_function_is_the_calls_failure() {
    require_tools!("clang-22");
    let executor = controller(&Service::default());
    let module = load(&executor, "int g(void) { return 1; }");
    let address = executor.lookup(&module, "g").unwrap().address;
    let asked = AtomicUsize::new(0);
    let resolve = move |_: &Executor, _| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Err("no time".to_owned()),
        1 => Ok(address),
        _ => panic!("none"),
    };
    executor.define_on_first_call(SPACE, &[F], resolve).unwrap();
    let caller = caller(&executor);
    for part in ["f: no time", "f: no module has it at", "f: panicked: none"] {
        let called = executor.call(&caller, "call", Some("i32 ()"), &mut []);
        assert_fails(called, ErrorKind::CallBack, part);
    }
}

#[test]
fn a_function_that_is_there_keeps_its_type_and_has_a_new_controller() {
    require_tools!("clang-22");
    let service = Service::default();
    let executor = controller(&service);
    let caller = {
        let first = controller(&service);
        let fails = |_: &Executor, _| Err("asked".to_owned());
        first.define_on_first_call(SPACE, &[F], fails).unwrap();
        caller(&first)
    };
    let other = FirstCall {
        value_type: Some("i64 ()"),
        ..F
    };
    let never = |_: &Executor, _| unreachable!("it was not defined");
    let defined = executor.define_on_first_call(SPACE, &[other], never);
    assert_fails(defined, ErrorKind::Definition, "f: it is there already");
    let called = executor.call(&caller, "call", Some("i32 ()"), &mut []);
    assert_fails(called, ErrorKind::CallBack, "has gone");

    let resolve = |executor: &Executor, place| {
        assert_eq!(place, 1);
        let module = load(executor, "int f(void) { return 5; }");
        Ok(executor.lookup(&module, "f").unwrap().address)
    };
    let g = FirstCall {
        name: "g",
        alias: "g.address",
        ..F
    };
    executor
        .define_on_first_call(SPACE, &[g, F], resolve)
        .unwrap();
    let called = executor.call(&caller, "call", Some("i32 ()"), &mut []);
    assert_eq!(called.unwrap(), int(32, 5));
}

#[test]
fn more_functions_than_one_request_holds_are_defined() {
    require_tools!("clang-22");
    let executor = controller(&Service::default());
    let names: Vec<_> = (0..30_000).map(|n| format!("function_{n}")).collect();
    let functions: Vec<_> = (names.iter())
        .map(|name| FirstCall {
            name,
            alias: "",
            value_type: F.value_type,
        })
        .collect();
    let resolve = |executor: &Executor, place: usize| {
        assert_eq!(place, 29_999);
        let module = load(executor, "int function_29999(void) { return 6; }");
        Ok(executor.lookup(&module, "function_29999").unwrap().address)
    };
    executor
        .define_on_first_call(SPACE, &functions, resolve)
        .unwrap();
    let bytes = image("int function_29999(void); int call(void) { return function_29999(); }");
    let options = LoadOptions {
        scope: Some(&[SPACE]),
        ..LoadOptions::default()
    };
    let image = Image::parse(&bytes).unwrap();
    let module = executor.load_with(&image, options).unwrap();
    assert_eq!(number(&executor, &module, "call"), 6);
}
