//! Many threads, and many modules. Alone in its process, because it counts.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "a test that cannot go on is to panic; loading runs code"
)]

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::child::{Numbers, n_mappings};
use common::{call, image, load_bytes, system_loader};
use farcall_loader::{Loader, Module};
use farcall_testkit::{require_tools, tools};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An image whose functions throw through several frames, with constructors and thread-local variables.
fn image_of(which: usize, filling: usize) -> Vec<u8> {
    let source = format!(
        r#"
        static thread_local int local = {which};
        static int zero;
        struct Initial {{ int value; Initial() : value({which}) {{ zero += 1; }} ~Initial() {{ value = 0; }} }};
        static Initial initial;
        struct Guard {{ int &count; ~Guard() {{ count++; }} }};
        __attribute__((noinline)) static int deep(int depth, int &count) {{
            Guard guard{{count}};
            if (depth == 0) throw {which};
            return deep(depth - 1, count) + depth;
        }}
        extern "C" int check() {{
            int count = 0, caught = -1;
            try {{ deep({which} % 5, count); }} catch (int value) {{ caught = value; }}
            return (caught == {which}) + 10 * (count == {which} % 5 + 1) + 100 * (zero == 1)
                + 1000 * (initial.value == {which}) + 10000 * (local == {which});
        }}
        __asm__(".text\n.fill {filling}, 1, 0x90\n");"#
    );
    image("stress.cpp", &source)
}

#[test]
fn eight_threads_throw_while_others_load_and_unload() {
    require_tools!("clang-22");
    let _alone = alone();
    // The last one is too large to stand among others.
    let fillings = [0, 3, 100, 900, 4000, 20_000, 64, 7, 50, 90_000];
    let images: Vec<Vec<u8>> = (fillings.iter().enumerate())
        .map(|(which, &filling)| image_of(which, filling))
        .collect();
    let loader = system_loader();
    let load = |which: usize| load_bytes(&loader, "stress", &images[which], &[]).unwrap();
    let check = |module: &Module| assert_eq!(call(module, "check"), 11_111);
    let stay: Vec<Module> = (0..images.len()).map(load).collect();
    let n_calls = AtomicUsize::new(0);
    let run = |duration: Duration| {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (is_over, stay, n_calls, load) = (&is_over, &stay, &n_calls, &load);
                scope.spawn(move || {
                    let mut numbers = Numbers::new(thread);
                    let mut modules: Vec<Module> = Vec::new();
                    while !is_over.load(Ordering::Relaxed) {
                        // Half of the threads throw only, through modules that the others load around.
                        check(&stay[numbers.below(stay.len())]);
                        n_calls.fetch_add(1, Ordering::Relaxed);
                        if thread % 2 == 0 {
                            continue;
                        }
                        let module = load(numbers.below(fillings.len()));
                        check(&module);
                        modules.push(module);
                        while modules.len() > 50 {
                            let module = modules.swap_remove(numbers.below(modules.len()));
                            check(&module);
                            module.unload().unwrap();
                        }
                        if numbers.below(1000) == 0 {
                            modules.clear();
                        }
                    }
                });
            }
            std::thread::sleep(duration);
            is_over.store(true, Ordering::Relaxed);
        });
    };
    run(Duration::from_secs(2));
    // Threads leave stacks and arenas of the allocator behind, but not more each time.
    let before = n_mappings();
    run(Duration::from_secs(4));
    let after = n_mappings();
    assert!(after <= before + 16, "{after} mappings, {before} before");
    assert!(n_calls.load(Ordering::Relaxed) > tools::rounds(10_000));
    stay.iter().for_each(check);
}

#[test]
fn a_chain_of_a_hundred_thousand_modules_is_called_through_and_dropped() {
    require_tools!("clang-22");
    let _alone = alone();
    let images = [
        image("odd.c", "int a(void); int b(void) { return a() + 1; }"),
        image("even.c", "int b(void); int a(void) { return b() + 1; }"),
    ];
    let length = tools::rounds(100_000);
    let loader = Loader::new();
    let mut last = common::load(&loader, "base.c", "int a(void) { return 1; }", &[]).unwrap();
    let before = n_mappings();
    for index in 0..length {
        last = load_bytes(&loader, "link", &images[index % 2], &[&last]).unwrap();
    }
    assert!(n_mappings() < before + 1000);
    // Calling goes as deep as the chain, so that it needs a stack; dropping must not.
    let calling = std::thread::Builder::new().stack_size(64 << 20);
    let calling = calling.spawn(move || {
        assert_eq!(call(&last, "a"), i32::try_from(length).unwrap() + 1);
        last
    });
    let last = calling.unwrap().join().unwrap();
    let dropping = std::thread::Builder::new().stack_size(64 << 10);
    let dropping = dropping.spawn(move || last.unload().unwrap()).unwrap();
    dropping.join().unwrap();
    assert!(n_mappings() <= before + 20, "{} {before}", n_mappings());
}
