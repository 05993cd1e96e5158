//! A program that loads images and says what happens: `farcall-static-host SCENARIO FOLDER`.
//!
//! The test that starts it has made the images of the folder, and knows what has to be printed.

#![allow(unsafe_code, reason = "loading runs code")]

use std::arch::global_asm;
use std::error::Error;
use std::ffi::c_void;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use farcall_image::Image;
use farcall_loader::{Definition, Loader, Module, TrustedImage, host_fn};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;
type Plain = unsafe extern "C-unwind" fn() -> i32;

extern "C" fn note(value: i32) {
    println!("note {value}");
}

extern "C-unwind" fn call_back(value: i32) -> i32 {
    if value < 0 {
        panic::panic_any(value);
    }
    value + 1
}

// What images find in this program's symbol table and nowhere else. Rust has no stable thread-local
// variable with a name.
global_asm!(
    ".pushsection .tdata.host_counter,\"awT\",@progbits",
    ".globl host_counter",
    ".type host_counter, @object",
    ".size host_counter, 4",
    ".p2align 2",
    "host_counter:",
    ".long 40",
    ".popsection",
);

unsafe extern "C" {
    static host_counter: c_void;
    static mut stderr: *mut c_void;
    fn fork() -> i32;
    fn waitpid(process: i32, status: *mut i32, options: i32) -> i32;
    fn quick_exit(status: i32) -> !;
}

struct Images(PathBuf);

impl Images {
    fn load(&self, loader: &Loader, name: &str, scope: &[&Module]) -> Result<Module> {
        let bytes = fs::read(self.0.join(name))?;
        // SAFETY: the test made the images.
        let image = unsafe { TrustedImage::assume_trusted(Image::parse(&bytes)?) };
        Ok(loader.load(&image.named(name), scope)?)
    }
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (scenario, folder) = (args.next(), args.next());
    let images = Images(folder.ok_or("a scenario and a folder are missing")?.into());
    match scenario.unwrap_or_default().as_str() {
        "nothing" => Ok(()),
        "bind" => bind(&images),
        "exit" => exit(&images),
        "quick-exit" => quick(&images),
        "threads" => threads(&images),
        "models" => models(&images),
        "unwind" => unwind(&images),
        "throw" => throw(&images),
        "churn" => churn(&images),
        "many" => many(&images),
        "forks" => forks(&images),
        "refused" => refused(&images),
        other => Err(format!("{other}: no such scenario").into()),
    }
}

fn loader() -> Loader {
    let mut loader = Loader::new();
    host_fn!(loader, note: extern "C" fn(i32), call_back: extern "C-unwind" fn(i32) -> i32);
    loader
}

fn call(module: &Module, name: &str) -> Result<i32> {
    let function = module.lookup::<Plain>(name)?;
    // SAFETY: the images' functions have this type and no other contract.
    Ok(unsafe { function() })
}

/// Names by table, from another image, and from this program's symbol table; constructors and destructors.
fn bind(images: &Images) -> Result<()> {
    let mut loader = loader();
    let base = images.load(&loader, "base", &[])?;
    let user = images.load(&loader, "user", &[&base])?;
    println!("user {}", call(&user, "user")?);
    println!(
        "{}",
        base.unload()
            .map_or_else(|error| error.to_string(), |()| "unloaded".to_owned())
    );
    user.unload()?;
    println!("user is gone");
    loader.host_symbols(true);
    let libc = images.load(&loader, "libc", &[])?;
    println!("libc {}", call(&libc, "libc")?);
    Ok(())
}

/// Handlers run when their module is unloaded, and at exit.
fn exit(images: &Images) -> Result<()> {
    let loader = loader();
    let first = images.load(&loader, "exits", &[])?;
    println!("registered {}", call(&first, "registers")?);
    first.unload()?;
    println!("unloaded");
    let second = images.load(&loader, "exits", &[])?;
    println!("registered {}", call(&second, "registers")?);
    std::mem::forget(second);
    Ok(())
}

fn quick(images: &Images) -> Result<()> {
    let loader = loader();
    let first = images.load(&loader, "quick", &[])?;
    println!("registered {}", call(&first, "registers")?);
    first.unload()?;
    let second = images.load(&loader, "quick", &[])?;
    println!("registered {}", call(&second, "registers")?);
    // SAFETY: it may be called at any time.
    unsafe { quick_exit(3) }
}

/// Each thread has its own variables, and its own destructors at its end.
fn threads(images: &Images) -> Result<()> {
    let module = images.load(&loader(), "locals", &[])?;
    println!("main {} {}", call(&module, "next")?, call(&module, "next")?);
    let other = thread::scope(|scope| {
        let other = scope.spawn(|| {
            let first = call(&module, "next").unwrap_or_default();
            (first, call(&module, "at_end").unwrap_or_default())
        });
        other.join()
    });
    println!("other {other:?}");
    println!("main {}", call(&module, "next")?);
    module.unload()?;
    let again = images.load(&loader(), "locals", &[])?;
    println!("again {}", call(&again, "next")?);
    Ok(())
}

/// Thread-local variables of this program, by each model.
fn models(images: &Images) -> Result<()> {
    // Kept by the linker because it is used.
    std::hint::black_box(&raw const host_counter);
    let mut loader = loader();
    loader.host_symbols(true);
    for name in ["general-dynamic", "descriptors", "initial-exec"] {
        let module = images.load(&loader, name, &[])?;
        let there = thread::scope(|scope| {
            scope
                .spawn(|| call(&module, "next").unwrap_or_default())
                .join()
        });
        println!("{name} {} {there:?}", call(&module, "next")?);
    }
    Ok(())
}

/// Panics pass through code of a module, of a small one in a window and of one with pages of its own.
fn unwind(images: &Images) -> Result<()> {
    panic::set_hook(Box::new(|_| {}));
    let loader = loader();
    for name in ["passes-large", "passes-unpacked", "passes"] {
        let module = images.load(&loader, name, &[])?;
        let function = module.lookup::<unsafe extern "C-unwind" fn(i32) -> i32>("passes")?;
        // SAFETY: the image's function has this type and no other contract.
        let calls = [7, -7]
            .map(|value| panic::catch_unwind(AssertUnwindSafe(|| unsafe { function(value) })));
        let [good, bad] = calls;
        let caught = bad.map_err(|payload| payload.downcast_ref::<i32>().copied());
        println!("{name} {:?} {caught:?}", good.ok());
        module.unload()?;
    }
    Ok(())
}

/// Panics pass through one module while another thread loads and unloads others.
fn churn(images: &Images) -> Result<()> {
    panic::set_hook(Box::new(|_| {}));
    let loader = loader();
    let module = images.load(&loader, "passes-unpacked", &[])?;
    let function = module.lookup::<unsafe extern "C-unwind" fn(i32) -> i32>("passes")?;
    let is_over = AtomicBool::new(false);
    let (n_caught, n_loaded) = thread::scope(|scope| {
        let other = scope.spawn(|| {
            let mut n_loaded = 0;
            while !is_over.load(Ordering::Relaxed) || n_loaded < 100 {
                let others =
                    ["passes-unpacked", "passes"].map(|name| images.load(&loader, name, &[]));
                n_loaded += others.iter().filter(|loaded| loaded.is_ok()).count();
            }
            n_loaded
        });
        let n_caught = (0..5000)
            // SAFETY: the image's function has this type and no other contract.
            .filter(|_| panic::catch_unwind(AssertUnwindSafe(|| unsafe { function(-1) })).is_err())
            .count();
        is_over.store(true, Ordering::Relaxed);
        (n_caught, other.join())
    });
    println!(
        "caught {n_caught}, others {}",
        n_loaded.is_ok_and(|loaded| loaded >= 100)
    );
    Ok(())
}

/// C++ throws and catches in a module that brings its language's runtime.
fn throw(images: &Images) -> Result<()> {
    let mut loader = loader();
    define_c(&mut loader);
    let module = images.load(&loader, "throws", &[])?;
    println!(
        "caught {} {}",
        call(&module, "throws")?,
        call(&module, "throws")?
    );
    module.unload()?;
    println!("unloaded");
    Ok(())
}

/// What C++'s runtime needs of C's: this program has it, and gives it by name.
fn define_c(loader: &mut Loader) {
    macro_rules! functions {
        ($($name:ident)*) => {
            #[allow(clashing_extern_declarations, reason = "only their addresses are taken")]
            mod c {
                unsafe extern "C" { $(pub(super) fn $name();)* }
            }
            $({
                let address = (c::$name as unsafe extern "C" fn() as *mut c_void).cast_const();
                // SAFETY: it is the C library's function.
                let definition = unsafe { Definition::function_at(address.cast_mut(), None) };
                loader.define(stringify!($name), definition);
            })*
        };
    }
    functions!(malloc realloc free strcmp strncmp sprintf fputs fputc fwrite pthread_mutex_lock
        pthread_mutex_unlock);
    // SAFETY: it is the C library's variable.
    let standard_error = unsafe { Definition::data_at((&raw mut stderr).cast()) };
    loader.define("stderr", standard_error);
}

fn mappings() -> Result<usize> {
    Ok(fs::read_to_string("/proc/self/maps")?.lines().count())
}

/// Ten thousand modules at a time, twice; a panic passes through the last one.
fn many(images: &Images) -> Result<()> {
    panic::set_hook(Box::new(|_| {}));
    let loader = loader();
    let bytes = fs::read(images.0.join("passes"))?;
    // SAFETY: the test made the images.
    let image = unsafe { TrustedImage::assume_trusted(Image::parse(&bytes)?) };
    let mut after_first = 0;
    for _ in 0..2 {
        let modules: Vec<Module> = (0..10_000)
            .map(|_| loader.load(&image, &[]))
            .collect::<Result<_, _>>()?;
        let mut sum = 0_i64;
        let mut n_caught = 0;
        for module in modules.iter().step_by(100).chain(modules.last()) {
            let function = module.lookup::<unsafe extern "C-unwind" fn(i32) -> i32>("passes")?;
            // SAFETY: the image's function has this type and no other contract.
            sum += i64::from(unsafe { function(1) });
            // SAFETY: as above.
            let result = panic::catch_unwind(AssertUnwindSafe(|| unsafe { function(-1) }));
            n_caught += u32::from(result.is_err());
        }
        drop(modules);
        println!("sum {sum} caught {n_caught}");
        let now = mappings()?;
        if after_first != 0 {
            println!("mappings grew by {}", now.saturating_sub(after_first));
        }
        after_first = now;
    }
    Ok(())
}

/// Handlers of forks run and are forgotten; a child loads as its parent does.
fn forks(images: &Images) -> Result<()> {
    let loader = loader();
    let module = images.load(&loader, "forks", &[])?;
    println!("registered {}", call(&module, "registers")?);
    fork_once(images, &loader)?;
    println!("parent {}", call(&module, "forks")?);
    module.unload()?;
    println!("unloaded");
    fork_once(images, &loader)
}

fn fork_once(images: &Images, loader: &Loader) -> Result<()> {
    // SAFETY: this process has one thread.
    let child = unsafe { fork() };
    if child == 0 {
        let base = images.load(loader, "base", &[]);
        let code = base.and_then(|base| call(&base, "base")).unwrap_or(99);
        std::process::exit(code);
    }
    let mut status = 0;
    // SAFETY: the status is written there.
    unsafe { waitpid(child, &raw mut status, 0) };
    println!("child {}", status >> 8);
    Ok(())
}

/// What cannot be: each error says what to do.
fn refused(images: &Images) -> Result<()> {
    let mut loader = loader();
    let show = |loader: &Loader, name: &str| match images.load(loader, name, &[]) {
        Ok(_) => println!("{name}: loaded"),
        Err(error) => println!("{error}"),
    };
    show(&loader, "wants");
    loader.library("libm.so.6");
    show(&loader, "wants");
    show(&loader, "own-initial-exec");
    Ok(())
}
