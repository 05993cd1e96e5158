//! What a process holds, and waiting that ends.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use farcall_testkit::tools;

use super::Process;

/// Longer than anything here takes: what goes on for so long hangs.
pub const FOREVER: Duration = Duration::from_secs(60);

/// Does something that has to end, and gives what it gives. That it panics is the caller's panic.
#[track_caller]
pub fn ends<T: Send + 'static>(what: &str, action: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    let thread = thread::spawn(move || {
        let _ = done.send(action());
    });
    match result.recv_timeout(FOREVER) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            thread.join().unwrap();
            panic!("{what}: it panicked");
        }
    }
}

/// Waits until something is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < FOREVER, "{what}: never");
        thread::sleep(Duration::from_millis(2));
    }
}

impl Process {
    fn proc(&self, file: &str) -> PathBuf {
        ["/proc", &self.child.id().to_string(), file]
            .iter()
            .collect()
    }

    /// How many of its threads serve a connection.
    pub fn n_serving(&self) -> usize {
        let tasks = fs::read_dir(self.proc("task")).unwrap().flatten();
        let names = tasks.map(|task| fs::read_to_string(task.path().join("comm")));
        names
            .filter(|name| name.as_ref().is_ok_and(|name| name == "connection\n"))
            .count()
    }

    pub fn n_descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// What of it is in memory, in bytes; nothing that says much where the machine is emulated, whose translations of code are in it too.
    pub fn resident(&self) -> usize {
        if tools::is_emulated() {
            return 0;
        }
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
        kilobytes.parse::<usize>().unwrap() << 10
    }

    /// Waits for a byte that shipped code has printed.
    pub fn heard(&mut self) -> u8 {
        let mut byte = [0];
        self.stdout.read_exact(&mut byte).unwrap();
        byte[0]
    }
}
