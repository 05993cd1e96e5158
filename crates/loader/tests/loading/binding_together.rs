//! Images that are loaded together.

use std::sync::{Barrier, Mutex};

use farcall_loader::{Error, Loader, Module};
use farcall_testkit::{require_tools, tools};

use crate::common::{
    call, image, image_with, images_like, load, load_all, load_bytes, system_loader,
};

/// What images said, by test.
static SAID: Mutex<Vec<(i32, i32)>> = Mutex::new(Vec::new());

extern "C" fn say(test: i32, what: i32) {
    SAID.lock().unwrap().push((test, what));
}

fn said(test: i32) -> Vec<i32> {
    let said = SAID.lock().unwrap();
    let own = said.iter().filter(|it| it.0 == test);
    own.map(|it| it.1).collect()
}

fn loader() -> Loader {
    let mut loader = system_loader();
    loader.define_function("say", say as extern "C" fn(i32, i32));
    loader
}

fn load_sources(loader: &Loader, sources: &[(&str, &str)]) -> Result<Vec<Module>, Error> {
    let images: Vec<_> = (sources.iter())
        .map(|(name, source)| (*name, image(name, source)))
        .collect();
    let images: Vec<_> = images.iter().map(|(name, it)| (*name, &it[..])).collect();
    load_all(loader, &images, &[])
}

/// The members of a circle of two; `say` numbers them 1 and 2.
const CIRCLE: [(&str, &str); 2] = [
    (
        "even.c",
        "void say(int, int); int is_odd(int); extern int odd_count; extern __thread int odd_mine;
         int even_count; __thread int even_mine = 30;
         int is_even(int n) { even_count++; return n == 0 ? 1 : is_odd(n - 1); }
         int test_even(void) { int is = is_even(10); return is * 1000 + odd_count * 100 + odd_mine; }
         __attribute__((constructor)) static void start(void) { say(TEST, 1); }
         __attribute__((destructor)) static void end(void) { say(TEST, is_odd(3) ? -1 : 99); }",
    ),
    (
        "odd.c",
        "void say(int, int); int is_even(int); extern int even_count; extern __thread int even_mine;
         int odd_count; __thread int odd_mine = 7;
         int is_odd(int n) { odd_count++; return n == 0 ? 0 : is_even(n - 1); }
         int test_odd(void) { int is = is_odd(7); return is * 1000 + even_count * 100 + even_mine; }
         __attribute__((constructor)) static void start(void) { say(TEST, 2); }
         __attribute__((destructor)) static void end(void) { say(TEST, is_even(4) ? -2 : 99); }",
    ),
];

/// Loads the circle for a test that hears what its members say.
fn load_circle(test: i32) -> (Module, Module) {
    let sources = CIRCLE.map(|(name, source)| (name, source.replace("TEST", &test.to_string())));
    let sources = sources
        .each_ref()
        .map(|(name, source)| (*name, &source[..]));
    let mut modules = load_sources(&loader(), &sources).unwrap().into_iter();
    let (even, odd) = (modules.next().unwrap(), modules.next().unwrap());
    assert!(modules.next().is_none());
    (even, odd)
}

#[test]
fn a_circle_shares_functions_data_and_thread_local_variables() {
    require_tools!("clang-22");
    let (even, odd) = load_circle(1);
    assert_eq!(said(1), [1, 2]);
    assert_eq!(call(&even, "test_even"), 1000 + 500 + 7);
    assert_eq!(call(&odd, "test_odd"), 1000 + 1000 + 30);
}

#[test]
fn a_circle_lives_as_long_as_one_of_it_has_an_owner() {
    require_tools!("clang-22");
    let (even, odd) = load_circle(2);
    let refused = even.unload().unwrap_err();
    assert_eq!(refused.to_string(), "even.c: in use: imported by odd.c");
    drop(refused.module);
    assert_eq!(call(&odd, "test_odd") / 1000, 1);
    assert_eq!(said(2), [1, 2]);
    odd.unload().unwrap();
    // The last one started ends first, and still calls the other.
    assert_eq!(said(2), [1, 2, -2, -1]);
}

#[test]
fn a_circle_lives_as_long_as_something_imports_from_it() {
    require_tools!("clang-22");
    let (even, odd) = load_circle(3);
    let source = "int is_even(int); int user(void) { return is_even(6); }";
    let user = load(&loader(), "user.c", source, &[&odd, &even]).unwrap();
    drop(odd);
    let refused = even.unload().unwrap_err();
    assert_eq!(refused.to_string(), "even.c: in use: imported by user.c");
    drop(refused.module);
    assert_eq!(call(&user, "user"), 1);
    assert_eq!(said(3), [1, 2]);
    user.unload().unwrap();
    assert_eq!(said(3), [1, 2, -2, -1]);
}

#[test]
fn a_thread_local_object_keeps_its_circle() {
    require_tools!("clang-22");
    let sources = [
        (
            "object.cpp",
            r#"extern "C" void say(int, int); extern "C" int value();
               struct Object { int it = 6; ~Object() { say(4, it + value()); } };
               static thread_local Object object;
               extern "C" int touch() { return ++object.it; }"#,
        ),
        (
            "value.cpp",
            r#"extern "C" int touch(); extern "C" int value() { return 10; }
               extern "C" int go() { return touch(); }"#,
        ),
    ];
    let modules = load_sources(&loader(), &sources).unwrap();
    let thread = std::thread::spawn(move || {
        assert_eq!(call(&modules[1], "go"), 7);
        drop(modules);
        assert!(said(4).is_empty());
    });
    thread.join().unwrap();
    assert_eq!(said(4), [17]);
}

#[test]
fn constructors_run_in_the_order_of_imports() {
    require_tools!("clang-22");
    let source = |number: i32, provider: i32| {
        format!(
            "void say(int, int); int f{provider}(void); int f{number}(void) {{ return f{provider}(); }}
             __attribute__((constructor)) static void start(void) {{ say(5, {number}); }}
             __attribute__((destructor)) static void end(void) {{ say(5, -{number}); }}"
        )
    };
    // 1 needs 2, which needs 3 and is needed by it; those need 4.
    let base = source(4, 4);
    let sources = [
        ("1.c", source(1, 2)),
        ("2.c", source(2, 3)),
        (
            "3.c",
            source(3, 2) + "int f4(void); int g(void) { return f4(); }",
        ),
        ("4.c", base),
    ];
    let sources = sources
        .each_ref()
        .map(|(name, source)| (*name, &source[..]));
    let modules = load_sources(&loader(), &sources).unwrap();
    assert_eq!(said(5), [4, 2, 3, 1]);
    assert_eq!(
        modules.iter().map(Module::name).collect::<Vec<_>>(),
        ["1.c", "2.c", "3.c", "4.c"]
    );
    drop(modules);
    assert_eq!(said(5)[4..], [-1, -3, -2, -4]);
}

#[test]
fn an_indirect_function_of_one_is_the_same_in_the_others() {
    require_tools!("clang-22");
    let provider = "static int chosen(void) { return 8; }
        static int (*choose(void))(void) { return chosen; }
        int pick(void) __attribute__((ifunc(\"choose\"))); void *own(void) { return (void *)pick; }";
    let user = "int pick(void); void *own(void); int same(void) { return own() == (void *)pick; }
        int use_it(void) { return pick(); }";
    let modules = load_sources(&loader(), &[("user.c", user), ("provider.c", provider)]).unwrap();
    assert_eq!(call(&modules[0], "use_it"), 8);
    assert_eq!(call(&modules[0], "same"), 1);

    let in_circle = format!("{provider} int use_it(void); int back(void) {{ return use_it(); }}");
    let error = load_sources(&loader(), &[("user.c", user), ("provider.c", &in_circle)]);
    assert_eq!(
        error.unwrap_err().to_string(),
        "provider.c: it has indirect functions, and imports from an image that imports from it"
    );
}

#[test]
fn a_variable_at_one_distance_is_not_bound_in_a_circle() {
    require_tools!("clang-22");
    let provider =
        "__thread int mine = 5; int use_it(void); int back(void) { return mine + use_it(); }";
    let provider = image_with("mine.c", provider, &["-ftls-model=initial-exec"]);
    let user = "extern __thread int mine; int use_it(void) { return mine; }";
    let user = image("user.c", user);
    let error = load_all(&loader(), &[("mine.c", &provider), ("user.c", &user)], &[]);
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with("mine.c: its code uses its thread-local variables"),
        "{error}"
    );

    let alone = image_with(
        "mine.c",
        "__thread int mine = 5; int f(void) { return mine; }",
        &["-ftls-model=initial-exec"],
    );
    let modules = load_all(&loader(), &[("user.c", &user), ("mine.c", &alone)], &[]).unwrap();
    assert_eq!(call(&modules[0], "use_it"), 5);
}

#[test]
fn the_first_that_has_a_name_wins() {
    require_tools!("clang-22");
    let provider = |value: i32| format!("int f(void) {{ return {value}; }}");
    let scope = load(
        &loader(),
        "scope.c",
        "int f(void) { return 3; } int g(void) { return 4; }",
        &[],
    );
    let scope = scope.unwrap();
    let user = image(
        "user.c",
        "int f(void), g(void); int both(void) { return 10 * f() + g(); }",
    );
    let (one, two) = (image("one.c", &provider(1)), image("two.c", &provider(2)));
    let images = [("two.c", &two[..]), ("user.c", &user), ("one.c", &one)];
    let modules = load_all(&loader(), &images, &[&scope]).unwrap();
    assert_eq!(call(&modules[1], "both"), 24);
}

#[test]
fn one_missing_symbol_under_500_images_is_named_alone() {
    require_tools!("clang-22");
    let renamed = (0..500).map(|number| {
        let next = match number {
            499 => "gone".to_owned(),
            _ => format!("f{:03}", number + 1),
        };
        let symbols = vec![
            ("next".to_owned(), next),
            ("self".to_owned(), format!("f{number:03}")),
        ];
        (format!("link{number}.c"), symbols)
    });
    let source = "int next(void); int self(void) { return next(); }";
    let images = images_like(source, renamed);
    let images: Vec<_> = images
        .iter()
        .map(|(name, it)| (&name[..], &it[..]))
        .collect();
    let error = load_all(&Loader::new(), &images, &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "link499.c: missing symbol: gone, used by link499.o: f499 \
         (searched: 500 images loaded together, the host's exports)"
    );

    // With the last link the same images load, and are let go of one after the other.
    extern "C" fn gone() -> i32 {
        12
    }
    let mut loader = Loader::new();
    loader.define_function("gone", gone as extern "C" fn() -> i32);
    let mut modules = load_all(&loader, &images, &[]).unwrap();
    assert_eq!(call(&modules[0], "f000"), 12);
    modules.truncate(1);
    let last = modules.pop().unwrap();
    assert_eq!(call(&last, "f000"), 12);
    let dropping = std::thread::Builder::new().stack_size(64 << 10);
    let dropping = dropping.spawn(move || last.unload().unwrap()).unwrap();
    dropping.join().unwrap();
}

#[test]
fn a_symbol_that_many_miss_is_named_once() {
    require_tools!("clang-22");
    let source = "int gone(void); int NAME(void) { return gone(); }";
    let sources: Vec<_> = (0..12)
        .map(|number| {
            let also = if number == 3 {
                "int NAM(void); int also(void) { return NAM(); }"
            } else {
                ""
            };
            let source = format!("{source}{also}").replace("NAM", &format!("name{number}_"));
            (format!("u{number}.c"), source)
        })
        .collect();
    let sources: Vec<_> = sources
        .iter()
        .map(|(name, it)| (&name[..], &it[..]))
        .collect();
    let error = load_sources(&Loader::new(), &sources)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "u0.c: 2 missing symbols (searched: 12 images loaded together, the host's exports)\n  \
         gone, used by u0.o: name0_E, and by u1.c, u2.c, u3.c, u4.c, u5.c, u6.c, u7.c, u8.c and 3 more\n  \
         u3.c: name3_, used by u3.o: also; similar: name3_E, name0_E, name1_E"
    );
}

#[test]
fn all_are_loaded_or_none() {
    require_tools!("clang-22");
    let good =
        "void say(int, int); __attribute__((constructor)) static void start(void) { say(6, 1); }
        int f(void) { return 5; }";
    let wrong = "TYPE(f, \"i64 ()\") long f(void); long g(void) { return f(); }";
    let typed = format!("TYPE(f, \"i32 ()\") {good}");
    let sources = [("good.c", &typed[..]), ("wrong.c", wrong)];
    let error = load_sources(&loader(), &sources).unwrap_err();
    assert_eq!(
        error.to_string(),
        "wrong.c: f: imported as function i64 (), but good.c has function i32 (), used by wrong.o: g"
    );
    assert!(said(6).is_empty());
    let modules = load_sources(&loader(), &sources[..1]).unwrap();
    assert_eq!(said(6), [1]);
    assert_eq!(call(&modules[0], "f"), 5);
    // What cannot be bound only shows after others are published.
    let table = "int f(void); int g(void) { return f(); }
        __attribute__((section(\".init_array\"), used)) static long table[] = { 0x1234 };";
    let error = load_sources(&loader(), &[("table.c", table), ("good.c", &typed)]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("table.c: entry 0 of the constructor table")
    );
    assert_eq!(said(6), [1]);
}

#[test]
fn ten_thousand_modules_that_import_from_one_come_and_go() {
    require_tools!("clang-22");
    let loader = Loader::new();
    let runtime = load(&loader, "runtime.c", "int runtime(void) { return 4; }", &[]).unwrap();
    let user = image(
        "user.c",
        "int runtime(void); int user(void) { return runtime(); }",
    );
    let count = tools::rounds(10_000);
    let modules: Vec<_> = (0..count)
        .map(|number| load_bytes(&loader, &format!("user{number}"), &user, &[&runtime]).unwrap())
        .collect();
    assert_eq!(call(&modules[count - 1], "user"), 4);
    let refused = runtime.unload().unwrap_err();
    assert_eq!(refused.importers.len(), count);
    let mut first: Vec<_> = (0..count).map(|number| format!("user{number}")).collect();
    first.sort();
    first.truncate(8);
    assert_eq!(
        refused.to_string(),
        format!(
            "runtime.c: in use: imported by {} and {} more",
            first.join(", "),
            count - 8
        )
    );
    drop(modules);
    refused.module.unload().unwrap();
}

#[test]
fn aliases_and_absolute_symbols_pass_between_images() {
    require_tools!("clang-22");
    let provider = "int one(void) { return 1; } int same(void) __attribute__((alias(\"one\")));
        int variable = 5; extern int other __attribute__((alias(\"variable\")));
        __asm__(\".globl forty\\n.set forty, 40\"); int back(void); int go(void) { return back(); }";
    let user = "int one(void), same(void); extern volatile int variable, other; extern char forty[];
        int (*volatile first)(void) = one, (*volatile second)(void) = same;
        int back(void) { other++; return variable + (int)(long)forty + same() + (first == second ? 100 : 0); }";
    // Bound in a circle, after another, and to a module that is there.
    let circle = [("provider.c", provider), ("user.c", user)];
    let modules = load_sources(&loader(), &circle).unwrap();
    assert_eq!(call(&modules[0], "go"), 147);
    let later = load(&loader(), "user.c", user, &[&modules[0]]).unwrap();
    assert_eq!(call(&later, "back"), 148);
    let provider = provider.replace("int back(void);", "int back(void) { return 0; }");
    let one_way = [
        ("user.c", user.replace("back", "forth")),
        ("provider.c", provider),
    ];
    let one_way = one_way
        .each_ref()
        .map(|(name, source)| (*name, &source[..]));
    let modules = load_sources(&loader(), &one_way).unwrap();
    assert_eq!(call(&modules[0], "forth"), 147);
}

#[test]
fn a_chain_and_a_circle_may_be_long() {
    require_tools!("clang-22");
    let length = tools::rounds(3000);
    let like = |last: &str| {
        let renamed = (0..length).map(|number| {
            let next = match number + 1 {
                next if next == length => last.to_owned(),
                next => format!("f{next:05}"),
            };
            let symbols = [("next__", next), ("itself", format!("f{number:05}"))];
            let symbols = symbols.map(|(from, to)| (from.to_owned(), to));
            (format!("link{number}.c"), symbols.to_vec())
        });
        let source =
            "int next__(int); int itself(int n) { return n == 0 ? 0 : 1 + next__(n - 1); }";
        images_like(source, renamed)
    };
    let depth = i32::try_from(length / 3).unwrap();
    extern "C" fn ended(_: i32) -> i32 {
        0
    }
    let mut loader = Loader::new();
    loader.define_function("ended_", ended as extern "C" fn(i32) -> i32);
    for last in ["ended_", "f00000"] {
        let images = like(last);
        let images: Vec<_> = images
            .iter()
            .map(|(name, it)| (&name[..], &it[..]))
            .collect();
        let mut modules = load_all(&loader, &images, &[]).unwrap();
        modules.truncate(1);
        let first = modules.pop().unwrap();
        let dropping = std::thread::Builder::new().stack_size(256 << 10);
        let dropping = dropping.spawn(move || {
            let function = first
                .lookup::<unsafe extern "C" fn(i32) -> i32>("f00000")
                .unwrap();
            // SAFETY: the function has this type and no other contract.
            assert_eq!(unsafe { function(depth) }, depth);
            first.unload().unwrap();
        });
        dropping.unwrap().join().unwrap();
    }
}

#[test]
fn a_circle_is_let_go_of_by_threads_at_the_same_time() {
    require_tools!("clang-22");
    let sources = CIRCLE.map(|(name, source)| (name, source.replace("TEST", "7")));
    let images = sources
        .each_ref()
        .map(|(name, source)| (*name, image(name, source)));
    let images = images.each_ref().map(|(name, bytes)| (*name, &bytes[..]));
    let loader = loader();
    for round in 1..=300 {
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            for module in load_all(&loader, &images, &[]).unwrap() {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    // Whoever is first is refused, and hands the module back to be dropped.
                    drop(module.unload());
                });
            }
        });
        let said = said(7);
        assert_eq!(said.len(), 4 * round);
        assert_eq!(said[said.len() - 4..], [1, 2, -2, -1]);
    }
}
