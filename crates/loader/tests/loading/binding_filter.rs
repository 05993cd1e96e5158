//! What the host forbids images to import.

use farcall_loader::{Error, Loader};
use farcall_testkit::require_tools;

use crate::common::{call, image, load, load_all, system_loader};

extern "C" fn log() -> i32 {
    4
}

#[test]
fn what_is_not_allowed_is_refused_wherever_it_would_be_found() {
    require_tools!("clang-22");
    let provider = load(
        &Loader::new(),
        "provider.c",
        "int provided(void) { return 1; }",
        &[],
    );
    let provider = provider.unwrap();
    let mut loader = system_loader();
    loader.define_function("log", log as extern "C" fn() -> i32);
    let source = "int log(void), provided(void), getpid(void), nowhere(void);
        __attribute__((weak)) int optional(void);
        int all(void) { return log() + provided() + getpid() + nowhere() + (optional ? 1 : 0); }";
    loader.allow_imports(|_| false);
    let error = load(&loader, "uses.c", source, &[&provider]).unwrap_err();
    let text = error.to_string();
    let Error::Forbidden { symbols, .. } = error else {
        panic!("{text}");
    };
    let mut names: Vec<_> = symbols.iter().map(|it| &it.name[..]).collect();
    names.sort_unstable();
    assert_eq!(names, ["getpid", "log", "nowhere", "optional", "provided"]);
    assert!(
        text.starts_with("uses.c: the host forbids 5 imports\n  "),
        "{text}"
    );
    assert!(text.contains("\n  getpid, used by uses.o: all\n"), "{text}");

    let allowed = ["log", "provided"];
    loader.allow_imports(move |name| allowed.contains(&name));
    let source = "int log(void), provided(void), system(const char *);
        int two(void) { return log() + provided(); }";
    let module = load(&loader, "uses.c", source, &[&provider]).unwrap();
    assert_eq!(call(&module, "two"), 5);
    let source = format!("{source} int run(void) {{ return system(\"date\"); }}");
    let error = load(&loader, "uses.c", &source, &[&provider]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "uses.c: the host forbids this import: system, used by uses.o: run"
    );
}

#[test]
fn what_the_loader_itself_has_is_not_asked_for() {
    require_tools!("clang-22");
    let mut loader = Loader::new();
    loader.allow_imports(|_| false);
    let source = "__thread int mine = 3; int read(void) { return mine; }";
    let module = load(&loader, "mine.c", source, &[]).unwrap();
    assert_eq!(call(&module, "read"), 3);
}

#[test]
fn what_images_loaded_together_may_not_import_is_one_error() {
    require_tools!("clang-22");
    let mut loader = Loader::new();
    loader.allow_imports(|name| name == "second");
    let first = image(
        "first.c",
        "int second(void), getpid(void); int first(void) { return second() + getpid(); }",
    );
    let second = image(
        "second.c",
        "int first(void); int second(void) { return first(); }",
    );
    let images = [("first.c", &first[..]), ("second.c", &second)];
    assert_eq!(
        load_all(&loader, &images, &[]).unwrap_err().to_string(),
        "first.c: the host forbids 2 imports\n  getpid, used by first.o: first\n  second.c: first, used by second.o: second"
    );
    loader.allow_imports(|_| true);
    load_all(&loader, &images, &[]).unwrap();
}
