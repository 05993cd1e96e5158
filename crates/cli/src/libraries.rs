//! The system libraries that programs find without naming them, and those named with `-l`.

use std::path::{Path, PathBuf};

use farcall::{Loader, Machine};

/// What a C or C++ compiler driver links.
const DRIVER: &[&str] = &["libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6"];

/// Where shared libraries are, after `LD_LIBRARY_PATH`.
const FOLDERS: &[&str] = &[
    "/usr/local/lib",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];

/// A loader that binds to this process, the libraries named and those of a compiler driver.
pub(crate) fn loader(named: &[String]) -> anyhow::Result<Loader> {
    let mut loader = Loader::new();
    for name in named {
        loader.library(&find(name)?);
    }
    for name in DRIVER {
        loader.library(name);
    }
    Ok(loader)
}

/// The file that is the compilers' runtime archive for a machine, where there is one: a compiler driver links from it
/// what the machine has no instruction for, such as 128-bit division.
pub(crate) fn compiler_runtime(machine: Machine) -> Option<PathBuf> {
    const X86_64: &[&str] = &[
        "/usr/lib/gcc/x86_64-linux-gnu",
        "/usr/lib/gcc/x86_64-pc-linux-gnu",
    ];
    const AARCH64: &[&str] = &[
        "/usr/lib/gcc/aarch64-linux-gnu",
        "/usr/lib/gcc-cross/aarch64-linux-gnu",
    ];
    let folders = match machine {
        Machine::Aarch64 => AARCH64,
        _ => X86_64,
    };
    let versions = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten();
    let paths = versions.filter_map(|version| Some(version.ok()?.path().join("libgcc.a")));
    let number = |path: &PathBuf| -> Option<u32> {
        path.parent()?
            .file_name()?
            .to_str()?
            .split('.')
            .next()?
            .parse()
            .ok()
    };
    paths.filter(|path| path.exists()).max_by_key(number)
}

/// The file of library `name`: `z` is `libz.so` or `libz.so.VERSION`; a file's name is itself.
fn find(name: &str) -> anyhow::Result<String> {
    if name.contains('/') || name.contains(".so") {
        return Ok(name.to_owned());
    }
    let path = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.iter().map(PathBuf::from));
    let prefix = format!("lib{name}.so");
    for folder in folders {
        let mut found = versions(&folder, &prefix);
        // The one with the shortest name is what others link to: libz.so.1, not libz.so.1.2.13.
        found.sort_by_key(|file| (file.len(), file.clone()));
        if let Some(file) = found.first() {
            return Ok(folder.join(file).display().to_string());
        }
    }
    anyhow::bail!("-l {name}: no {prefix} or {prefix}.VERSION in the folders of shared libraries")
}

/// The files of the folder whose name is `prefix` or goes on with a version, and that are ELF: a
/// `libc.so` may be a linker script.
fn versions(folder: &Path, prefix: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_version = |name: &String| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let is_elf = |name: &String| {
        use std::io::Read as _;
        let mut magic = [0; 4];
        let file = std::fs::File::open(folder.join(name));
        file.and_then(|mut file| file.read_exact(&mut magic))
            .is_ok()
            && &magic == b"\x7fELF"
    };
    names.filter(is_version).filter(is_elf).collect()
}
