//! What loading leaves in the process's address space. Alone in its process, because it counts.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "a test that cannot go on is to panic; loading runs code"
)]

mod common;

use common::{call, image, image_with, load_bytes, system_loader};
use farcall_image::Image;
use farcall_testkit::{require_tools, tools};

fn maps() -> String {
    std::fs::read_to_string("/proc/self/maps").unwrap()
}

fn n_mappings() -> usize {
    maps().lines().count()
}

/// Gives the last segment 512 GiB of zeros, which no linker would.
fn make_huge(image: &mut [u8]) {
    let word = |at: usize| u64::from_le_bytes(image[at..at + 8].try_into().unwrap());
    let (table, count) = (word(32), u16::from_le_bytes([image[56], image[57]]));
    let headers = (0..count).map(|index| usize::try_from(table).unwrap() + 56 * usize::from(index));
    let mut loads = headers
        .rev()
        .filter(|&at| image[at..at + 4] == [1, 0, 0, 0]);
    let last = loads.next().unwrap();
    image[last + 40..last + 48].copy_from_slice(&(1_u64 << 39).to_le_bytes());
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
    let initial_exec = image_with(
        "initial_exec.c",
        "__thread int v = 3; int f(void) { return v++; }",
        &["-ftls-model=initial-exec"],
    );
    let fails = image(
        "fails.c",
        "int nobody_has_this(void); int f(void) { return nobody_has_this(); }",
    );
    // Some systems promise any amount of memory, unless they are told otherwise.
    let limit = libc::rlimit {
        rlim_cur: 64 << 30,
        rlim_max: 64 << 30,
    };
    // SAFETY: lowers a limit of this process.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(result, 0);
    let mut huge = image("huge.c", "int variable;");
    make_huge(&mut huge);
    let message = format!(
        "huge: mmap of {} bytes: Cannot allocate memory (os error 12)",
        Image::parse(&huge).unwrap().span()
    );
    let loader = system_loader();
    let round = || {
        let module = load_bytes(&loader, "works", &works, &[]).unwrap();
        assert_eq!(call(&module, "check"), 1);
        assert!(!maps().lines().any(|line| line.contains(" rwx")));
        module.unload().unwrap();
        let module = load_bytes(&loader, "initial_exec", &initial_exec, &[]).unwrap();
        assert_eq!(call(&module, "f"), 3);
        module.unload().unwrap();
        load_bytes(&loader, "fails", &fails, &[]).unwrap_err();
        // An emulator knows no limit of address space, and takes memory for each page of it.
        if tools::is_emulated() {
            return;
        }
        let error = load_bytes(&loader, "huge", &huge, &[])
            .unwrap_err()
            .to_string();
        assert_eq!(error, message);
    };
    // The first rounds open libraries and warm the allocator up.
    for _ in 0..5 {
        round();
    }
    let before = n_mappings();
    for _ in 0..tools::rounds(100) {
        round();
    }
    assert_eq!(n_mappings(), before, "{}", maps());
}
