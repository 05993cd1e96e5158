//! The contenders that need no LLVM, one a file.

mod dlopen;
mod elf_loader;
mod farcall;
mod memfd;

use std::fs;
use std::path::Path;

use farcall_benches::{Subject, open_global, serve as answer};

use crate::way::Way;

/// Answers requests as one contender: what its process does.
pub(crate) fn serve(way: Way, subject: Subject, file: &Path) {
    let bytes = || fs::read(file).unwrap();
    // Before a contender looks at what the process has.
    open_global(subject.libraries());
    match way {
        Way::Farcall => answer(farcall::Bytes::new(bytes()), subject),
        Way::FarcallFile => answer(farcall::File::new(file), subject),
        Way::Dlopen => answer(dlopen::File::new(file), subject),
        Way::Memfd => answer(memfd::Memfd::new(bytes()), subject),
        Way::ElfLoader => answer(elf_loader::Bytes::new(file, bytes()), subject),
        Way::ElfLoaderFile => answer(elf_loader::File::new(file), subject),
        Way::JitLink => panic!("JITLink is a program of its own"),
    }
}
