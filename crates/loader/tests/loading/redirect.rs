//! Functions that are replaced while threads call them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use farcall_loader::{Error, Loader, Module, Redirect};
use farcall_testkit::require_tools;

use crate::common::child::n_mappings;
use crate::common::{call, image, load, load_bytes};

type Scale = unsafe extern "C" fn(i32) -> i32;

/// A module whose `scale(x)` is `x * version`, by way of memory of its own.
fn version(version: i32) -> Module {
    let source = format!(
        r#"TYPE(scale, "i32 (i32)") static volatile int factor = {version};
           int scale(int x) {{ return x * factor; }}"#
    );
    load(&Loader::new(), &format!("v{version}.c"), &source, &[]).unwrap()
}

/// A loader for which `scale` is this redirect.
fn loader(redirect: &Redirect) -> Loader {
    let mut loader = Loader::new();
    loader.define("scale", redirect.definition());
    loader
}

const USER: &str = r#"TYPE(scale, "i32 (i32)") int scale(int);
    int use(void) { return scale(10); }
    int (*pointer)(int) = scale;
    void *taken(void) { return (void *)scale; }
    int by_pointer(void) { return pointer(100); }"#;

#[test]
fn calls_of_eight_threads_go_to_one_version_or_the_other() {
    require_tools!("clang-22");
    let versions = [version(3), version(5)];
    let redirect = Redirect::new(&versions[0], "scale").unwrap();
    let user = load(&loader(&redirect), "user.c", USER, &[]).unwrap();
    let stop = AtomicBool::new(false);
    let seen: Vec<HashSet<i32>> = std::thread::scope(|scope| {
        let caller = || {
            let mut seen = HashSet::new();
            while !stop.load(Ordering::Relaxed) {
                seen.insert(call(&user, "use"));
            }
            seen
        };
        let callers: Vec<_> = (0..8).map(|_| scope.spawn(caller)).collect();
        for round in 0..20_000 {
            // Both versions stay, so that what comes back need not be kept.
            drop(redirect.replace(&versions[1 - round % 2]).unwrap());
        }
        drop(redirect.replace(&versions[1]).unwrap());
        stop.store(true, Ordering::Relaxed);
        callers.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let seen: HashSet<i32> = seen.into_iter().flatten().collect();
    assert!(seen.is_subset(&HashSet::from([30, 50])), "{seen:?}");
    assert_eq!(call(&user, "use"), 50);
}

#[test]
fn many_versions_live_at_once_and_go_when_nothing_leads_there() {
    require_tools!("clang-22");
    let first = version(1);
    let redirect = Redirect::new(&first, "scale").unwrap();
    let user = load(&loader(&redirect), "user.c", USER, &[]).unwrap();
    let mut old = Vec::new();
    for number in 2..10 {
        // The redirect keeps each, and what it gives back keeps the one before.
        old.push(redirect.replace(&version(number)).unwrap());
        assert_eq!(call(&user, "use"), 10 * number);
    }
    let names: Vec<_> = old.iter().map(|it| it.name().to_owned()).collect();
    assert_eq!(names[..2], ["v1.c", "v2.c"]);
    drop(old);
    first.unload().unwrap();
    assert_eq!(call(&user, "by_pointer"), 900);
}

#[test]
fn a_function_has_one_address_whatever_it_leads_to() {
    require_tools!("clang-22");
    let versions = [version(3), version(5)];
    let redirect = Redirect::new(&versions[0], "scale").unwrap();
    let loader = loader(&redirect);
    let users = ["a.c", "b.c"].map(|name| load(&loader, name, USER, &[]).unwrap());
    let taken = |module: &Module| {
        let taken = module.lookup::<unsafe extern "C" fn() -> *mut u8>("taken");
        // SAFETY: no contract.
        unsafe { taken.unwrap()() }.cast()
    };
    let scale = redirect.lookup::<Scale>().unwrap();
    for (version, factor) in [(&versions[1], 5), (&versions[0], 3)] {
        drop(redirect.replace(version).unwrap());
        for user in &users {
            assert_eq!(taken(user), redirect.address());
            assert_eq!(call(user, "by_pointer"), 100 * factor);
        }
        assert_eq!(*scale as usize, redirect.address().addr());
        // SAFETY: no contract.
        assert_eq!(unsafe { scale(2) }, 2 * factor);
    }
    assert_ne!(redirect.address(), versions[0].address("scale").unwrap());
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    require_tools!("clang-22");
    let first = version(3);
    let redirect = Redirect::new(&first, "scale").unwrap();
    let load = |name, source| load(&Loader::new(), name, source, &[]).unwrap();
    let error = |result: Result<_, Error>| match result {
        Ok(()) => panic!("taken"),
        Err(error) => error.to_string(),
    };
    let replace = |module: &Module| error(redirect.replace(module).map(drop));
    let other = load(
        "other.c",
        r#"TYPE(scale, "double (double)") double scale(double x) { return x; }"#,
    );
    assert_eq!(
        replace(&other),
        "other.c: scale is function double (double), not function i32 (i32)"
    );
    other.unload().unwrap();
    let variable = load("variable.c", "int scale = 1; __thread int own;");
    assert_eq!(
        replace(&variable),
        "variable.c: scale is a variable, not a function"
    );
    let new = |name| error(Redirect::new(&variable, name).map(drop));
    assert_eq!(
        new("scale"),
        "variable.c: scale is a variable, not a function"
    );
    assert_eq!(
        new("own"),
        "variable.c: own is a thread-local variable, not a function"
    );
    assert_eq!(
        new("scal"),
        "variable.c: no export is named scal; similar: scale"
    );
    type Wrong = unsafe extern "C" fn(f64) -> i32;
    assert_eq!(
        error(redirect.lookup::<Wrong>().map(drop)),
        "v3.c: scale is function i32 (i32), not function i32 (double)"
    );
    let user = r#"TYPE(scale, "void (ptr)") void scale(void *); void f(void) { scale(0); }"#;
    let refused = crate::common::load(&loader(&redirect), "user.c", user, &[]);
    assert_eq!(
        error(refused.map(drop)),
        "user.c: scale: imported as function void (ptr), but the host's definition (a redirect of scale) has \
         function i32 (i32), used by user.o: f"
    );
    let scale = redirect.lookup::<Scale>().unwrap();
    // SAFETY: no contract.
    assert_eq!(unsafe { scale(2) }, 6);
}

#[test]
fn who_leads_where_and_who_imports_is_known() {
    require_tools!("clang-22");
    let (first, second) = (version(3), version(5));
    let redirect = Redirect::new(&first, "scale").unwrap();
    let refused = first.unload().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "v3.c: in use: imported by a redirect of scale"
    );
    let old = redirect.replace(&second).unwrap();
    let refused = refused.module.unload().unwrap_err();
    drop(old);
    refused.module.unload().unwrap();

    let loader = loader(&redirect);
    let user = load(&loader, "user.c", USER, &[]).unwrap();
    let refused = redirect.end().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "a redirect of scale: in use: imported by a definition of scale, user.c"
    );
    drop(loader);
    let refused = refused.redirect.end().unwrap_err();
    assert_eq!(refused.importers, ["user.c"]);
    // Dropped, it is left to the one that imports it, and goes on.
    drop(refused);
    assert_eq!(call(&user, "use"), 50);
    let refused = second.unload().unwrap_err();
    user.unload().unwrap();
    refused.module.unload().unwrap();
}

#[test]
fn a_redirect_that_ends_gives_back_what_it_led_to() {
    require_tools!("clang-22");
    let first = version(3);
    let redirect = Redirect::new(&first, "scale").unwrap();
    let user = load(&loader(&redirect), "user.c", USER, &[]).unwrap();
    user.unload().unwrap();
    let old = redirect.end().unwrap();
    assert_eq!(old.name(), "v3.c");
    let refused = first.unload().unwrap_err();
    drop(old);
    refused.module.unload().unwrap();
}

#[test]
fn ten_thousand_redirects_take_few_mappings_and_their_places_are_used_again() {
    require_tools!("clang-22");
    let versions = [version(3), version(5)];
    let make = || -> Vec<Redirect> {
        let new = |number: usize| Redirect::new(&versions[number % 2], "scale").unwrap();
        (0..10_000).map(new).collect()
    };
    let check = |redirects: &[Redirect]| {
        for (number, redirect) in redirects.iter().enumerate() {
            let scale = redirect.lookup::<Scale>().unwrap();
            // SAFETY: no contract.
            assert_eq!(unsafe { scale(1) }, [3, 5][number % 2]);
        }
    };
    let addresses = |redirects: &[Redirect]| -> HashSet<usize> {
        redirects.iter().map(|it| it.address().addr()).collect()
    };
    let before = n_mappings();
    let redirects = make();
    // Other tests have mappings too.
    assert!(n_mappings() < before + 500);
    check(&redirects);
    for (number, redirect) in redirects.iter().enumerate() {
        drop(redirect.replace(&versions[1 - number % 2]).unwrap());
    }
    let taken = addresses(&redirects);
    assert_eq!(taken.len(), 10_000);
    drop(redirects);
    let redirects = make();
    check(&redirects);
    // Other tests take some places and give others back.
    assert!(addresses(&redirects).intersection(&taken).count() > 5_000);
}

#[test]
fn a_long_chain_of_redirects_is_dropped_without_recursion() {
    require_tools!("clang-22");
    let bytes = image(
        "link.c",
        r#"TYPE(inner, "i32 (i32)") TYPE(scale, "i32 (i32)") int inner(int);
           int scale(int x) { return inner(x) + 1; }"#,
    );
    let mut last = Redirect::new(&version(1), "scale").unwrap();
    for _ in 0..3000 {
        let mut loader = Loader::new();
        loader.define("inner", last.definition());
        let module = load_bytes(&loader, "link", &bytes, &[]).unwrap();
        last = Redirect::new(&module, "scale").unwrap();
    }
    // SAFETY: no contract.
    assert_eq!(unsafe { last.lookup::<Scale>().unwrap()(1) }, 3001);
    let dropping = std::thread::Builder::new().stack_size(64 << 10);
    let dropping = dropping.spawn(move || drop(last)).unwrap();
    dropping.join().unwrap();
}
