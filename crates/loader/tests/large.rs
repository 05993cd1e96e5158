//! Large images: mapped from files, copied, and put where another one was.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "a test that cannot go on is to panic; loading runs code"
)]

mod common;

use common::child::{End, Numbers, in_child};
use common::{call, image, load_bytes};
use farcall_image::Image;
use farcall_loader::{Loader, Module};
use farcall_testkit::{require_tools, tools};

fn is_packed(bytes: &[u8]) -> bool {
    Image::parse(bytes).unwrap().is_packed()
}

#[test]
fn large_images_keep_to_their_memory_however_they_come() {
    require_tools!("clang-22");
    let large = |seed: u32| {
        let source = format!(
            "const volatile char constants[200000] = {{ [{seed} ... 199999] = {seed} }};
            volatile int filled[3000] = {{ [0 ... 2999] = {seed} }}, zeroed[3000];
            volatile int *const volatile pointers[] = {{ filled, zeroed }};
            int check(void) {{
                for (int i = 0; i < 3000; i++)
                    if (pointers[0][i] != {seed} || pointers[1][i] != 0) return -1;
                return constants[100000] == {seed};
            }}
            int spoil(void) {{ for (int i = 0; i < 3000; i++) filled[i] = zeroed[i] = 7777; return 1; }}"
        );
        image("large.c", &source)
    };
    let images: Vec<Vec<u8>> = (1..5).map(large).collect();
    assert!(
        images
            .iter()
            .all(|bytes| bytes.len() > 200_000 && is_packed(bytes))
    );
    let folder = tempfile::tempdir().unwrap();
    let path = |index: usize| folder.path().join(index.to_string());
    for (index, bytes) in images.iter().enumerate() {
        std::fs::write(path(index), bytes).unwrap();
    }
    let loader = Loader::new();
    // There is a window.
    let tiny = load_bytes(
        &loader,
        "tiny",
        &image("tiny.c", "int next(void) { return 6; }"),
        &[],
    )
    .unwrap();
    let come_twice = |index: usize| {
        for _ in 0..2 {
            drop(load_bytes(&loader, "large", &images[index], &[]).unwrap());
        }
    };
    // The memory that is kept of one is another one's by the time that there is something else to keep.
    come_twice(0);
    // SAFETY: the test wrote the file, and leaves it as it is.
    let mapped = unsafe { loader.map_file(path(0), &[]) }.unwrap();
    come_twice(1);
    assert_eq!(call(&mapped, "check"), 1);

    let mut numbers = Numbers::new(3);
    let mut modules: Vec<Module> = vec![mapped];
    for _ in 0..3000 {
        // One comes again more often than others.
        let index = numbers.below(12).saturating_sub(8);
        let module = match numbers.below(3) {
            // SAFETY: the test wrote the file, and leaves it as it is.
            0 => unsafe { loader.map_file(path(index), &[]) }.unwrap(),
            _ => load_bytes(&loader, "large", &images[index], &[]).unwrap(),
        };
        assert_eq!(call(&module, "check"), 1);
        modules.push(module);
        while modules.len() > numbers.below(6) {
            let module = modules.swap_remove(numbers.below(modules.len()));
            assert_eq!(call(&module, "check"), 1);
            // Whoever comes next finds it otherwise than it was.
            call(&module, "spoil");
        }
    }
    assert!(modules.iter().all(|module| call(module, "check") == 1));
    assert_eq!(call(&tiny, "next"), 6);
}

#[test]
fn a_file_that_comes_again_is_what_it_is_by_then() {
    require_tools!("clang-22");
    let source = |answer: i32, room: u32| {
        format!(
            "volatile int filled[3000] = {{ [0 ... 2999] = {answer} }}, zeroed[3000];
            volatile int *const volatile pointers[] = {{ filled, zeroed }};
            int check(void) {{
                for (int i = 0; i < 3000; i++)
                    if (pointers[0][i] != {answer} || pointers[1][i] != 0) return -1;
                return {answer};
            }}
            int spoil(void) {{ for (int i = 0; i < 3000; i++) filled[i] = zeroed[i] = 7; return 1; }}
            __asm__(\".text\\n.fill {room}, 1, 0x90\");"
        )
    };
    // Two of one form, and one that has its segments elsewhere.
    let images = [(11, 200_000), (12, 200_000), (13, 150_000)];
    let mut images = images.map(|(answer, room)| (answer, image("again.c", &source(answer, room))));
    let size = images[0].1.len();
    for (_, bytes) in &mut images {
        assert!(bytes.len() <= size && is_packed(bytes));
        bytes.resize(size, 0);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let end = in_child(60, || {
        let loader = Loader::new();
        for order in [[0, 1, 0], [0, 2, 1], [2, 0, 2]] {
            for index in order {
                let (answer, bytes) = &images[index];
                // Nobody has it loaded.
                std::fs::write(&path, bytes).unwrap();
                for _ in 0..4 {
                    // SAFETY: the test wrote the file, and leaves it as it is until it is unloaded.
                    let load = || unsafe { loader.map_file(&path, &[]) }.unwrap();
                    let modules = [load(), load()];
                    for module in modules {
                        assert_eq!(call(&module, "check"), *answer);
                        call(&module, "spoil");
                    }
                }
            }
        }
    });
    assert_eq!(end, End::Well);
}

/// Protects pages of its own variables, as programs do that have guard pages or make code.
fn guard(room: u32) -> Vec<u8> {
    let source = r#"
        int mprotect(void *, unsigned long, int);
        static volatile char stack[3 * 4096] __attribute__((aligned(4096)));
        int check(void) { for (int i = 0; i < sizeof stack; i++) if (stack[i]) return -1; return 1; }
        int spoil(void) {
            stack[5000] = 1;
            return mprotect((void *)stack, 4096, 0) | mprotect((void *)(stack + 4096), 4096, 7);
        }"#;
    let room = format!("__asm__(\".text\\n.fill {room}, 1, 0x90\");");
    image("guard.c", &format!("{source}\n{room}"))
}

#[test]
fn a_file_that_comes_again_may_have_protected_its_variables() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    std::fs::write(&path, guard(200_000)).unwrap();
    let end = in_child(60, || {
        let loader = Loader::new();
        for _ in 0..5 {
            // SAFETY: the test wrote the file, and leaves it as it is.
            let module = unsafe { loader.map_file(&path, &[]) }.unwrap();
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            assert!(!maps.contains("rwxp"), "{maps}");
            assert_eq!(call(&module, "check"), 1);
            assert_eq!(call(&module, "spoil"), 0);
        }
    });
    assert_eq!(end, End::Well);
}

#[test]
fn what_an_image_does_to_its_pages_meets_no_other() {
    require_tools!("clang-22");
    let images = [guard(1), guard(200_000)];
    let other = image(
        "other.c",
        "int variable = 5; int next(void) { return ++variable; }",
    );
    let end = in_child(60, || {
        let loader = Loader::new();
        let others: Vec<Module> = (0..40)
            .map(|_| load_bytes(&loader, "other", &other, &[]).unwrap())
            .collect();
        for bytes in images.iter().cycle().take(10) {
            let module = load_bytes(&loader, "guard", bytes, &[]).unwrap();
            assert_eq!(call(&module, "check"), 1);
            assert_eq!(call(&module, "spoil"), 0);
            for other in &others {
                call(other, "next");
            }
        }
        assert_eq!(call(&others[0], "next"), 16);
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert!(!maps.contains("rwxp"), "{maps}");
    });
    assert_eq!(end, End::Well);
}

#[test]
fn a_file_may_be_longer_than_an_arena() {
    require_tools!("clang-22");
    let source = r#"__asm__(".section .rodata.big,\"a\",@progbits\n.fill 12000000, 1, 0x11\n"
            ".text\n.fill 6000000, 1, 0x90\n"
            ".data\n.globl bytes\nbytes: .fill 4000000, 1, 0x77\n.text");
        extern char bytes[] __attribute__((visibility("hidden")));
        int check(void) {
            for (int i = 0; i < 4000000; i++) if (bytes[i] != 0x77) return i + 1;
            return 0;
        }"#;
    let bytes = image("big.c", source);
    assert!(bytes.len() > 16 << 20 && is_packed(&bytes));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    std::fs::write(&path, &bytes).unwrap();
    // A process of its own, because what the first image of a process goes through is looked at.
    let end = in_child(30, || {
        // SAFETY: the test wrote the file, and leaves it as it is.
        let module = unsafe { Loader::new().map_file(&path, &[]) }.unwrap();
        assert_eq!(call(&module, "check"), 0, "the first byte that differs");
    });
    assert_eq!(end, End::Well);
}

/// With code, variables and zeroes of these sizes in bytes.
const ZEROES: &str = "volatile char zeroed[70000];
    int check(void) { for (int i = 0; i < 70000; i++) if (zeroed[i]) return i + 1; return 0; }
    int spoil(void) { for (int i = 0; i < 70000; i++) zeroed[i] = 0x5a; return 0; }
    __asm__(\".text\\n.fill 200000, 1, 0x90\");";

#[test]
fn zeroes_are_zero_where_the_system_takes_no_memory_back() {
    require_tools!("clang-22");
    let bytes = image("zeroes.c", ZEROES);
    let end = in_child(30, || {
        // SAFETY: locks memory, of which the system takes none back then. Where it is not allowed, the
        // rest holds without.
        unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) };
        let loader = Loader::new();
        for _ in 0..6 {
            let module = load_bytes(&loader, "zeroes", &bytes, &[]).unwrap();
            assert_eq!(call(&module, "check"), 0);
            call(&module, "spoil");
        }
    });
    assert_eq!(end, End::Well);
}

/// Refuses mappings of files that are executable, as some systems do.
fn forbid_executable_files() {
    let step = |code: u32, jump_true, jump_false, k| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt: jump_true,
        jf: jump_false,
        k,
    };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let any_bit = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    let give = libc::BPF_RET | libc::BPF_K;
    // The number of the call, then the lower halves of its third and fifth arguments: the protection
    // and the file.
    let mut filter = [
        step(load, 0, 0, 0),
        step(equal, 0, 5, u32::try_from(libc::SYS_mmap).unwrap()),
        step(load, 0, 0, 32),
        step(any_bit, 0, 3, libc::PROT_EXEC.cast_unsigned()),
        step(load, 0, 0, 48),
        step(equal, 1, 0, u32::MAX),
        step(
            give,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::EACCES.cast_unsigned(),
        ),
        step(give, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap(),
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: takes rights away from this process.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(result, 0);
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: as above; the program is whole.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    assert_eq!(result, 0);
}

#[test]
fn images_load_where_no_file_may_be_executable() {
    if tools::skips_emulated("an emulator passes no filters of system calls on") {
        return;
    }
    require_tools!("clang-22");
    let bytes = [ZEROES, "int check(void) { return 0; }"].map(|source| image("a.c", source));
    let end = in_child(30, || {
        forbid_executable_files();
        let loader = Loader::new();
        for bytes in bytes.iter().cycle().take(6) {
            let module = load_bytes(&loader, "a", bytes, &[]).unwrap();
            assert_eq!(call(&module, "check"), 0);
        }
    });
    assert_eq!(end, End::Well);
}

#[test]
fn code_that_is_zeroed_is_zero_however_large_the_image_is() {
    require_tools!("clang-22");
    let source = r#"
        const volatile char constants[200000] = { 1 };
        extern const volatile char zeroed[20000] __attribute__((visibility("hidden")));
        __asm__(".section .zeroed,\"ax\",@nobits\n.globl zeroed\nzeroed: .zero 20000\n.text\n");
        int check(void) {
            for (int i = 0; i < 20000; i++) if (zeroed[i]) return -1;
            return constants[0];
        }"#;
    let bytes = image("zeroed.c", source);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    std::fs::write(&path, &bytes).unwrap();
    let loader = Loader::new();
    // Alone, then where there is a window, then again where another one was.
    for _ in 0..2 {
        for _ in 0..3 {
            let module = load_bytes(&loader, "zeroed", &bytes, &[]).unwrap();
            assert_eq!(call(&module, "check"), 1);
            // SAFETY: the file stays as it is.
            let module = unsafe { loader.map_file(&path, &[]) }.unwrap();
            assert_eq!(call(&module, "check"), 1);
        }
        let tiny = image("tiny.c", "int next(void) { return 6; }");
        assert_eq!(
            call(&load_bytes(&loader, "tiny", &tiny, &[]).unwrap(), "next"),
            6
        );
    }
}

#[test]
fn a_file_that_is_overwritten_or_truncated_is_no_part_of_what_was_loaded() {
    require_tools!("clang-22");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let loader = Loader::new();
    for size in [10, 200_000] {
        let source = format!(
            "const volatile char constants[{size}] = {{ [0 ... {size} - 1] = 5 }};
            static int (*volatile next)(void);
            static int sum(void) {{ int all = 0; for (int i = 0; i < {size}; i++) all += constants[i]; return all; }}
            int check(void) {{ next = sum; return next() == 5 * {size}; }}"
        );
        std::fs::write(&path, image("overwritten.c", &source)).unwrap();
        let load = || {
            // SAFETY: the file is the test's; what is read of it is an image.
            unsafe { loader.load_file(&path, &[]) }
        };
        // The second time a large image comes another way.
        drop(load().unwrap());
        let module = load().unwrap();
        std::fs::write(&path, vec![0xff; 2 * size]).unwrap();
        assert_eq!(call(&module, "check"), 1);
        std::fs::write(&path, []).unwrap();
        assert_eq!(call(&module, "check"), 1);
        load().unwrap_err();
        module.unload().unwrap();
    }
}
