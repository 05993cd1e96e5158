//! Forks: parent and child both go on loading, and what either had stays as it was.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "a test that cannot go on is to panic; loading runs code"
)]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::child::{End, Numbers, SharedWord, fork, in_child, wait};
use common::{call, image, load_bytes, system_loader};
use farcall_loader::{Loader, Module, Redirect};
use farcall_testkit::{require_tools, tools};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a child has at the most, in seconds.
const SECONDS: u32 = 60;

/// Images of several sizes and all that makes loading different.
struct Images {
    all: Vec<Vec<u8>>,
    provider: Vec<u8>,
    user: Vec<u8>,
}

impl Images {
    fn new() -> Self {
        // Which one it is must be seen, because the mistake to find is one in the place of another.
        let all = (0..8).map(|which| {
            let filling = [0, 10, 700, 5000, 30_000, 40, 300, 90_000][which];
            let source = format!(
                r#"
                extern "C" int abs(int);
                static thread_local int local = {which};
                static int data = 10 * {which}, zero;
                static const int table[] = {{ {which}, 1, 2, 3, {which} }};
                int (*volatile function)(int) = abs;
                struct Initial {{ int value; Initial() : value(table[4]) {{ zero += 1; }} }};
                static Initial initial;
                extern "C" int check() {{
                    int sum = 0;
                    try {{ throw table[4]; }} catch (int value) {{ sum += value == {which}; }}
                    sum += 10 * (local == {which}) + 100 * (data == 10 * {which}) + 1000 * (zero == 1);
                    return sum + 10000 * (function(-{which}) == {which}) + 100000 * (initial.value == {which});
                }}
                __asm__(".text\n.fill {filling}, 1, 0x90\n");"#
            );
            image("which.cpp", &source)
        });
        let provider = "int provided(void) { static __thread int count; return ++count; }";
        let user = "int provided(void); int use(void) { return provided() != 0; }";
        Self {
            all: all.collect(),
            provider: image("provider.c", provider),
            user: image("user.c", user),
        }
    }

    fn load(&self, loader: &Loader, which: usize) -> Module {
        let which = which % self.all.len();
        let module = load_bytes(loader, "which", &self.all[which], &[]).unwrap();
        check(&module);
        module
    }
}

fn check(module: &Module) {
    assert_eq!(call(module, "check"), 111_111);
}

fn check_all(modules: &[Module]) {
    modules.iter().for_each(check);
}

/// Lets modules come and go, those that are there and others.
fn churn(images: &Images, loader: &Loader, modules: &mut Vec<Module>, seed: u64, count: usize) {
    let mut numbers = Numbers::new(seed);
    for _ in 0..tools::rounds(count) {
        modules.push(images.load(loader, numbers.below(8)));
        if modules.len() > 60 {
            let module = modules.swap_remove(numbers.below(modules.len()));
            check(&module);
            module.unload().unwrap();
        }
    }
    check_all(modules);
}

/// Waits until the other process has come so far.
fn meet(at: &SharedWord, value: u64) {
    let start = Instant::now();
    while at.load(Ordering::Acquire) < value {
        assert!(start.elapsed() < Duration::from_secs(30), "stage {value}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

#[test]
fn what_one_side_unloads_and_loads_the_other_does_not_see() {
    require_tools!("clang-22");
    let _alone = alone();
    let (images, loader) = (Images::new(), system_loader());
    // Once the child keeps what it has while the parent replaces all, once the other way, once both replace.
    for (parent_replaces, child_replaces) in [(true, false), (false, true), (true, true)] {
        let mut modules: Vec<Module> = (0..50).map(|it| images.load(&loader, it)).collect();
        let at = SharedWord::new();
        let replace = |modules: &mut Vec<Module>, seed| {
            modules.clear();
            churn(&images, &loader, modules, seed, 500);
        };
        let child = fork(SECONDS, || {
            // What the parent has is not the child's to drop.
            let mut own: Vec<Module> = Vec::new();
            check_all(&modules);
            meet(&at, 1);
            check_all(&modules);
            churn(&images, &loader, &mut own, 3, 200);
            if child_replaces {
                // SAFETY: a copy of the vector is used in its place; the original is forgotten with the child.
                let mut inherited = unsafe { std::ptr::read(&raw const modules) };
                replace(&mut inherited, 4);
                own.append(&mut inherited);
            } else {
                check_all(&modules);
            }
            at.store(2, Ordering::Release);
            meet(&at, 3);
            check_all(&own);
            churn(&images, &loader, &mut own, 5, 200);
        });
        if parent_replaces {
            replace(&mut modules, 1);
        }
        at.store(1, Ordering::Release);
        meet(&at, 2);
        check_all(&modules);
        churn(&images, &loader, &mut modules, 2, 300);
        at.store(3, Ordering::Release);
        assert_eq!(wait(child), End::Well);
        check_all(&modules);
        churn(&images, &loader, &mut modules, 6, 100);
    }
}

#[test]
fn children_of_children_go_on_loading() {
    fn generation(images: &Images, loader: &Loader, inherited: &[Module], depth: u64) {
        check_all(inherited);
        let mut own = Vec::new();
        churn(images, loader, &mut own, depth, 100);
        if depth < if tools::is_emulated() { 3 } else { 6 } {
            let children = [0, 1].map(|_| {
                fork(SECONDS, || {
                    check_all(inherited);
                    generation(images, loader, &own, depth + 1);
                    check_all(&own);
                })
            });
            churn(images, loader, &mut own, 100 + depth, 200);
            for child in children {
                assert_eq!(wait(child), End::Well);
            }
        }
        check_all(&own);
        check_all(inherited);
    }
    require_tools!("clang-22");
    let _alone = alone();
    generation(&Images::new(), &system_loader(), &[], 0);
}

#[test]
fn a_child_of_a_process_whose_other_threads_load_goes_on_loading() {
    require_tools!("clang-22");
    let _alone = alone();
    let (images, loader) = (Images::new(), system_loader());
    let provider = load_bytes(&loader, "provider", &images.provider, &[]).unwrap();
    // It keeps the system's libraries open: a child that is forked off while another thread is opening one can open none.
    let _opened = images.load(&loader, 0);
    let is_over = AtomicBool::new(false);
    let use_provider = || {
        let user = load_bytes(&loader, "user", &images.user, &[&provider]).unwrap();
        assert_eq!(call(&user, "use"), 1);
        user.unload().unwrap();
    };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (images, loader, is_over) = (&images, &loader, &is_over);
            let use_provider = &use_provider;
            scope.spawn(move || {
                let mut seed = 1000 * thread;
                while !is_over.load(Ordering::Relaxed) {
                    churn(images, loader, &mut Vec::new(), seed, 20);
                    use_provider();
                    // A thread of its own has no blocks of thread-local variables yet.
                    std::thread::scope(|scope| {
                        scope.spawn(use_provider);
                    });
                    seed += 1;
                }
            });
        }
        let mut ends = Vec::new();
        for seed in 0..n_forks() {
            ends.push(in_child(20, || {
                churn(&images, &loader, &mut Vec::new(), seed, 10);
                use_provider();
                churn(&images, &loader, &mut Vec::new(), seed, 10);
            }));
        }
        is_over.store(true, Ordering::Relaxed);
        let failed: Vec<_> = ends.iter().filter(|end| **end != End::Well).collect();
        assert!(failed.is_empty(), "{failed:?}");
    });
}

/// How many forks are tried; `FARCALL_FORKS` says another number.
fn n_forks() -> u64 {
    let number = std::env::var("FARCALL_FORKS").ok();
    number.map_or(tools::rounds(100) as u64, |number| number.parse().unwrap())
}

#[test]
fn a_child_replaces_functions_for_itself() {
    require_tools!("clang-22");
    let _alone = alone();
    let version = |number: i32| {
        let source = format!("int version(void) {{ return {number}; }}");
        load_bytes(&Loader::new(), "version", &image("version.c", &source), &[]).unwrap()
    };
    let (first, second) = (version(1), version(2));
    let redirect = Redirect::new(&first, "version").unwrap();
    let mut loader = Loader::new();
    loader.define("version", redirect.definition());
    let user = image(
        "user.c",
        "int version(void); int use(void) { return version(); }",
    );
    let user = load_bytes(&loader, "user.c", &user, &[]).unwrap();
    let end = in_child(SECONDS, || {
        assert_eq!(call(&user, "use"), 1);
        drop(redirect.replace(&second).unwrap());
        assert_eq!(call(&user, "use"), 2);
        // And makes new ones, of places that the parent has free.
        for _ in 0..5000 {
            std::mem::forget(Redirect::new(&second, "version").unwrap());
        }
    });
    assert_eq!(end, End::Well);
    assert_eq!(call(&user, "use"), 1);
    let other = Redirect::new(&second, "version").unwrap();
    let version = other.lookup::<unsafe extern "C" fn() -> i32>().unwrap();
    // SAFETY: no contract.
    assert_eq!(unsafe { version() }, 2);
    drop(redirect.replace(&second).unwrap());
    assert_eq!(call(&user, "use"), 2);
}
