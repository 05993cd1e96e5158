//! farcall's loader.

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use farcall_benches::{Contender, Entry};
use farcall_image::Image;
use farcall_loader::{Loader, Module, TrustedImage};

/// From an image's bytes. Each load is a module of its own.
#[derive(Debug)]
pub(crate) struct Bytes {
    bytes: Vec<u8>,
    loader: Loader,
}

/// From an image's file.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    loader: Loader,
}

impl Bytes {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let loader = Loader::new();
        Self { bytes, loader }
    }
}

impl File {
    pub(crate) fn new(path: &Path) -> Self {
        let (path, loader) = (path.to_owned(), Loader::new());
        Self { path, loader }
    }
}

impl Contender for Bytes {
    type Module = Module;

    fn load(&mut self) -> Result<Module, String> {
        let image = Image::parse(&self.bytes).map_err(|error| error.to_string())?;
        // SAFETY: the bench linked it, of sources that want nothing of their host.
        let image = unsafe { TrustedImage::assume_trusted(image) };
        let module = self.loader.load(&image, &[]);
        module.map_err(|error| error.to_string())
    }

    fn entry(&self, module: &Module, name: &CStr) -> Entry {
        entry(module, name)
    }

    fn unload(&mut self, module: Module) {
        module.unload().expect("nobody uses it");
    }
}

impl Contender for File {
    type Module = Module;

    fn load(&mut self) -> Result<Module, String> {
        // SAFETY: the bench linked it, of sources that want nothing of their host, and leaves it as it is.
        let module = unsafe { self.loader.map_file(&self.path, &[]) };
        module.map_err(|error| error.to_string())
    }

    fn entry(&self, module: &Module, name: &CStr) -> Entry {
        entry(module, name)
    }

    fn unload(&mut self, module: Module) {
        module.unload().expect("nobody uses it");
    }
}

fn entry(module: &Module, name: &CStr) -> Entry {
    // Checking that it is UTF-8 would be a part of what is measured, and is not a part of a lookup.
    // SAFETY: the subjects' names are ASCII.
    let name = unsafe { std::str::from_utf8_unchecked(name.to_bytes()) };
    *module.lookup::<Entry>(name).expect("it is there")
}
