//! Functions that are bound at their first call.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock};

use farcall_loader::{Definition, Error, LazyScope, Loader, Module};
use farcall_testkit::require_tools;

use crate::common::child::{End, in_child};
use crate::common::{call, load, load_bytes, system_loader};

const USER: &str = r#"TYPE(late, "i32 (i32)") int late(int); int use(void) { return late(4); }"#;

extern "C" fn double(value: i32) -> i32 {
    2 * value
}

extern "C" fn triple(value: i32) -> i32 {
    3 * value
}

/// A loader that binds by `scope`.
fn loader(scope: &LazyScope) -> Loader {
    let mut loader = Loader::new();
    loader.bind_lazily(scope);
    loader
}

/// A scope whose handler notes what it is told, and gives `double`.
fn noting() -> (LazyScope, Arc<Mutex<Vec<String>>>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&said);
    let scope = LazyScope::with_handler(Loader::new(), move |error| {
        notes.lock().unwrap().push(error.to_string());
        Definition::function(double as extern "C" fn(i32) -> i32)
    });
    (scope, said)
}

#[test]
fn what_is_missing_is_an_error_when_it_is_called() {
    require_tools!("clang-22");
    let (scope, said) = noting();
    let user = load(&loader(&scope), "user.c", USER, &[]).unwrap();
    assert!(said.lock().unwrap().is_empty());
    assert_eq!([call(&user, "use"), call(&user, "use")], [8, 8]);
    assert_eq!(
        *said.lock().unwrap(),
        [
            "user.c: missing symbol: late, used by user.o: use (searched: the host's exports)"
                .to_owned()
        ]
    );
}

#[test]
fn definitions_and_modules_given_later_are_found_and_kept() {
    require_tools!("clang-22");
    let scope = LazyScope::new(Loader::new());
    let user = || load(&loader(&scope), "user.c", USER, &[]).unwrap();
    let users = [user(), user(), user()];
    scope.define_function("late", double as extern "C" fn(i32) -> i32);
    assert_eq!(call(&users[0], "use"), 8);
    scope.define_function("late", triple as extern "C" fn(i32) -> i32);
    // What is bound stays.
    assert_eq!([&users[0], &users[1]].map(|it| call(it, "use")), [8, 12]);

    let scope = LazyScope::new(Loader::new());
    let user = load(&loader(&scope), "user.c", USER, &[]).unwrap();
    let source = r#"TYPE(late, "i32 (i32)") int late(int x) { return x + 1; }"#;
    let late = load(&Loader::new(), "late.c", source, &[]).unwrap();
    scope.add(&late);
    let refused = late.unload().unwrap_err();
    assert_eq!(refused.importers, ["a lazy scope"]);
    assert_eq!(call(&user, "use"), 5);
    scope.remove(&refused.module);
    let refused = refused.module.unload().unwrap_err();
    assert_eq!(refused.importers, ["user.c"]);
    assert_eq!(call(&user, "use"), 5);
    user.unload().unwrap();
    refused.module.unload().unwrap();
}

#[test]
fn what_is_given_at_the_load_is_bound_then() {
    require_tools!("clang-22");
    let (scope, said) = noting();
    let mut loader = loader(&scope);
    loader.define_function("late", triple as extern "C" fn(i32) -> i32);
    let source = format!("{USER} void *taken(void) {{ return (void *)late; }}");
    let user = load(&loader, "user.c", &source, &[]).unwrap();
    assert_eq!(call(&user, "use"), 12);
    let taken = user.lookup::<unsafe extern "C" fn() -> *mut u8>("taken");
    // SAFETY: no contract.
    let taken = unsafe { taken.unwrap()() };
    assert_eq!(taken.addr(), triple as extern "C" fn(i32) -> i32 as usize);
    assert!(said.lock().unwrap().is_empty());
}

#[test]
fn variables_and_weak_imports_are_bound_at_load() {
    require_tools!("clang-22");
    let (scope, _) = noting();
    let loader = loader(&scope);
    let load = |source| load(&loader, "user.c", source, &[]);
    let missing = |source| match load(source) {
        Err(Error::Missing { symbols, .. }) => symbols[0].name.clone(),
        other => panic!("{other:?}"),
    };
    let source = r#"TYPE(no_such, "i32") extern int no_such; int f(void) { return no_such; }"#;
    assert_eq!(missing(source), "no_such");
    // What is not known to be a function: nothing calls it.
    let source = "int no_such(void); void *f(void) { return (void *)no_such; }";
    assert_eq!(missing(source), "no_such");
    let source = r#"TYPE(no_such, "i32 ()") __attribute__((weak)) int no_such(void);
        int f(void) { return no_such ? no_such() : 7; }"#;
    assert_eq!(call(&load(source).unwrap(), "f"), 7);
}

#[test]
fn the_host_and_its_libraries_are_searched_at_the_first_call() {
    require_tools!("clang-22");
    let source = r#"TYPE(cbrt, "double (double)") TYPE(atoi, "i32 (ptr)")
        double cbrt(double); int atoi(const char *);
        int root(void) { return (int)cbrt(27); } int number(void) { return atoi("12"); }"#;
    let mut rules = Loader::new();
    rules.library("libm.so.6");
    // The compiler knows what they do.
    let bytes = crate::common::image_with("user.c", source, &["-fno-builtin"]);
    let load = |scope: &LazyScope| load_bytes(&loader(scope), "user.c", &bytes, &[]).unwrap();
    let user = load(&LazyScope::new(rules));
    assert_eq!([call(&user, "number"), call(&user, "root")], [12, 3]);

    let mut rules = Loader::new();
    rules.allow_imports(|name| name != "atoi");
    let said = Arc::new(OnceLock::new());
    let note = Arc::clone(&said);
    let scope = LazyScope::with_handler(rules, move |error| {
        let _ = note.set(error.to_string());
        Definition::function(five as extern "C" fn(*const u8) -> i32)
    });
    extern "C" fn five(_: *const u8) -> i32 {
        5
    }
    assert_eq!(call(&load(&scope), "number"), 5);
    assert_eq!(
        said.get().unwrap(),
        "user.c: the host forbids this import: atoi, used by user.o: number"
    );
}

#[test]
fn another_type_is_an_error_when_it_is_called() {
    require_tools!("clang-22");
    let (scope, said) = noting();
    let user = load(&loader(&scope), "user.c", USER, &[]).unwrap();
    extern "C" fn other(value: f64) -> f64 {
        value
    }
    scope.define_function("late", other as extern "C" fn(f64) -> f64);
    assert_eq!(call(&user, "use"), 8);
    assert_eq!(
        *said.lock().unwrap(),
        [
            "user.c: late: imported as function i32 (i32), but the host's definition has function double (double), \
          used by user.o: use"
        ]
    );
}

#[test]
fn without_a_handler_the_process_says_why_it_ends() {
    require_tools!("clang-22");
    let ends = |scope: LazyScope| {
        let user = load(&loader(&scope), "user.c", USER, &[]).unwrap();
        let file = tempfile::tempfile().unwrap();
        let end = in_child(60, || {
            // SAFETY: this process's own descriptors.
            unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&file), 2) };
            call(&user, "use");
        });
        assert_eq!(end, End::Signal(libc::SIGABRT));
        let mut text = String::new();
        let mut file = file;
        std::io::Seek::rewind(&mut file).unwrap();
        std::io::Read::read_to_string(&mut file, &mut text).unwrap();
        // An emulator says that it ends, too.
        text.truncate(text.find("qemu: ").unwrap_or(text.len()));
        text
    };
    assert_eq!(
        ends(LazyScope::new(Loader::new())),
        "farcall: user.c: missing symbol: late, used by user.o: use (searched: the host's exports)\n"
    );
    extern "C" fn other() {}
    let wrong = |_: &Error| Definition::function(other as extern "C" fn());
    assert_eq!(
        ends(LazyScope::with_handler(Loader::new(), wrong)),
        "farcall: user.c: late: imported as function i32 (i32), but what was given after an error (user.c: missing \
         symbol: late, used by user.o: use (searched: the host's exports)) has function void ()\n"
    );
}

#[test]
fn eight_threads_may_call_first() {
    require_tools!("clang-22");
    for _ in 0..50 {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let scope = LazyScope::with_handler(Loader::new(), move |_| {
            // The first answer holds for all, whatever the others would say.
            match count.fetch_add(1, Ordering::Relaxed) % 2 {
                0 => Definition::function(double as extern "C" fn(i32) -> i32),
                _ => Definition::function(triple as extern "C" fn(i32) -> i32),
            }
        });
        let user = load(&loader(&scope), "user.c", USER, &[]).unwrap();
        let start = Barrier::new(8);
        let results: Vec<_> = std::thread::scope(|scope| {
            let caller = || {
                start.wait();
                call(&user, "use")
            };
            let callers: Vec<_> = (0..8).map(|_| scope.spawn(caller)).collect();
            callers.into_iter().map(|it| it.join().unwrap()).collect()
        });
        let bound = call(&user, "use");
        assert!([8, 12].contains(&bound));
        assert!(results.iter().all(|&it| it == bound), "{results:?}");
        assert!((1..=8).contains(&asked.load(Ordering::Relaxed)));
    }
}

#[test]
fn answering_may_load_and_call_what_asks() {
    require_tools!("clang-22");
    static USER_MODULE: OnceLock<Module> = OnceLock::new();
    static DEPTH: AtomicU32 = AtomicU32::new(0);
    let scope = LazyScope::with_handler(Loader::new(), |_| {
        if DEPTH.fetch_add(1, Ordering::Relaxed) == 0 {
            // The same stub, in the middle of its first call.
            assert_eq!(call(USER_MODULE.get().unwrap(), "use"), 8);
            return Definition::function(triple as extern "C" fn(i32) -> i32);
        }
        let source = "int late(int x) { return 2 * x; }";
        let module = load(&Loader::new(), "late.c", source, &[]).unwrap();
        Definition::export(&module, "late").unwrap()
    });
    let user = load(&loader(&scope), "user.c", USER, &[]).unwrap();
    let user = USER_MODULE.get_or_init(|| user);
    // The inner call was bound first.
    assert_eq!([call(user, "use"), call(user, "use")], [8, 8]);
    assert_eq!(DEPTH.load(Ordering::Relaxed), 2);
}

#[test]
fn exceptions_pass_from_what_is_called_and_from_who_is_asked() {
    require_tools!("clang-22");
    let scope = LazyScope::new(system_loader());
    let mut loader = system_loader();
    loader.bind_lazily(&scope);
    let user = r#"TYPE(throws, "i32 (i32)") extern "C" int throws(int);
        struct Cleanup { int &count; ~Cleanup() { count += 100; } };
        extern "C" int caught() {
            int count = 0;
            try { Cleanup cleanup{count}; throws(6); } catch (int value) { count += value; }
            return count;
        }"#;
    let user = load(&loader, "user.cpp", user, &[]).unwrap();
    let throws = r#"TYPE(throws, "i32 (i32)") extern "C" int throws(int value) { throw value; }"#;
    let throws = load(&system_loader(), "throws.cpp", throws, &[]).unwrap();
    scope.add(&throws);
    assert_eq!([call(&user, "caught"), call(&user, "caught")], [106, 106]);

    // A handler that panics, through C++ frames with something to clean up.
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let scope = LazyScope::with_handler(Loader::new(), |error| {
        ASKED.fetch_add(1, Ordering::Relaxed);
        std::panic::resume_unwind(Box::new(error.to_string()))
    });
    loader.bind_lazily(&scope);
    let user = r#"TYPE(late, "i32 (i32)") extern "C" int late(int); int cleaned;
        struct Cleanup { ~Cleanup() { cleaned++; } };
        extern "C" int use() { Cleanup cleanup; return late(6); }
        extern "C" int count() { return cleaned; }"#;
    let user = load(&loader, "user.cpp", user, &[]).unwrap();
    for round in 1..=2 {
        let panic = std::panic::catch_unwind(|| call(&user, "use")).unwrap_err();
        let text = panic.downcast::<String>().unwrap();
        assert!(text.starts_with("user.cpp: missing symbol: late"), "{text}");
        assert_eq!(call(&user, "count"), round);
    }
    assert_eq!(ASKED.load(Ordering::Relaxed), 2);
}

#[test]
fn images_loaded_together_bind_each_other_at_load() {
    require_tools!("clang-22");
    let (scope, said) = noting();
    let provider = r#"TYPE(late, "i32 (i32)") int late(int x) { return x - 1; }"#;
    let provider = crate::common::image("provider.c", provider);
    let user = format!(
        r#"{USER} TYPE(later, "i32 (i32)") int later(int); int use_later(void) {{ return later(5); }}"#
    );
    let user = crate::common::image("user.c", &user);
    let images = [("user.c", &*user), ("provider.c", &*provider)];
    let modules = crate::common::load_all(&loader(&scope), &images, &[]).unwrap();
    assert_eq!(call(&modules[0], "use"), 3);
    assert!(said.lock().unwrap().is_empty());
    assert_eq!(call(&modules[0], "use_later"), 10);
}

#[test]
fn constructors_and_destructors_may_call_first() {
    require_tools!("clang-22");
    static SAID: Mutex<Vec<i32>> = Mutex::new(Vec::new());
    extern "C" fn say(value: i32) {
        SAID.lock().unwrap().push(value);
    }
    let scope = LazyScope::new(Loader::new());
    let mut loader = loader(&scope);
    loader.define_function("say", say as extern "C" fn(i32));
    let source = r#"TYPE(early, "i32 ()") TYPE(late, "i32 ()") void say(int); int early(void); int late(void);
        __attribute__((constructor)) static void begin(void) { say(early()); }
        __attribute__((destructor)) static void end(void) { say(late()); }"#;
    let provider = "int early(void) { return 1; } int late(void) { return 2; }";
    let provider = load(&Loader::new(), "provider.c", provider, &[]).unwrap();
    scope.add(&provider);
    let user = load(&loader, "user.c", source, &[]).unwrap();
    scope.remove(&provider);
    let refused = provider.unload().unwrap_err();
    assert_eq!(refused.importers, ["user.c"]);
    scope.add(&refused.module);
    user.unload().unwrap();
    assert_eq!(*SAID.lock().unwrap(), [1, 2]);
    scope.remove(&refused.module);
    refused.module.unload().unwrap();
}
