//! Which builds of farcall, LLVM and the host's libraries make an image's bytes, and on which CPU `native` is decided.
//!
//! None of it loads LLVM, unless a file has changed since it was last asked for.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use farcall::store::{Fact, KeyBuilder, Store, build};

/// What decides which libraries a program gets.
const VARIABLES: &[&str] = &[
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LD_AUDIT",
    "GLIBC_TUNABLES",
];
const FILES: &[&str] = &["/etc/ld.so.cache", "/etc/ld.so.preload"];

/// This program, which links.
pub(crate) fn linker() -> io::Result<Vec<u8>> {
    build::of_file(Path::new("/proc/self/exe"))
}

/// `farcall-compile` and all that it maps: LLVM, and what LLVM calls, such as the `libm` that it folds constants with.
///
/// Only the system's dynamic linker knows what that is, so the program is asked, and asked again when any of these files has
/// changed, or what the dynamic linker goes by.
pub(crate) fn compiler(store: &Store, program: &Path) -> io::Result<[u8; 32]> {
    let mut question = KeyBuilder::new("farcall-compile's build");
    question = question.field("program", program.as_os_str().as_bytes());
    for name in VARIABLES {
        if let Some(value) = std::env::var_os(name) {
            question = question.field(name, value.as_bytes());
        }
    }
    let label = format!("build of {}", program.display());
    store.fact(question, &label, || {
        let libraries = libraries_of(program)?;
        let mut builds = Vec::new();
        for path in &libraries {
            builds.push(build::of_file(path)?);
        }
        // Where they lie does not matter.
        builds.sort();
        let answer = KeyBuilder::new("farcall-compile's build");
        let answer = builds
            .iter()
            .fold(answer, |answer, build| answer.field("file", build));
        let folders = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let mut witnesses = vec![program.to_owned()];
        witnesses.extend(FILES.iter().map(PathBuf::from));
        witnesses.extend(std::env::split_paths(&folders));
        witnesses.extend(libraries);
        Ok(Fact {
            answer: *answer.finish().as_bytes(),
            witnesses,
        })
    })
}

fn libraries_of(program: &Path) -> io::Result<Vec<PathBuf>> {
    let mut command = Command::new(program);
    command.arg("--libraries").stdin(Stdio::null());
    let output = command.output()?;
    let paths = output.stdout.split(|&byte| byte == 0);
    let paths = paths.filter(|path| !path.is_empty());
    let paths: Vec<_> = paths
        .map(|path| OsString::from_vec(path.to_vec()).into())
        .collect();
    match output.status.success() && !paths.is_empty() {
        true => Ok(paths),
        false => Err(io::Error::other(format!(
            "{} does not say what it is made of",
            program.display()
        ))),
    }
}

/// The processor that `native` means. Of the first that the system lists: they are alike in what programs may use.
pub(crate) fn host_cpu() -> io::Result<Vec<u8>> {
    /// Names of x86-64, then of AArch64.
    const COLUMNS: &[&str] = &[
        "vendor_id",
        "cpu family",
        "model",
        "stepping",
        "flags",
        "CPU implementer",
        "CPU architecture",
        "CPU variant",
        "CPU part",
        "Features",
    ];
    /// More than one processor takes.
    const SIZE: u64 = 16 << 10;
    let mut text = Vec::new();
    std::fs::File::open("/proc/cpuinfo")?
        .take(SIZE)
        .read_to_end(&mut text)?;
    let lines = text.split(|&byte| byte == b'\n');
    let first = lines.take_while(|line| !line.is_empty());
    let is_wanted = |line: &&[u8]| {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        COLUMNS
            .iter()
            .any(|column| OsStr::from_bytes(name.trim_ascii()) == *column)
    };
    let cpu = first.filter(is_wanted).collect::<Vec<_>>().join(&b'\n');
    match cpu.is_empty() {
        true => Err(io::Error::other(
            "/proc/cpuinfo does not name the processor",
        )),
        false => Ok(cpu),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_host_has_a_processor() {
        let cpu = super::host_cpu().unwrap();
        assert!(String::from_utf8(cpu.clone()).unwrap().lines().count() >= 5);
        assert_eq!(cpu, super::host_cpu().unwrap());
    }
}
