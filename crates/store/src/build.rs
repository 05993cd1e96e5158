//! Which build of a program or library it is, by its file: what a key needs of whoever makes the bytes.
//!
//! A version is not enough: a distribution builds one version of LLVM several times, and each may give other code. The GNU
//! build-id is a digest of what the linker wrote, and one read of a few bytes. A file without one is known by its content.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use object::Endianness;
use object::elf::{FileHeader64, NT_GNU_BUILD_ID};
use object::read::ReadCache;
use object::read::elf::{FileHeader as _, ProgramHeader as _};

/// What tells a file's build from others, as bytes for a key.
///
/// Costs two or three small reads for an ELF file of 64 bits with a build-id, else reading all of it.
///
/// # Errors
/// When the file cannot be read.
pub fn of_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len().to_le_bytes();
    Ok(match build_id(file) {
        // Tools that change a finished file keep its build-id, and seldom its size.
        Some(id) => [b"build-id".as_slice(), &size, &id].concat(),
        None => {
            let digest = blake3::hash(&fs::read(path)?);
            [b"content".as_slice(), digest.as_bytes()].concat()
        }
    })
}

/// What tells this process's build from others: that of its program and of every library that is mapped now.
///
/// All of them, because LLVM calls some: what it folds at compile time comes from the host's `libm`.
///
/// # Errors
/// When `/proc` is missing, or a file that is mapped has been replaced.
pub fn of_process() -> io::Result<Vec<u8>> {
    let builds = mapped_files()?.into_iter().map(|path| of_file(&path));
    let mut builds = builds.collect::<io::Result<Vec<_>>>()?;
    // Where they lie does not matter.
    builds.sort();
    let sized = |build: Vec<u8>| [&(build.len() as u64).to_le_bytes(), &build[..]].concat();
    Ok(builds.into_iter().flat_map(sized).collect())
}

/// The files whose code this process has mapped, sorted by path. Files in memory, which have none, are left out: they are what a loader
/// made.
///
/// # Errors
/// When `/proc` is missing.
pub fn mapped_files() -> io::Result<Vec<PathBuf>> {
    let maps = fs::read("/proc/self/maps")?;
    let path = |line: &[u8]| -> Option<PathBuf> {
        // Addresses, permissions, offset, device, inode; then the path, which may have spaces in it.
        let mut rest = line;
        let mut is_code = false;
        for column in 0..5 {
            let end = rest.iter().position(|&byte| byte == b' ')?;
            is_code |= column == 1 && rest[..end].contains(&b'x');
            rest = rest[end..].trim_ascii_start();
        }
        let has_path = rest.starts_with(b"/") && !rest.starts_with(b"/memfd:");
        (is_code && has_path).then(|| PathBuf::from(OsStr::from_bytes(rest)))
    };
    let paths: BTreeSet<PathBuf> = maps.split(|&byte| byte == b'\n').filter_map(path).collect();
    Ok(paths.into_iter().collect())
}

fn build_id(file: File) -> Option<Vec<u8>> {
    let data = &ReadCache::new(file);
    let header = FileHeader64::<Endianness>::parse(data).ok()?;
    let endian = header.endian().ok()?;
    for segment in header.program_headers(endian, data).ok()? {
        let Ok(Some(mut notes)) = segment.notes(endian, data) else {
            continue;
        };
        while let Ok(Some(note)) = notes.next() {
            if note.name() == b"GNU" && note.n_type(endian) == NT_GNU_BUILD_ID {
                return Some(note.desc().to_vec());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_known_by_its_build_id_or_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let exe = of_file(Path::new("/proc/self/exe")).unwrap();
        assert!(exe.starts_with(b"build-id") || exe.starts_with(b"content"));
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        fs::write(&one, "no ELF file").unwrap();
        fs::write(&two, "no ELF file").unwrap();
        assert_eq!(of_file(&one).unwrap(), of_file(&two).unwrap());
        fs::write(&two, "no elf file").unwrap();
        assert_ne!(of_file(&one).unwrap(), of_file(&two).unwrap());
        assert!(of_file(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_changed_build_id_is_another_build() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = fs::read("/proc/self/exe").unwrap();
        let path = folder.path().join("program");
        fs::write(&path, &bytes).unwrap();
        assert_eq!(
            of_file(&path).unwrap(),
            of_file(Path::new("/proc/self/exe")).unwrap()
        );
        let Some(id) = build_id(File::open(&path).unwrap()) else {
            // Known by its content then, which the test above is about.
            return;
        };
        let place = bytes.windows(id.len()).position(|window| window == id);
        let mut changed = bytes;
        changed[place.unwrap()] ^= 1;
        fs::write(&path, &changed).unwrap();
        assert_ne!(
            of_file(&path).unwrap(),
            of_file(Path::new("/proc/self/exe")).unwrap()
        );
    }

    #[test]
    fn a_process_is_its_program_and_its_libraries() {
        let files = mapped_files().unwrap();
        assert!(files.contains(&fs::read_link("/proc/self/exe").unwrap()));
        assert!(
            files
                .iter()
                .any(|path| path.to_string_lossy().contains("libc.so")),
            "{files:?}"
        );
        assert_eq!(of_process().unwrap(), of_process().unwrap());
    }
}
