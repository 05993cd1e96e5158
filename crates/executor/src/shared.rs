//! Memory that two processes share: the unsafe steps.
//!
//! The other process may write there at any time and anything. So its bytes are copied and never referred to: a slice says that
//! nobody changes what is in it. Words that both sides change are atomic.

#![allow(
    unsafe_code,
    reason = "the compiler knows nothing of memory that another process writes"
)]

use std::ffi::{CStr, c_void};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use rustix::process::{Resource, getrlimit};

/// Nobody can make the file shorter, which would end the processes that use the memory, or longer, or take this back.
const SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

/// statfs(2), `f_type`: the file system of files in memory. Those of huge pages are on another one.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// A mapping of a whole file in memory, which ends with this.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    size: usize,
}

/// Words that any thread of both processes changes.
#[derive(Debug)]
pub(crate) struct Words {
    mapping: Arc<Mapping>,
    size: usize,
}

/// Bytes that one thread of this process copies at a time.
#[derive(Debug)]
pub(crate) struct Bytes {
    mapping: Arc<Mapping>,
    start: usize,
    size: usize,
}

// SAFETY: the mapping has no thread. What is done with its memory is up to `Words`, `Bytes`, and who is given the address.
unsafe impl Send for Mapping {}

// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// New memory of `size` zero bytes, at least one, and the file to be given to the other process. All of it is taken now.
    ///
    /// # Errors
    ///
    /// The system's, when it has no such files or not as much memory.
    pub(crate) fn create(name: &CStr, size: usize) -> io::Result<(OwnedFd, Self)> {
        let n_bytes = size as u64;
        // Growing a file beyond this limit, even one in memory, ends the process by a signal.
        if getrlimit(Resource::Fsize)
            .current
            .is_some_and(|limit| n_bytes > limit)
        {
            return Err(Errno::FBIG.into());
        }
        let create = |flags| rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | flags);
        // Some systems refuse files that do not say that they are no programs, and old ones do not know how that is said.
        let sealing = MemfdFlags::ALLOW_SEALING;
        let file = create(sealing | MemfdFlags::NOEXEC_SEAL).or_else(|_| create(sealing))?;
        rustix::fs::ftruncate(&file, n_bytes)?;
        rustix::fs::fcntl_add_seals(&file, SEALS)?;
        let mapping = Self::map(file.as_fd(), size)?;
        Ok((file, mapping))
    }

    /// The memory of a file that another process has made, whatever it is. The file need not stay open.
    ///
    /// The other process can still take memory out of the file, which comes back as zeros when it is used; where the system then has none left,
    /// that ends the process that used it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when it is none of [`Mapping::create`]'s kind, or of a size that is not `wanted`; the system's.
    pub(crate) fn open(
        file: BorrowedFd<'_>,
        wanted: impl FnOnce(usize) -> bool,
    ) -> io::Result<Self> {
        let refused = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
        let seals = rustix::fs::fcntl_get_seals(file)
            .map_err(|_| refused("shared memory: not a file in memory"))?;
        if !seals.contains(SealFlags::SHRINK | SealFlags::GROW) {
            return Err(refused("shared memory: its size may change"));
        }
        // Using a huge page when there is none left ends the process.
        if rustix::fs::fstatfs(file)?.f_type != TMPFS_MAGIC {
            return Err(refused("shared memory: not of ordinary pages"));
        }
        let size = usize::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0);
        if !wanted(size) {
            return Err(refused("shared memory: not of a size that is wanted"));
        }
        Self::map(file, size)
    }

    /// `size` is the file's, and stays so.
    fn map(file: BorrowedFd<'_>, size: usize) -> io::Result<Self> {
        // All memory is there from now on: when there is not enough, this fails, and no access does.
        rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size as u64)?;
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping, at an address that the system chooses.
        let start = unsafe { rustix::mm::mmap(ptr::null_mut(), size, protection, flags, file, 0) }?;
        let start = NonNull::new(start.cast());
        Ok(Self {
            start: start.expect("the system maps nothing at null unless asked to"),
            size,
        })
    }

    /// All of it as bytes.
    pub(crate) fn into_bytes(self) -> Bytes {
        let size = self.size;
        Bytes {
            mapping: Arc::new(self),
            start: 0,
            size,
        }
    }

    /// The first bytes as words, and the two halves of the rest, so that no two threads of this process copy the same bytes.
    ///
    /// # Panics
    ///
    /// If it has no room for the words, whose size is in bytes.
    pub(crate) fn divide(self, size: usize) -> (Words, [Bytes; 2]) {
        assert!(size <= self.size, "the words are in the memory");
        let half = (self.size - size) / 2;
        let mapping = Arc::new(self);
        let halves = [size, size + half].map(|start| Bytes {
            mapping: Arc::clone(&mapping),
            start,
            size: half,
        });
        (Words { mapping, size }, halves)
    }

    /// The address of the first byte, which code that is called may be given. A page starts there.
    pub(crate) fn address(&self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let address = self.start.as_ptr().cast::<c_void>();
        // SAFETY: the mapping is this value's, and all that refers to it keeps this value.
        let unmapped = unsafe { rustix::mm::munmap(address, self.size) };
        // It fails for what is no mapping.
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

impl Words {
    /// The word at `offset` in bytes.
    pub(crate) fn at(&self, offset: usize) -> &AtomicU32 {
        let is_inside = offset.is_multiple_of(4) && offset < self.size && self.size - offset >= 4;
        assert!(is_inside, "a word at {offset} of {} bytes", self.size);
        // SAFETY: the offset is inside of the mapping.
        let word = unsafe { self.mapping.start.add(offset) };
        // SAFETY: the address is a multiple of 4, as that of the mapping is. It is mapped as long as `self` is there, for
        // reading and writing, and the file is never shorter. Nobody in this process accesses it but by this function.
        unsafe { AtomicU32::from_ptr(word.as_ptr().cast()) }
    }
}

impl Bytes {
    /// How many there are.
    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// Copies `bytes` to `offset`.
    pub(crate) fn copy_in(&mut self, offset: usize, bytes: &[u8]) {
        let to = self.address(offset, bytes.len());
        // SAFETY: `to` has room for them, and is mapped, as `address` says; no Rust object is there. With `&mut self` no thread
        // of this process copies them at the same time. The other process may: then it gets any bytes, as it could have had anyway.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    /// Copies what is at `offset` to `space`.
    pub(crate) fn copy_out(&self, offset: usize, space: &mut [u8]) {
        let from = self.address(offset, space.len());
        // SAFETY: as in `copy_in`, and with `&self` no thread of this process writes there. If the other process writes at the same time, `space` has any bytes, as it could have been
        // sent anyway: they are looked at only in `space`, which does not change any more.
        unsafe { ptr::copy_nonoverlapping(from, space.as_mut_ptr(), space.len()) };
    }

    /// The address of `n_bytes` bytes at `offset`, which are inside.
    fn address(&self, offset: usize, n_bytes: usize) -> *mut u8 {
        let is_inside = offset <= self.size && self.size - offset >= n_bytes;
        assert!(is_inside, "{n_bytes} at {offset} of {} bytes", self.size);
        // SAFETY: `start..start + size` is inside of the mapping, and the offset inside of that.
        unsafe { self.mapping.start.add(self.start + offset) }.as_ptr()
    }
}
