//! `dlopen` of bytes, by way of a file in memory.

use std::ffi::{CStr, CString, c_void};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::ptr::NonNull;

use farcall_benches::{Contender, Entry};

use super::dlopen;

/// From bytes, written to a memfd that is opened through `/proc` and closed again.
#[derive(Debug)]
pub(crate) struct Memfd {
    bytes: Vec<u8>,
    n_live: usize,
}

impl Memfd {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, n_live: 0 }
    }
}

impl Contender for Memfd {
    type Module = NonNull<c_void>;

    fn load(&mut self) -> Result<NonNull<c_void>, String> {
        // SAFETY: the name ends in a zero byte.
        let descriptor = unsafe { libc::memfd_create(c"module".as_ptr(), libc::MFD_CLOEXEC) };
        if descriptor < 0 {
            return Err(std::io::Error::last_os_error().to_string());
        }
        // SAFETY: the descriptor is new, and nobody else's.
        let mut file = unsafe { File::from_raw_fd(descriptor) };
        file.write_all(&self.bytes)
            .map_err(|error| error.to_string())?;
        let path = path(&file, self.n_live);
        let module = dlopen::open(&path)?;
        self.n_live += 1;
        Ok(module)
    }

    fn entry(&self, module: &NonNull<c_void>, name: &CStr) -> Entry {
        dlopen::entry(*module, name)
    }

    fn unload(&mut self, module: NonNull<c_void>) {
        dlopen::close(module);
        self.n_live -= 1;
    }
}

/// The path of an open file, as no other live module has it: `dlopen` knows a path again, and a closed file's number is
/// used again. So the path spells the index in bits, each a folder that is itself or nothing.
fn path(file: &File, index: usize) -> CString {
    let mut path = "/proc/self/fd/".to_owned();
    let n_bits = usize::BITS - index.leading_zeros();
    for bit in 0..n_bits {
        path += if index >> bit & 1 == 1 { "./" } else { "/" };
    }
    path += &file.as_raw_fd().to_string();
    CString::new(path).expect("no zero byte")
}
