//! The crate `elf_loader`.

use std::ffi::{CStr, CString};
use std::path::Path;

use elf_loader::image::{LoadedCore, ModuleHandle, SyntheticModule, SyntheticSymbol};
use elf_loader::input::IntoElfReader;
use elf_loader::{AddressSpaceId, Domain, Loader, Relocator};
use farcall_benches::{Contender, Entry};
use farcall_testkit::elf;

/// From bytes.
pub(crate) struct Bytes {
    bytes: Vec<u8>,
    loading: Loading,
}

/// From a file.
pub(crate) struct File {
    path: String,
    loading: Loading,
}

/// What both need.
struct Loading {
    domain: Domain,
    /// What the process has of what the file imports: this loader looks nowhere by itself.
    host: ModuleHandle,
}

impl Bytes {
    pub(crate) fn new(path: &Path, bytes: Vec<u8>) -> Self {
        let loading = Loading::new(path);
        Self { bytes, loading }
    }
}

impl File {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_str().expect("a path of ours").to_owned(),
            loading: Loading::new(path),
        }
    }
}

impl Loading {
    fn new(path: &Path) -> Self {
        let domain = Domain::native(AddressSpaceId::PROCESS);
        let mut symbols = Vec::new();
        for name in elf::symbol_names(path).unwrap() {
            let name = CString::new(name).expect("no zero byte");
            // SAFETY: the name ends in a zero byte.
            let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
            if !address.is_null() {
                symbols.push(SyntheticSymbol::function(name, address.cast_const().cast()));
            }
        }
        let host = SyntheticModule::new(&domain, "host", symbols).into();
        Self { domain, host }
    }

    fn load(&self, input: impl IntoElfReader) -> Result<LoadedCore<()>, String> {
        let loader = Loader::new();
        let raw = loader.run(self.domain.clone()).load_dylib(input);
        let raw = raw.map_err(|error| error.to_string())?;
        let relocator = Relocator::new();
        let run = relocator.run(raw).with_modules([self.host.clone()]);
        let module = run.and_then(|run| run.relocate());
        module.map_err(|error| error.to_string())
    }
}

impl Contender for Bytes {
    type Module = LoadedCore<()>;

    fn load(&mut self) -> Result<LoadedCore<()>, String> {
        self.loading.load(&self.bytes)
    }

    fn entry(&self, module: &LoadedCore<()>, name: &CStr) -> Entry {
        entry(module, name)
    }

    fn unload(&mut self, module: LoadedCore<()>) {
        drop(module);
    }
}

impl Contender for File {
    type Module = LoadedCore<()>;

    fn load(&mut self) -> Result<LoadedCore<()>, String> {
        self.loading.load(self.path.as_str())
    }

    fn entry(&self, module: &LoadedCore<()>, name: &CStr) -> Entry {
        entry(module, name)
    }

    fn unload(&mut self, module: LoadedCore<()>) {
        drop(module);
    }
}

fn entry(module: &LoadedCore<()>, name: &CStr) -> Entry {
    // SAFETY: the subjects' functions are of this type, or their caller changes it back.
    let symbol = unsafe { module.get::<Entry>(name.to_bytes()) };
    *symbol.expect("lookups work").expect("it is there")
}
