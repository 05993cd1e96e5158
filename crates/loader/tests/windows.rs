//! Small images among others: what windows hold, and what they give back. Each test counts, so that they
//! run one after the other.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "a test that cannot go on is to panic; loading runs code"
)]

mod common;

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::child::{End, Numbers, in_child, n_mappings, resident_size};
use common::{call, image, load_bytes, system_loader};
use farcall_image::Image;
use farcall_loader::{Loader, Module};
use farcall_testkit::{Linker, require_tools, tools};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const TINY: &str = "static int count = 5; static int zeroes[20];
    int next(void) { for (int i = 0; i < 20; i++) if (zeroes[i]) return -1; zeroes[7] = 1; return ++count; }";

fn is_packed(bytes: &[u8]) -> bool {
    Image::parse(bytes).unwrap().is_packed()
}

#[test]
fn thousands_of_modules_take_few_mappings_and_give_all_back() {
    require_tools!("clang-22");
    let _alone = alone();
    let bytes = image("tiny.c", TINY);
    assert!(is_packed(&bytes));
    let loader = Loader::new();
    let mut numbers = Numbers::new(1);
    let mut round = |count: usize| {
        let mut modules: Vec<Module> = (0..count)
            .map(|_| load_bytes(&loader, "tiny", &bytes, &[]).unwrap())
            .collect();
        let (mappings, resident) = (n_mappings(), resident_size());
        while !modules.is_empty() {
            let module = modules.swap_remove(numbers.below(modules.len()));
            // Its data is its own, whoever was there before.
            assert_eq!(call(&module, "next"), 6);
            module.unload().unwrap();
        }
        (mappings, resident)
    };
    let count = tools::rounds(20_000);
    round(count);
    let (mappings, resident) = (n_mappings(), resident_size());
    let (with_modules, resident_with_modules) = round(count);
    assert!(with_modules <= mappings + 20, "{with_modules} {mappings}");
    let each = (resident_with_modules - resident.min(resident_with_modules)) / count;
    assert!(each < 4096, "{each} bytes a module");
    for _ in 0..3 {
        round(count);
    }
    assert!(n_mappings() <= mappings, "{} {mappings}", n_mappings());
    let after = resident_size();
    // An emulator's own memory counts too, and it keeps what it has translated.
    let kept = if tools::is_emulated() {
        64 << 20
    } else {
        4 << 20
    };
    assert!(after <= resident + kept, "{after} {resident}");
}

#[test]
fn chunks_that_are_empty_are_used_again() {
    require_tools!("clang-22");
    let _alone = alone();
    // One of these fills most of a chunk.
    let source = "int next(void) { static int count = 5; return ++count; }
        __asm__(\".text\\n.fill 40000, 1, 0x90\");";
    let bytes = image("filling.c", source);
    assert!(is_packed(&bytes));
    let loader = Loader::new();
    let load = || {
        let module = load_bytes(&loader, "filling", &bytes, &[]).unwrap();
        assert_eq!(call(&module, "next"), 6);
        module
    };
    let mut modules: Vec<Module> = (0..250).map(|_| load()).collect();
    let mappings = n_mappings();
    for _ in 0..10 {
        // The last ones stay, so that what is used again is what came first.
        modules.drain(..230);
        modules.extend((0..230).map(|_| load()));
        modules.rotate_right(230);
    }
    assert!(n_mappings() <= mappings, "{} {mappings}", n_mappings());
}

#[test]
fn variables_are_aligned() {
    require_tools!("clang-22");
    let _alone = alone();
    let loader = Loader::new();
    let mut modules = Vec::new();
    let mut numbers = Numbers::new(3);
    let images: Vec<Vec<u8>> = [1, 16, 64, 128, 1024, 4096, 8192, 65536]
        .map(|align| {
            let source = format!(
                "#define A __attribute__((aligned({align})))
                static A char zeroes[3]; static A char data[3] = \"ab\"; static const A char constant[3] = \"cd\";
                A int code(void) {{ return 7; }}
                const char *volatile pointers[] = {{ zeroes, data, constant, (const char *)code }};
                int misaligned(void) {{
                    for (int i = 0; i < 4; i++) if ((unsigned long)pointers[i] % {align}) return 1 + i;
                    zeroes[0] += 1; data[0] += 1;
                    return zeroes[0] != 1 || zeroes[1] || data[0] != 'b' || pointers[2][1] != 'd' ? 100 : 0;
                }}"
            );
            image("aligned.c", &source)
        })
        .into();
    for _ in 0..tools::rounds(400) {
        let bytes = &images[numbers.below(images.len())];
        let module = load_bytes(&loader, "aligned", bytes, &[]).unwrap();
        assert_eq!(call(&module, "misaligned"), 0);
        modules.push(module);
        if numbers.below(3) == 0 {
            modules.swap_remove(numbers.below(modules.len()));
        }
    }
}

/// An image with `count` functions of four bytes, each of which calls a function through which an exception
/// passes, and `walk`, which goes through all of them and counts what was caught.
fn dense(count: usize) -> Vec<u8> {
    let mut assembly = ".text\n.p2align 6\n.globl first_function\nfirst_function:\n".to_owned();
    for index in 0..count {
        // A jump would leave no frame of this function. On x86-64 four bytes have room for `call` and
        // `ret`, but not for the stack's alignment, which the thrower makes itself. On AArch64 there is
        // room for a call, which does not return; where this function would, its caller has kept.
        let code = match cfg!(target_arch = "aarch64") {
            true => ".cfi_register x30, x19\nblr x0",
            false => "call *%rdi\n.cfi_adjust_cfa_offset 0\nret\nnop",
        };
        assembly += &format!(
            ".globl dense{index}\n.type dense{index},@function\ndense{index}:\n.cfi_startproc\n\
             {code}\n.cfi_endproc\n.size dense{index},.-dense{index}\n"
        );
    }
    assembly += match cfg!(target_arch = "aarch64") {
        true => {
            ".globl enter\n.type enter,@function\nenter:\n.cfi_startproc\nstp x19, x30, [sp, #-16]!\n\
             .cfi_def_cfa_offset 16\n.cfi_offset x19, -16\n.cfi_offset x30, -8\nadr x19, 1f\nbr x1\n\
             1: ldp x19, x30, [sp], #16\nret\n.cfi_endproc\n.size enter,.-enter\n"
        }
        false => {
            ".globl enter\n.type enter,@function\nenter:\n.cfi_startproc\njmp *%rsi\n.cfi_endproc\n\
             .size enter,.-enter\n"
        }
    };
    assembly += ".section .note.GNU-stack,\"\",@progbits\n";
    let walk = format!(
        r#"
        #ifdef __x86_64__
        #define FORCE_ALIGN , force_align_arg_pointer
        #else
        #define FORCE_ALIGN
        #endif
        extern "C" char first_function[];
        extern "C" void enter(void (*thrower)(), char *function);
        __attribute__((noinline FORCE_ALIGN)) static void thrower() {{ throw 3; }}
        extern "C" int walk() {{
            int sum = 0;
            for (int i = 0; i < {count}; i++) {{
                try {{ enter(thrower, first_function + 4 * i); }} catch (int value) {{ sum += value; }}
            }}
            return sum;
        }}"#
    );
    let folder = tempfile::tempdir().unwrap();
    let compile = |name: &str, text: &str| {
        let (source, object) = (folder.path().join(name), folder.path().join("out.o"));
        std::fs::write(&source, text).unwrap();
        let args = [
            "-fPIC",
            "-O1",
            "-c",
            source.to_str().unwrap(),
            "-o",
            object.to_str().unwrap(),
        ];
        tools::run("clang-22", &[tools::CLANG_TARGET, &args].concat()).unwrap();
        std::fs::read(object).unwrap()
    };
    let (functions, walk) = (compile("dense.s", &assembly), compile("walk.cpp", &walk));
    let mut linker = Linker::new();
    linker.add("dense.o", &functions);
    linker.add("walk.o", &walk).link().unwrap()
}

#[test]
fn exceptions_pass_through_code_with_many_functions_a_line() {
    require_tools!("clang-22");
    let _alone = alone();
    let loader = system_loader();
    let images = [1, 3, 4, 5, 15, 16, 17, 200].map(|count| (count, dense(count)));
    let mut modules = Vec::new();
    for _ in 0..3 {
        for (count, bytes) in &images {
            let module = load_bytes(&loader, "dense", bytes, &[]).unwrap();
            modules.push((*count, module));
        }
    }
    let throw = |modules: &[(usize, Module)]| {
        for (count, module) in modules {
            assert_eq!(usize::try_from(call(module, "walk")).unwrap(), 3 * count);
        }
    };
    throw(&modules);
    // Of each image one goes, and what comes in its place has other functions.
    modules.drain(8..16);
    throw(&modules);
    for (count, bytes) in images.iter().rev() {
        let module = load_bytes(&loader, "dense", bytes, &[]).unwrap();
        modules.push((*count, module));
    }
    throw(&modules);
}

#[test]
fn data_is_zero_where_another_image_was_and_no_other_loads() {
    require_tools!("clang-22");
    let _alone = alone();
    let dirty = |size: usize| {
        let source = format!(
            "static char filled[{size}] = {{ 1 }}; static char zeroed[{size}];
            int fill(void) {{ for (int i = 0; i < {size}; i++) filled[i] = zeroed[i] = 0x5a; return {size}; }}
            int sum(void) {{ int sum = 0; for (int i = 0; i < {size}; i++) sum += zeroed[i] + filled[i]; return sum; }}"
        );
        image("dirty.c", &source)
    };
    let loader = Loader::new();
    let images = [1, 60, 64, 200, 5000, 20_000].map(dirty);
    let mut numbers = Numbers::new(2);
    let mut modules: Vec<Module> = Vec::new();
    for _ in 0..tools::rounds(3000) {
        let bytes = &images[numbers.below(images.len())];
        let module = load_bytes(&loader, "dirty", bytes, &[]).unwrap();
        assert_eq!(call(&module, "sum"), 1);
        // Another load of the same image has other data.
        let other = load_bytes(&loader, "dirty", bytes, &[]).unwrap();
        let size = call(&other, "fill");
        assert_eq!(call(&module, "sum"), 1);
        assert_eq!(call(&other, "sum"), 2 * 0x5a * size);
        call(&module, "fill");
        modules.extend([module, other]);
        while modules.len() > 40 {
            modules.swap_remove(numbers.below(modules.len()));
        }
    }
}

#[test]
fn a_debugger_attaches() {
    if tools::skips_emulated("a debugger would see the emulator") {
        return;
    }
    require_tools!("clang-22", "gdb", "timeout");
    let _alone = alone();
    let loader = Loader::new();
    let module = load_bytes(&loader, "tiny", &image("tiny.c", TINY), &[]).unwrap();
    assert_eq!(call(&module, "next"), 6);
    // Where only ancestors may attach otherwise.
    // SAFETY: lets other processes of this user trace this one.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
    // It looks at all that the dynamic linker has opened.
    let mut gdb = std::process::Command::new(tools::find("timeout").unwrap());
    gdb.args(["-s", "KILL", "60"])
        .arg(tools::find("gdb").unwrap());
    gdb.args(["-nx", "-q", "-batch", "-iex", "set debuginfod enabled off"]);
    gdb.args(["-p", &std::process::id().to_string()]);
    let output = gdb.args(["-ex", "info sharedlibrary"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("libc.so.6") && !said.contains("/proc/"),
        "{said}"
    );
}

fn limit(resource: libc::__rlimit_resource_t, value: u64) {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: lowers a limit of this process.
    assert_eq!(unsafe { libc::setrlimit(resource, &raw const limit) }, 0);
}

/// Loads, calls and unloads in a child with something taken away; `may_fail` says that an error will do.
fn without(what: &str, may_fail: bool, take_away: impl Fn()) {
    let bytes = image("tiny.c", TINY);
    let throws = image(
        "throws.cpp",
        r#"extern "C" int caught() { try { throw 5; } catch (int it) { return it; } }"#,
    );
    let loader = system_loader();
    // The libraries are open, and the child has no window of its own yet.
    let first = load_bytes(&loader, "throws", &throws, &[]).unwrap();
    call(&first, "caught");
    let end = in_child(60, || {
        let mut maps = File::open("/proc/self/maps").unwrap();
        let mut mappings = || {
            let mut text = String::with_capacity(1 << 16);
            maps.rewind().unwrap();
            maps.read_to_string(&mut text).unwrap();
            text
        };
        take_away();
        let round = |count: usize| {
            let mut modules = Vec::new();
            for index in 0..count {
                let (bytes, function, expected) = match index % 2 {
                    0 => (&bytes, "next", 6),
                    _ => (&throws, "caught", 5),
                };
                match load_bytes(&loader, "limited", bytes, &[]) {
                    Ok(module) => {
                        assert_eq!(call(&module, function), expected);
                        modules.push(module);
                    }
                    Err(error) if may_fail => {
                        let error = error.to_string();
                        assert!(error.starts_with("limited: "), "{error}");
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        };
        round(100);
        let before = mappings();
        for _ in 0..5 {
            round(100);
        }
        let after = mappings();
        let count = |text: &str| text.lines().count();
        // The allocator may have taken a mapping in the meantime; 500 loads that leave one are more.
        let left = count(&after).saturating_sub(count(&before));
        assert!(left < 4, "{before}\nthen\n{after}");
    });
    assert_eq!(end, End::Well, "without {what}");
}

/// The bytes of address space that this process has.
fn address_space() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = status.split(' ').next().unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn loading_goes_on_without_what_windows_need() {
    require_tools!("clang-22");
    let _alone = alone();
    without("nothing", false, || {});
    // As much as a window has, and less. An emulator needs more itself, and does not pass it on.
    for mebibytes in [400, 70, 20, 1] {
        let room = mebibytes << 20;
        without("address space", true, || {
            limit(libc::RLIMIT_AS, address_space() + room);
        });
    }
    without("files", false, || limit(libc::RLIMIT_NOFILE, 3));
    without("large files", false, || limit(libc::RLIMIT_FSIZE, 1 << 20));
    without("any file", false, || limit(libc::RLIMIT_FSIZE, 0));
    if tools::skips_emulated("an emulator passes no filters of system calls on") {
        return;
    }
    without("files in memory", false, || forbid(libc::SYS_memfd_create));
    without("advice on memory", false, || forbid(libc::SYS_madvise));
}

/// Has a system call fail as one that does not exist, in this process.
fn forbid(call: libc::c_long) {
    let statement = |code: u32, jt, jf, k| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt,
        jf,
        k,
    };
    let number = u32::try_from(call).unwrap();
    let failure = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::ENOSYS).unwrap();
    let mut filter = [
        // The number of the call is the first word.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, failure),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: this process wants no more rights.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(result, 0);
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the filter is a program of four statements.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    assert_eq!(result, 0);
}
