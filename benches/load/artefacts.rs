//! What is loaded, in the form that each contender takes, all made of the same object.

use std::fs;
use std::path::{Path, PathBuf};

use farcall_benches::Subject;
use farcall_testkit::{Level, Linker, real, tools};

use crate::way::Way;

/// How a shared object is made for `dlopen`: by the compiler's driver, with what that adds, as a library is.
/// Symbols and sections that are not loaded are left out, as in an image.
const DRIVER_OPTIONS: [&str; 4] = ["-shared", "-fuse-ld=lld", "-s", "-o"];
/// For `elf_loader`, which loads no libraries, by the linker alone.
const LLD_OPTIONS: [&str; 6] = [
    "-shared",
    "-s",
    "--eh-frame-hdr",
    "--hash-style=gnu",
    "--build-id=sha1",
    "-o",
];

/// A folder of objects, images and shared objects.
#[derive(Debug)]
pub(crate) struct Artefacts {
    folder: tempfile::TempDir,
}

impl Artefacts {
    /// Compiles and links all subjects.
    pub(crate) fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let artefacts = Self { folder };
        for subject in Subject::ALL {
            artefacts.object(subject);
            artefacts.link(subject);
        }
        artefacts
    }

    /// The file that a contender is given.
    pub(crate) fn file(&self, way: Way, subject: Subject) -> PathBuf {
        self.path(
            subject,
            match way {
                Way::Farcall | Way::FarcallFile => "image",
                Way::Dlopen | Way::Memfd => "so",
                Way::ElfLoader | Way::ElfLoaderFile => "elf",
                Way::JitLink => "o",
            },
        )
    }

    fn path(&self, subject: Subject, extension: &str) -> PathBuf {
        let name = format!("{}.{extension}", subject.name());
        self.folder.path().join(name)
    }

    fn object(&self, subject: Subject) {
        let object = self.path(subject, "o");
        if let Some((name, text)) = subject.source() {
            let source = self.folder.path().join(name);
            fs::write(&source, text).unwrap();
            run(
                "clang-22",
                &["-O1", "-fPIC", "-c", "-o"],
                [&object, &source],
            );
        } else {
            let sqlite = real::sqlite().unwrap().objects(Level::O2).unwrap();
            fs::copy(&sqlite[0], object).unwrap();
        }
    }

    fn link(&self, subject: Subject) {
        let object = self.path(subject, "o");
        let shared = self.path(subject, "so");
        run("clang-22", &DRIVER_OPTIONS, [&shared, &object]);
        let bare = self.path(subject, "elf");
        run("ld.lld-22", &LLD_OPTIONS, [&bare, &object]);
        let bytes = fs::read(&object).unwrap();
        let name = format!("{}.o", subject.name());
        let image = Linker::new().add(name, &bytes).link().unwrap();
        fs::write(self.path(subject, "image"), image).unwrap();
    }
}

fn run(tool: &str, options: &[&str], files: [&Path; 2]) {
    let options = options.iter().map(AsRef::as_ref);
    let files = files.map(Path::as_os_str);
    let arguments: Vec<_> = options.chain(files).collect();
    tools::run(tool, &arguments).unwrap();
}
