//! What the tests of sessions share.

#![allow(dead_code, reason = "each test file uses a part")]

use farcall_session::{Function, Session};

/// A session with the usual options.
pub(crate) fn session() -> Session {
    // SAFETY: the tests add what is written in them.
    unsafe { Session::new() }
}

/// Calls a function without arguments.
pub(crate) fn call(function: &Function<unsafe extern "C" fn() -> i32>) -> i32 {
    // SAFETY: the tests' functions want nothing of their callers.
    unsafe { function() }
}

/// Looks a function up and calls it.
pub(crate) fn run(session: &Session, name: &str) -> i32 {
    call(&session.lookup(name).unwrap())
}

/// A module whose function `name` gives what its `body` computes.
pub(crate) fn function(name: &str, body: &str) -> Vec<u8> {
    format!("define i32 @{name}() {{\n{body}\n}}\n").into_bytes()
}

/// A module whose function `name` gives a number.
pub(crate) fn constant(name: &str, value: i32) -> Vec<u8> {
    function(name, &format!("ret i32 {value}"))
}

/// A module whose function `name` adds `plus` to what `callee`, which it does not define, gives.
pub(crate) fn caller(name: &str, callee: &str, plus: i32) -> Vec<u8> {
    let body = format!("%v = call i32 @{callee}()\n%r = add i32 %v, {plus}\nret i32 %r");
    let mut module = function(name, &body);
    module.extend(format!("declare i32 @{callee}()\n").as_bytes());
    module
}
