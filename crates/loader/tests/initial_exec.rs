//! The room that the C library keeps for the initial-exec model. Alone in its process, because it
//! takes all of it.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "a test that cannot go on is to panic; loading runs code"
)]

mod common;

use common::{call, image_with, load_bytes};
use farcall_loader::{Error, Loader, Module};
use farcall_testkit::require_tools;

const SOURCE: &str = "__thread int v[50] = {1}; int f(void) { return v[0]++; }";

fn load(bytes: &[u8]) -> Result<Module, Error> {
    load_bytes(&Loader::new(), "f.c", bytes, &[])
}

/// As many modules as there is room for.
fn fill(bytes: &[u8]) -> Vec<Module> {
    let modules: Vec<Module> = std::iter::from_fn(|| load(bytes).ok()).collect();
    assert!(matches!(load(bytes), Err(Error::NoStaticTls { .. })));
    for module in &modules {
        assert_eq!([call(module, "f"), call(module, "f")], [1, 2]);
    }
    modules
}

#[test]
fn room_is_taken_and_comes_back() {
    require_tools!("clang-22");
    let bytes = image_with("f.c", SOURCE, &["-ftls-model=initial-exec"]);
    let count = fill(&bytes).len();
    assert!(count >= 4, "{count}");
    for round in 0..20 {
        // In any order.
        let mut modules = fill(&bytes);
        assert_eq!(modules.len(), count);
        modules.rotate_left(round % count);
        modules.into_iter().for_each(|it| it.unload().unwrap());
    }

    // From many threads, some of which find no room.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let module = match load(&bytes) {
                        Ok(module) => module,
                        Err(Error::NoStaticTls { .. }) => continue,
                        Err(error) => panic!("{error}"),
                    };
                    assert_eq!(call(&module, "f"), 1);
                    std::thread::scope(|scope| {
                        scope.spawn(|| assert_eq!(call(&module, "f"), 1));
                    });
                    module.unload().unwrap();
                }
            });
        }
    });
    assert_eq!(fill(&bytes).len(), count);
}
