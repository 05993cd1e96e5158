//! What is loaded, in the form that each contender takes, all made of the same object.

use std::fs;
use std::path::{Path, PathBuf};

use farcall_benches::Subject;
use farcall_testkit::{Level, Linker, real, tools};

use crate::way::Way;

/// As clang calls it for a shared object; symbols and sections that are not loaded are left out, as in an image.
const LLD_OPTIONS: [&str; 5] = [
    "-shared",
    "-s",
    "--eh-frame-hdr",
    "--hash-style=gnu",
    "--build-id=sha1",
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
                Way::Dlopen | Way::Memfd | Way::ElfLoader | Way::ElfLoaderFile => "so",
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
        let mut lld_options = LLD_OPTIONS.to_vec();
        lld_options.push("-o");
        run(
            "ld.lld-22",
            &lld_options,
            [&self.path(subject, "so"), &object],
        );
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
