//! What loading leaves in the process's address space. Alone in its process, because it counts.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "a test that cannot go on is to panic; loading runs code"
)]

mod common;

use common::{call, image, load_bytes, system_loader};
use farcall_testkit::require_tools;

fn maps() -> String {
    std::fs::read_to_string("/proc/self/maps").unwrap()
}

fn n_mappings() -> usize {
    maps().lines().count()
}

#[test]
fn nothing_is_left_and_nothing_is_writable_and_executable() {
    require_tools!("clang-22");
    let works = image(
        "works.cpp",
        r#"
        #include <cstdio>
        #include <cstring>
        static int bad;
        // Runs while the image is being loaded.
        __attribute__((constructor)) static void look() {
            FILE *maps = fopen("/proc/self/maps", "r");
            char line[512];
            while (fgets(line, sizeof line, maps)) if (strstr(line, " rwx")) bad++;
            fclose(maps);
        }
        static thread_local int counter;
        static int big[1 << 20];
        alignas(1 << 16) static char aligned[1];
        extern "C" int check() {
            big[5] = ++counter;
            try { throw 1; } catch (int) {}
            return bad == 0 && (long)aligned % (1 << 16) == 0;
        }"#,
    );
    let fails = image(
        "fails.c",
        "int nobody_has_this(void); int f(void) { return nobody_has_this(); }",
    );
    let loader = system_loader();
    let round = || {
        let module = load_bytes(&loader, "works", &works, &[]).unwrap();
        assert_eq!(call(&module, "check"), 1);
        assert!(!maps().lines().any(|line| line.contains(" rwx")));
        module.unload().unwrap();
        load_bytes(&loader, "fails", &fails, &[]).unwrap_err();
    };
    // The first rounds open libraries and warm the allocator up.
    for _ in 0..5 {
        round();
    }
    let before = n_mappings();
    for _ in 0..100 {
        round();
    }
    assert_eq!(n_mappings(), before, "{}", maps());
}
