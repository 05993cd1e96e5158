//! Functions that are closures: how they are bound, what they may do, and how long they stay.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use farcall_image::Image;
use farcall_loader::callback::Argument;
use farcall_loader::invoke::{self, Value};
use farcall_loader::{
    Definition, ImportBinding, LazyScope, Loader, Module, Redirect, TrustedImage,
};
use farcall_testkit::require_tools;

use crate::common::{call, image, load, load_bytes, system_loader};

/// A callback whose arguments and result are integers.
fn callback(
    signature: &str,
    closure: impl Fn(&[i64]) -> i64 + Send + Sync + 'static,
) -> Definition {
    let call = move |arguments: &[Argument]| {
        let integers = arguments.iter().map(|argument| match *argument {
            Argument::Int(value) | Argument::Pointer(value) => value.cast_signed(),
            _ => panic!("{argument:?}"),
        });
        let value = closure(&integers.collect::<Vec<_>>()).cast_unsigned();
        Value::Int { bits: 64, value }
    };
    Definition::callback(signature.parse().unwrap(), call).unwrap()
}

/// A loader that defines one callback.
fn loader(name: &str, definition: &Definition) -> Loader {
    let mut loader = Loader::new();
    loader.define(name, definition.clone());
    loader
}

/// Calls a function of an image's, that takes and gives an `int` or a `long`.
fn call_function(address: i64, argument: i64) -> i64 {
    let address = usize::try_from(address).unwrap();
    let address = std::ptr::with_exposed_provenance::<()>(address);
    // SAFETY: the tests' images pass such functions of theirs, which have no other contract.
    let function = unsafe {
        std::mem::transmute::<*const (), unsafe extern "C-unwind" fn(i64) -> i64>(address)
    };
    // SAFETY: as above.
    unsafe { function(argument) }
}

const TWICE: &str =
    r#"TYPE(twice, "i32 (i32)") int twice(int); int use(void) { return twice(-4); }"#;

#[test]
fn an_import_must_have_the_type_of_its_callback() {
    require_tools!("clang-22");
    let twice = callback("i32 (i32)", |arguments| 2 * arguments[0]);
    let module = load(&loader("twice", &twice), "user.c", TWICE, &[]).unwrap();
    assert_eq!(call(&module, "use"), -8);
    let wide = callback("i32 (i64)", |arguments| 2 * arguments[0]);
    let error = load(&loader("twice", &wide), "user.c", TWICE, &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "user.c: twice: imported as function i32 (i32), but the host's definition (a callback) has function i32 (i64), \
         used by user.o: use"
    );
    // As a function of the host's own.
    type Twice = unsafe extern "C-unwind" fn(i32) -> i32;
    let function = twice.as_function::<Twice>("twice").unwrap();
    // SAFETY: the callback has this type and no contract.
    assert_eq!(unsafe { function(8) }, 16);
    let error = wide.as_function::<Twice>("twice").unwrap_err();
    assert_eq!(
        error.to_string(),
        "a callback: twice is function i32 (i64), not function i32 (i32)"
    );
}

#[test]
fn callbacks_are_bound_as_other_definitions_are() {
    require_tools!("clang-22");
    let twice = callback("i32 (i32)", |arguments| 2 * arguments[0]);
    // At a first call.
    let scope = LazyScope::new(Loader::new());
    let mut lazy = Loader::new();
    lazy.bind_lazily(&scope);
    let user = load(&lazy, "user.c", TWICE, &[]).unwrap();
    scope.define("twice", twice.clone());
    assert_eq!([call(&user, "use"), call(&user, "use")], [-8, -8]);
    // What it was bound to stays.
    scope.define("twice", Definition::absolute(0));
    drop(scope);
    drop(lazy);
    drop(twice);
    assert_eq!(call(&user, "use"), -8);

    // One by one.
    let bytes = image("user.c", TWICE);
    // SAFETY: the test has made it.
    let trusted = unsafe { TrustedImage::assume_trusted(Image::parse(&bytes).unwrap()) };
    let thrice = callback("i32 (i32)", |arguments| 3 * arguments[0]);
    let mut modules = Vec::new();
    let bind = |_: usize, _: &[u8]| Some(ImportBinding::To(thrice.clone()));
    let loaded = Loader::new().load_bound(&[&trusted], &bind, |all| modules = all);
    loaded.unwrap();
    assert_eq!(call(&modules[0], "use"), -12);

    // Behind a redirect, which keeps it.
    let provider = r#"TYPE(twice, "i32 (i32)") int twice(int it) { return it; }"#;
    let provider = load(&Loader::new(), "provider.c", provider, &[]).unwrap();
    let redirect = Redirect::new(&provider, "twice").unwrap();
    let user = load(
        &loader("twice", &redirect.definition()),
        "user.c",
        TWICE,
        &[],
    )
    .unwrap();
    assert_eq!(call(&user, "use"), -4);
    let replaced = redirect.lead_to(&thrice).unwrap();
    assert_eq!(replaced.name(), "provider.c");
    drop(thrice);
    assert_eq!(call(&user, "use"), -12);
    let replaced = redirect.replace(&provider).unwrap();
    assert_eq!(replaced.name(), "a callback");
    assert_eq!(call(&user, "use"), -4);
}

#[test]
fn a_caller_without_a_prototype_calls_a_callback() {
    require_tools!("clang-22");
    let digits = Definition::callback("i32 (i32, double)".parse().unwrap(), |arguments| {
        let [Argument::Int(a), Argument::Double(b)] = *arguments else {
            panic!("{arguments:?}");
        };
        assert_eq!(b, 0.5);
        Value::Int { bits: 32, value: a }
    });
    let source =
        r#"TYPE(digits, "i32 (...)") int digits(); int use(void) { return digits(7, 0.5); }"#;
    let bytes = crate::common::image_with(
        "user.c",
        source,
        &["-std=c17", "-Wno-deprecated-non-prototype"],
    );
    let module = load_bytes(&loader("digits", &digits.unwrap()), "user.c", &bytes, &[]).unwrap();
    assert_eq!(call(&module, "use"), 7);
}

#[test]
fn data_holds_the_address_of_a_callback() {
    require_tools!("clang-22");
    let twice = callback("i32 (i32)", |arguments| 2 * arguments[0]);
    let source = r#"int twice(int);
        int (*variable)(int) = twice; static int (*const table[])(int) = {0, twice};
        int use(void) { return variable(3) * 100 + table[1](4); }
        int (*address(void))(int) { return variable == table[1] && variable == twice ? variable : 0; }"#;
    let one = load(&loader("twice", &twice), "one.c", source, &[]).unwrap();
    let other = load(&loader("twice", &twice), "other.c", source, &[]).unwrap();
    assert_eq!(call(&one, "use"), 608);
    let address = |module: &Module| {
        let signature = "ptr ()".parse().unwrap();
        // SAFETY: the function has this type and no contract.
        unsafe { module.invoke("address", &signature, &mut []) }.unwrap()
    };
    let own = twice.address("twice").unwrap().expose_provenance() as u64;
    assert_eq!([address(&one), address(&other)], [Value::Pointer(own); 2]);
}

/// Says when it is dropped.
struct Counted(Arc<AtomicU64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_module_keeps_the_callbacks_that_it_is_bound_to() {
    require_tools!("clang-22");
    let drops = Arc::new(AtomicU64::new(0));
    let count = || drops.load(Ordering::Relaxed);
    // Its destructor calls too.
    let source = r#"int twice(int); int use(void) { return twice(5); }
        __attribute__((destructor)) static void end(void) { twice(6); }"#;
    let calls = Arc::new(AtomicU64::new(0));
    let (counted, called) = (Counted(Arc::clone(&drops)), Arc::clone(&calls));
    let twice = callback("i32 (i32)", move |arguments| {
        let _ = &counted;
        called.fetch_add(1, Ordering::Relaxed);
        2 * arguments[0]
    });
    let first = load(&loader("twice", &twice), "first.c", source, &[]).unwrap();
    let second = load(&loader("twice", &twice), "second.c", source, &[]).unwrap();
    drop(twice);
    assert_eq!([call(&first, "use"), call(&second, "use")], [10, 10]);
    first.unload().unwrap();
    assert_eq!((calls.load(Ordering::Relaxed), count()), (3, 0));
    drop(second);
    assert_eq!((calls.load(Ordering::Relaxed), count()), (4, 1));

    // Each of several, bound at the load or at a first call.
    let source = "int one(void), two(void); int use(void) { return one() * 10 + two(); }";
    for is_lazy in [false, true] {
        let before = count();
        let mut host = Loader::new();
        for (name, value) in [("one", 1), ("two", 2)] {
            let counted = Counted(Arc::clone(&drops));
            let give = callback("i32 ()", move |_| {
                let _ = &counted;
                value
            });
            host.define(name, give);
        }
        let module = match is_lazy {
            false => {
                let module = load(&host, "several.c", source, &[]).unwrap();
                drop(host);
                module
            }
            true => {
                let scope = LazyScope::new(host);
                let mut lazy = Loader::new();
                lazy.bind_lazily(&scope);
                let module = load(&lazy, "several.c", source, &[]).unwrap();
                assert_eq!(call(&module, "use"), 12);
                for name in ["one", "two"] {
                    scope.define(name, Definition::absolute(0));
                }
                module
            }
        };
        assert_eq!((call(&module, "use"), count()), (12, before));
        drop(module);
        assert_eq!(count(), before + 2);
    }

    // A load that fails keeps nothing.
    let counted = Counted(Arc::clone(&drops));
    let twice = callback("i32 (i32)", move |_| {
        let _ = &counted;
        0
    });
    let missing = "int twice(int), missing(void); int use(void) { return twice(missing()); }";
    let error = load(&loader("twice", &twice), "missing.c", missing, &[]).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    drop(twice);
    assert_eq!(count(), 6);
}

#[test]
fn a_closure_may_keep_another_module() {
    require_tools!("clang-22");
    let provider = r#"TYPE(seven, "i32 ()") int seven(void) { return 7; }
        extern int ended; __attribute__((destructor)) static void end(void) { ended++; }"#;
    let mut ended = 0_i32;
    let mut host = Loader::new();
    // SAFETY: the variable is there, and an `int`.
    host.define("ended", unsafe {
        Definition::data_at((&raw mut ended).cast())
    });
    // A chain of modules, each kept by the closure that the next one calls.
    let mut module = load(&host, "provider.c", provider, &[]).unwrap();
    let source = r#"TYPE(seven, "i32 ()") int seven(void); TYPE(next, "i32 ()") int next(void);
        int seven(void) { return next(); }"#;
    let bytes = image("link.c", source);
    for _ in 0..100 {
        let next = callback("i32 ()", move |_| i64::from(call(&module, "seven")));
        module = load_bytes(&loader("next", &next), "link.c", &bytes, &[]).unwrap();
    }
    assert_eq!(call(&module, "seven"), 7);
    drop(module);
    // SAFETY: the destructor has written to it.
    assert_eq!(unsafe { (&raw const ended).read_volatile() }, 1);
}

#[test]
fn a_callback_calls_itself_through_its_caller() {
    require_tools!("clang-22");
    let times = callback("i64 (ptr, i64, i64)", |arguments| {
        let [function, n, factor] = *arguments else {
            panic!("{arguments:?}");
        };
        factor * call_function(function, n)
    });
    let source = r#"TYPE(times, "i64 (ptr, i64, i64)") long times(long (*)(long), long, long);
        long factorial(long n) { return n < 2 ? 1 : times(factorial, n - 1, n); }
        long depth(long n) { return n == 0 ? 0 : times(depth, n - 1, 1) + 1; }
        int use(void) { return factorial(12) == 479001600 && depth(1000) == 1000; }"#;
    let module = load(&loader("times", &times), "user.c", source, &[]).unwrap();
    assert_eq!(call(&module, "use"), 1);
}

#[test]
fn a_closure_may_load_and_unload_and_make_callbacks() {
    require_tools!("clang-22");
    let bytes = image("user.c", TWICE);
    let total = Arc::new(Mutex::new(0));
    let sum = Arc::clone(&total);
    let twice = callback("i32 (i32)", move |arguments| {
        let mut total = sum.lock().unwrap();
        let given = arguments[0];
        let other = callback("i32 (i32)", move |arguments| arguments[0] + given);
        let module = load_bytes(&loader("twice", &other), "inner.c", &bytes, &[]).unwrap();
        let result = i64::from(call(&module, "use"));
        module.unload().unwrap();
        *total += result;
        result
    });
    let module = load(&loader("twice", &twice), "user.c", TWICE, &[]).unwrap();
    assert_eq!([call(&module, "use"), call(&module, "use")], [-8, -8]);
    assert_eq!(*total.lock().unwrap(), -16);
}

#[test]
fn errno_is_left_to_the_closure() {
    require_tools!("clang-22");
    let close = callback("i32 (i32)", |arguments| {
        let descriptor = i32::try_from(arguments[0]).unwrap();
        match descriptor {
            0 => 0,
            // SAFETY: a descriptor that is not open.
            _ => i64::from(unsafe { libc::close(descriptor) }),
        }
    });
    let mut loader = system_loader();
    loader.define("ask", close);
    let source = r#"#include <errno.h>
        int ask(int);
        int use(void) { errno = 77; ask(0); int kept = errno; return ask(-1) == -1 && kept == 77 && errno == EBADF; }"#;
    let module = load(&loader, "user.c", source, &[]).unwrap();
    assert_eq!(call(&module, "use"), 1);
}

#[test]
fn eight_threads_call_a_callback() {
    require_tools!("clang-22");
    const CALLS: u64 = 10_000;
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    // Arguments in registers of both kinds and on the stack.
    let signature = "i64 (i64, double, i64, i64, i64, i64, i64, i64, i64, i64)";
    let mix = Definition::callback(signature.parse().unwrap(), move |arguments| {
        counted.fetch_add(1, Ordering::Relaxed);
        let mut value = 0_u64;
        for argument in arguments {
            let word = match *argument {
                Argument::Int(word) => word,
                Argument::Double(double) => double.to_bits(),
                _ => panic!("{argument:?}"),
            };
            value = value.wrapping_mul(31).wrapping_add(word);
        }
        Value::Int { bits: 64, value }
    });
    let source = r#"#include <string.h>
        long mix(long, double, long, long, long, long, long, long, long, long);
        long many(long thread, long count) {
            long right = 0;
            for (long i = 0; i < count; i++) {
                double real = thread * 0.5 + i;
                unsigned long value = thread, words[] = {0, i, i + 1, i + 2, i + 3, i + 4, i + 5, i + 6, -i};
                __builtin_memcpy(words, &real, 8);
                for (int k = 0; k < 9; k++) value = value * 31 + words[k];
                right += mix(thread, real, i, i + 1, i + 2, i + 3, i + 4, i + 5, i + 6, -i) == (long)value;
            }
            return right;
        }"#;
    let module = load(&loader("mix", &mix.unwrap()), "many.c", source, &[]).unwrap();
    let many = module.lookup::<unsafe extern "C" fn(u64, u64) -> u64>("many");
    let many = *many.unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            // SAFETY: the function has this type and no contract.
            scope.spawn(move || assert_eq!(unsafe { many(thread, CALLS) }, CALLS));
        }
    });
    assert_eq!(calls.load(Ordering::Relaxed), 8 * CALLS);
}

/// C++ that calls `act`, and whose frames say when they are left.
const GUARDED: &str = r#"
    TYPE(act, "i32 (ptr, i32)") extern "C" int act(int (*)(int), int);
    static int left;
    struct Guard { ~Guard() { left++; } };
    static int thrower(int value) { Guard guard; if (value > 0) throw value; return value; }
    extern "C" int through(int value) { Guard guard; return act(thrower, value); }
    extern "C" int caught(int value) {
        try { return through(value); } catch (int thrown) { return 1000 + thrown; }
    }
    extern "C" int caught_any(int value) { try { return through(value); } catch (...) { return 2000; } }
    extern "C" int again(int value) { try { return through(value); } catch (...) { left += 100; throw; } }
    extern "C" int leavings() { int it = left; left = 0; return it; }
"#;

/// Throws by the image's own function, or panics when it is given a negative number.
fn guarded() -> Module {
    let mut loader = system_loader();
    let act = callback("i32 (ptr, i32)", |arguments| {
        let [function, value] = *arguments else {
            panic!("{arguments:?}");
        };
        assert!(value >= 0, "negative: {value}");
        // Something to be dropped when an exception passes.
        let values = vec![value];
        let result = call_function(function, values[0]);
        drop(values);
        result
    });
    loader.define("act", act);
    load(&loader, "guarded.cpp", GUARDED, &[]).unwrap()
}

fn invoke(module: &Module, name: &str, value: i32) -> farcall_loader::Result<i32> {
    let signature = "i32 (i32)".parse().unwrap();
    let mut arguments = [invoke::Argument::Int(i64::from(value).cast_unsigned())];
    // SAFETY: the functions have this type and no contract.
    match unsafe { module.invoke(name, &signature, &mut arguments) }? {
        Value::Int { value, .. } => Ok(u32::try_from(value).unwrap().cast_signed()),
        value => panic!("{value:?}"),
    }
}

#[test]
fn exceptions_pass_through_a_callback() {
    require_tools!("clang-22");
    let module = guarded();
    for _ in 0..3 {
        assert_eq!(invoke(&module, "caught", 0).unwrap(), 0);
        assert_eq!(invoke(&module, "caught", 5).unwrap(), 1005);
        assert_eq!(invoke(&module, "caught_any", 5).unwrap(), 2000);
        let error = invoke(&module, "again", 5).unwrap_err().to_string();
        assert_eq!(error, "guarded.cpp: again: threw int, which nothing caught");
        assert_eq!(call(&module, "leavings"), 108);
    }
}

#[test]
fn a_panic_leaves_a_callback_through_its_caller() {
    require_tools!("clang-22");
    let module = guarded();
    for name in ["through", "again", "through"] {
        let panic = catch_unwind(AssertUnwindSafe(|| invoke(&module, name, -3)));
        let panic = panic.unwrap_err();
        assert_eq!(*panic.downcast_ref::<String>().unwrap(), "negative: -3");
    }
    assert_eq!(call(&module, "leavings"), 103);
    // Not by C++ that looks for its own.
    let panic = catch_unwind(AssertUnwindSafe(|| invoke(&module, "caught", -4)));
    assert_eq!(
        *panic.unwrap_err().downcast_ref::<String>().unwrap(),
        "negative: -4"
    );
    assert_eq!(call(&module, "leavings"), 1);
    assert_eq!(invoke(&module, "caught", 5).unwrap(), 1005);
}

#[test]
fn a_result_of_another_kind_is_a_panic() {
    require_tools!("clang-22");
    let wrong = Definition::callback("i32 (i32)".parse().unwrap(), |_| Value::Double(1.5));
    let module = load(&loader("twice", &wrong.unwrap()), "user.c", TWICE, &[]).unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| call(&module, "use")));
    let message = panic.unwrap_err();
    let message = message.downcast_ref::<String>().unwrap();
    assert_eq!(
        message,
        "a callback of type i32 (i32): its closure gave Double(1.5)"
    );
}

#[test]
fn places_of_stubs_are_used_again() {
    require_tools!("clang-22");
    let bytes = image("user.c", TWICE);
    let mut addresses = std::collections::BTreeSet::new();
    for round in 0..10_000 {
        let twice = callback("i32 (i32)", move |_| round);
        addresses.insert(twice.address("twice").unwrap().addr());
        if round % 1000 == 0 {
            let module = load_bytes(&loader("twice", &twice), "user.c", &bytes, &[]).unwrap();
            assert_eq!(i64::from(call(&module, "use")), round);
        }
    }
    // Other tests take some at the same time.
    assert!(addresses.len() < 5_000, "{}", addresses.len());
}
