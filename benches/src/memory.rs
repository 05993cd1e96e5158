//! What a process takes up.

use std::fs;

/// The memory of a process, as the kernel counts it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Memory {
    /// Resident pages, in KiB.
    pub rss: f64,
    /// Resident pages in KiB, each divided by the number of processes that share it.
    pub pss: f64,
    /// Lines of its `maps`.
    pub mappings: f64,
}

impl Memory {
    /// That of this process, without what its allocator could return to the kernel.
    #[must_use]
    pub fn now() -> Self {
        // SAFETY: this changes nothing that anyone holds.
        unsafe { libc::malloc_trim(0) };
        Self::read("self")
    }

    /// That of another process of this user, as it is.
    #[must_use]
    pub fn of(process: u32) -> Self {
        Self::read(&process.to_string())
    }

    fn read(process: &str) -> Self {
        let file = |name: &str| format!("/proc/{process}/{name}");
        let mappings = fs::read(file("maps")).expect("/proc is mounted, and the process lives");
        let n_lines = mappings.iter().filter(|byte| **byte == b'\n').count();
        drop(mappings);
        let rollup = fs::read_to_string(file("smaps_rollup")).expect("as above");
        let field = |name: &str| -> f64 {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            let number = number.expect("the kernel counts it");
            number.parse().expect("it is a number")
        };
        Self {
            rss: field("Rss:"),
            pss: field("Pss:"),
            mappings: n_lines as f64,
        }
    }
}
