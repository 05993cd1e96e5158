//! `dlopen` of a file.

use std::ffi::{CStr, CString, c_void};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr::NonNull;

use farcall_benches::{Contender, Entry};

/// From a file, and from copies of it where several modules live at one time: `dlopen` knows a file again.
#[derive(Debug)]
pub(crate) struct File {
    /// The file, then its copies.
    paths: Vec<CString>,
    folder: tempfile::TempDir,
    n_live: usize,
}

impl File {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            paths: vec![c_string(path)],
            folder: tempfile::tempdir().unwrap(),
            n_live: 0,
        }
    }
}

impl Contender for File {
    type Module = NonNull<c_void>;

    fn prepare(&mut self, count: usize) {
        for index in self.paths.len()..self.n_live + count {
            let copy = self.folder.path().join(format!("{index}.so"));
            fs::copy(self.paths[0].to_str().unwrap(), &copy).unwrap();
            self.paths.push(c_string(&copy));
        }
    }

    fn load(&mut self) -> Result<NonNull<c_void>, String> {
        let module = open(&self.paths[self.n_live])?;
        self.n_live += 1;
        Ok(module)
    }

    fn entry(&self, module: &NonNull<c_void>, name: &CStr) -> Entry {
        entry(*module, name)
    }

    fn unload(&mut self, module: NonNull<c_void>) {
        close(module);
        self.n_live -= 1;
    }
}

fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

/// Opens a file, binding all at once.
pub(crate) fn open(path: &CStr) -> Result<NonNull<c_void>, String> {
    // SAFETY: the name ends in a zero byte; the bench linked the file, of sources that want nothing of their host.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    NonNull::new(handle).ok_or_else(|| {
        // SAFETY: `dlopen` failed on this thread, so there is a message, which ends in a zero byte.
        let message = unsafe { CStr::from_ptr(libc::dlerror()) };
        message.to_string_lossy().into_owned()
    })
}

pub(crate) fn entry(module: NonNull<c_void>, name: &CStr) -> Entry {
    // SAFETY: the handle is open, and the name ends in a zero byte.
    let address = unsafe { libc::dlsym(module.as_ptr(), name.as_ptr()) };
    assert!(!address.is_null(), "{name:?}");
    // SAFETY: the subjects' functions are of this type, or their caller changes it back.
    unsafe { std::mem::transmute::<*mut c_void, Entry>(address) }
}

pub(crate) fn close(module: NonNull<c_void>) {
    // SAFETY: the handle is open, and nobody uses the module any more.
    let status = unsafe { libc::dlclose(module.as_ptr()) };
    assert_eq!(status, 0);
}
