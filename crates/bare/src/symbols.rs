//! The symbols of this process, by name.

#![allow(
    unsafe_code,
    reason = "only the system's dynamic linker knows what this process exports"
)]
#![deny(clippy::multiple_unsafe_ops_per_block)]

use std::collections::{HashMap, HashSet};
use std::ffi::{CString, c_void};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What is found here, and what controllers have been told of.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    offered: HashMap<String, u64>,
    libraries: Vec<Library>,
    told: Mutex<HashSet<u64>>,
}

/// A library that is opened when a name is found nowhere else, and stays open.
#[derive(Debug)]
struct Library {
    name: String,
    /// Its handle, or 0 when it cannot be opened.
    handle: OnceLock<usize>,
}

impl Symbols {
    pub(crate) fn new(libraries: Vec<String>) -> Self {
        let library = |name| Library {
            name,
            handle: OnceLock::new(),
        };
        Self {
            libraries: libraries.into_iter().map(library).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn offer(&mut self, name: String, address: u64) {
        self.offered.insert(name, address);
    }

    /// The address of a symbol, 0 when there is none: of those offered, then of what this process exports, then of the
    /// libraries. A name may end in a version, as in `puts@GLIBC_2.2.5`.
    pub(crate) fn find(&self, name: &str) -> u64 {
        let address = self.address(name);
        if address != 0 {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.insert(address);
        }
        address
    }

    fn address(&self, name: &str) -> u64 {
        if let Some(&address) = self.offered.get(name) {
            return address;
        }
        let found = symbol(libc::RTLD_DEFAULT, name);
        let in_libraries = || {
            let mut libraries = self.libraries.iter().filter_map(Library::open);
            libraries.find_map(|library| symbol(library, name))
        };
        found.or_else(in_libraries).unwrap_or(0)
    }

    /// Whether a controller has been told this address.
    pub(crate) fn has_told(&self, address: u64) -> bool {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.contains(&address)
    }
}

impl Library {
    fn open(&self) -> Option<*mut c_void> {
        let handle = *self.handle.get_or_init(|| {
            let Ok(name) = CString::new(self.name.as_str()) else {
                return 0;
            };
            let flags = libc::RTLD_NOW | libc::RTLD_LOCAL;
            // SAFETY: the name is a C string; what its constructors do is for whoever named the library to know.
            let handle = unsafe { libc::dlopen(name.as_ptr(), flags) };
            handle.expose_provenance()
        });
        let handle: *mut c_void = std::ptr::with_exposed_provenance_mut(handle);
        (!handle.is_null()).then_some(handle)
    }
}

fn symbol(handle: *mut c_void, name: &str) -> Option<u64> {
    let (name, version) = match name.split_once('@') {
        Some((name, version)) => (name, Some(CString::new(version).ok()?)),
        None => (name, None),
    };
    let name = CString::new(name).ok()?;
    let address = match version {
        #[cfg(target_env = "gnu")]
        // SAFETY: the handle is open, the name and the version are C strings.
        Some(version) => unsafe { libc::dlvsym(handle, name.as_ptr(), version.as_ptr()) },
        // SAFETY: the handle is open, the name a C string.
        _ => unsafe { libc::dlsym(handle, name.as_ptr()) },
    };
    (!address.is_null()).then_some(address.expose_provenance() as u64)
}
