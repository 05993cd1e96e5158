//! An executor's process with something in it that can be interrupted.

use farcall_executor::{Executor, RemoteModule};
use farcall_image::Image;
use tempfile::TempDir;

use super::{Process, image, start_in_process};

/// What prints a byte has begun. Standard output is the test's.
pub const SOURCE: &str = "
    #include <string.h>
    #include <time.h>
    #include <unistd.h>
    int add(int a, int b) { return a + b; }
    void nap(int milliseconds) {
        struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
        nanosleep(&time, 0);
    }
    void stay(int milliseconds) {
        write(1, \"c\", 1);
        if (milliseconds) nap(milliseconds);
        else for (;;) pause();
    }
    void fill(unsigned char *bytes, int value, long n) { memset(bytes, value, n); }
";

/// An image whose constructor takes this many milliseconds, or all the time there is.
pub fn slow_start(milliseconds: u32) -> Vec<u8> {
    let start = "__attribute__((constructor)) static void start(void)";
    image(&format!(
        "{SOURCE} {start} {{ stay({milliseconds}); }} int two(void) {{ return 2; }}"
    ))
}

/// An image that no socket's buffers hold.
pub fn large() -> Vec<u8> {
    image("char large[24 << 20] = {1}; char *where(void) { return large; }")
}

pub fn unix(folder: &TempDir) -> String {
    format!("unix:{}", folder.path().join("socket").display())
}

/// An executor, its controller and a module.
pub struct There {
    pub process: Process,
    pub executor: Executor,
    pub module: RemoteModule,
}

pub fn there(listen: &str) -> There {
    let process = start_in_process(listen);
    let executor = process.connect();
    let module = executor
        .load(&Image::parse(&image(SOURCE)).unwrap())
        .unwrap();
    There {
        process,
        executor,
        module,
    }
}
