//! What is shipped, in the forms that the contenders take, all made of the same objects.

use std::fs;
use std::path::{Path, PathBuf};

use farcall_benches::Subject;
use farcall_testkit::paths::target_dir;
use farcall_testkit::{Level, Linker, real, tools};

/// ORC's executor, of Debian's package `llvm-22`.
const ORC_EXECUTOR: &str = "llvm-jitlink-executor-22";

/// What Lua runs.
const SCRIPT: &str = "print('hello')\n";

/// A folder of objects and images.
#[derive(Debug)]
pub(crate) struct Artefacts {
    folder: tempfile::TempDir,
    lua_objects: Vec<PathBuf>,
}

impl Artefacts {
    pub(crate) fn make() -> Self {
        let lua = real::lua().unwrap();
        let artefacts = Self {
            folder: tempfile::tempdir().unwrap(),
            lua_objects: lua.objects(Level::O2).unwrap(),
        };
        let (name, text) = Subject::Tiny.source().unwrap();
        let source = artefacts.path(name);
        fs::write(&source, text).unwrap();
        compile(&source, &artefacts.object(Subject::Tiny));
        let wrapper = Path::new(env!("CARGO_MANIFEST_DIR")).join("remote/wrapper.c");
        compile(&wrapper, &artefacts.wrapper());
        let crash = Path::new(env!("CARGO_MANIFEST_DIR")).join("remote/crash.c");
        compile(&crash, &artefacts.path("crash.o"));
        link(&[artefacts.path("crash.o")], &artefacts.crash());
        let sqlite = real::sqlite().unwrap().objects(Level::O2).unwrap();
        fs::copy(&sqlite[0], artefacts.object(Subject::Sqlite)).unwrap();
        for subject in [Subject::Tiny, Subject::Sqlite] {
            link(&[artefacts.object(subject)], &artefacts.image(subject));
        }
        link(&artefacts.lua_objects, &artefacts.lua_image());
        fs::write(artefacts.script(), SCRIPT).unwrap();
        artefacts
    }

    pub(crate) fn object(&self, subject: Subject) -> PathBuf {
        self.path(&format!("{}.o", subject.name()))
    }

    pub(crate) fn image(&self, subject: Subject) -> PathBuf {
        self.path(&format!("{}.image", subject.name()))
    }

    /// The object of ORC's own kind of function.
    pub(crate) fn wrapper(&self) -> PathBuf {
        self.path("wrapper.o")
    }

    /// An image with a function that crashes and one that does not.
    pub(crate) fn crash(&self) -> PathBuf {
        self.path("crash.image")
    }

    pub(crate) fn lua_objects(&self) -> &[PathBuf] {
        &self.lua_objects
    }

    pub(crate) fn lua_image(&self) -> PathBuf {
        self.path("lua.image")
    }

    pub(crate) fn script(&self) -> PathBuf {
        self.path("hello.lua")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// farcall's executor, as it was built last for release.
pub(crate) fn executor() -> PathBuf {
    let path = target_dir().join("release/farcall-executor");
    assert!(
        path.exists(),
        "{}: build it: cargo build --release --package farcall-executor",
        path.display()
    );
    path
}

/// ORC's executor.
pub(crate) fn orc_executor() -> PathBuf {
    tools::find(ORC_EXECUTOR).unwrap()
}

fn compile(source: &Path, object: &Path) {
    let options = ["-O1", "-fPIC", "-c", "-o"].map(Path::new);
    let arguments = [&options[..], &[object, source]].concat();
    tools::run("clang-22", &arguments).unwrap();
}

fn link(objects: &[PathBuf], image: &Path) {
    let objects: Vec<(String, Vec<u8>)> = objects
        .iter()
        .map(|path| (path.display().to_string(), fs::read(path).unwrap()))
        .collect();
    let mut linker = Linker::new();
    for (name, bytes) in &objects {
        linker.add(name.clone(), bytes);
    }
    fs::write(image, linker.link().unwrap()).unwrap();
}
