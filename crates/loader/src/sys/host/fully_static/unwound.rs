//! Code that LLVM's libunwind is to know, which Rust links with musl.
//!
//! It asks `dl_iterate_phdr` for the program headers of every object in the process, and searches the
//! `.eh_frame_hdr` of the one that has the code. In a static program that function tells of the program
//! alone. musl defines it weakly, so that a program may have its own: this is it. It tells of the program,
//! and then of each table that was registered, as if that were an object. It takes no lock: what is
//! registered may change while someone goes through it, but not what he is after, whose code he is in.
//!
//! Tried and rejected: `__register_frame`, which takes one record here, and
//! `__unw_add_dynamic_eh_frame_section`, which takes those of an image. Both copy them to a list that is
//! searched from its start at each frame, and cannot know a table that changes.

use std::any::Any;
use std::ffi::{c_int, c_void};
use std::mem;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::program;
use crate::sys::host::UnwindTable;

/// Code and the `.eh_frame_hdr` for it, by their addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unwound {
    code: u64,
    code_size: u64,
    header: u64,
    header_size: u64,
}

const NOTHING: Unwound = Unwound {
    code: 0,
    code_size: 0,
    header: 0,
    header_size: 0,
};

/// A place for one registration. There are as many as there were at a time, and they stay.
#[derive(Debug)]
struct Place {
    /// Odd while the words change.
    version: AtomicU64,
    words: [AtomicU64; 4],
    next: *const Place,
}

// SAFETY: `next` is written before anyone else sees the place, and places stay.
unsafe impl Sync for Place {}

/// All places, the last one made first.
static PLACES: AtomicPtr<Place> = AtomicPtr::new(ptr::null_mut());

/// The places without a registration. Who changes one holds the lock.
static FREE: Mutex<Vec<&'static Place>> = Mutex::new(Vec::new());

impl Place {
    /// What is registered here; nothing if that is changing now.
    fn read(&self) -> Unwound {
        let version = self.version.load(Ordering::Acquire);
        let [code, code_size, header, header_size] =
            [0, 1, 2, 3].map(|at| self.words[at].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        if version % 2 == 1 || self.version.load(Ordering::Relaxed) != version {
            return NOTHING;
        }
        Unwound {
            code,
            code_size,
            header,
            header_size,
        }
    }

    /// Changes what is registered. The caller holds the lock.
    fn write(&self, unwound: Unwound) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        let Unwound {
            code,
            code_size,
            header,
            header_size,
        } = unwound;
        let words = [code, code_size, header, header_size];
        for (word, value) in self.words.iter().zip(words) {
            word.store(value, Ordering::Relaxed);
        }
        self.version.store(version + 2, Ordering::Release);
    }
}

/// Whether the unwinder finds code by the table of an [`UnwoundSpace`](super::UnwoundSpace).
pub(crate) const UNWINDS_SPACES: bool = true;

/// Something that the unwinder knows, until this is dropped.
#[derive(Debug)]
pub(super) struct Registration(&'static Place);

impl Registration {
    pub(super) fn new(code: Range<u64>, header: Range<u64>) -> Self {
        // A linker takes the function below out of this crate only if something refers to it.
        std::hint::black_box(dl_iterate_phdr as *const ());
        let unwound = Unwound {
            code: code.start,
            code_size: code.end - code.start,
            header: header.start,
            header_size: header.end - header.start,
        };
        let mut free = free();
        let place = free.pop().unwrap_or_else(|| {
            let place: &'static Place = Box::leak(Box::new(Place {
                version: AtomicU64::new(0),
                words: [const { AtomicU64::new(0) }; 4],
                next: PLACES.load(Ordering::Relaxed),
            }));
            PLACES.store(ptr::from_ref(place).cast_mut(), Ordering::Release);
            place
        });
        place.write(unwound);
        Self(place)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut free = free();
        self.0.write(NOTHING);
        free.push(self.0);
    }
}

/// Holds the lock of all registrations.
pub(super) fn lock() -> impl Any {
    free()
}

fn free() -> MutexGuard<'static, Vec<&'static Place>> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `visit` with the record of each object in the process, the program's first, until it gives something
/// else than 0; gives that. Source: `dl_iterate_phdr(3)`.
///
/// Records end before the counters of objects that came and went, by which an unwinder would know when it may
/// use what it remembers of objects. It counts on a lock for that, which others have here.
///
/// # Safety
///
/// `visit` may be called with a record, its size and `data`.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn dl_iterate_phdr(
    visit: unsafe extern "C" fn(*mut libc::dl_phdr_info, usize, *mut c_void) -> c_int,
    data: *mut c_void,
) -> c_int {
    let tell = |bias: u64, headers: &[libc::Elf64_Phdr]| {
        let mut record = libc::dl_phdr_info {
            dlpi_addr: bias,
            dlpi_name: c"".as_ptr(),
            dlpi_phdr: headers.as_ptr(),
            dlpi_phnum: u16::try_from(headers.len()).unwrap_or(u16::MAX),
            dlpi_adds: 0,
            dlpi_subs: 0,
            dlpi_tls_modid: 0,
            dlpi_tls_data: ptr::null_mut(),
        };
        let size = mem::offset_of!(libc::dl_phdr_info, dlpi_adds);
        // SAFETY: the caller's contract; the record lives until the call returns.
        unsafe { visit(&raw mut record, size, data) }
    };
    let (bias, headers) = program::headers();
    let mut result = tell(bias, headers);
    let mut next: *const Place = PLACES.load(Ordering::Acquire);
    // SAFETY: places stay for ever once they are in the list.
    while let Some(place) = unsafe { next.as_ref() }
        && result == 0
    {
        next = place.next;
        let unwound = place.read();
        if unwound.code_size == 0 {
            continue;
        }
        let bias = unwound.code.min(unwound.header);
        let header = |kind, flags, start: u64, size| libc::Elf64_Phdr {
            p_type: kind,
            p_flags: flags,
            p_offset: 0,
            p_vaddr: start - bias,
            p_paddr: start - bias,
            p_filesz: size,
            p_memsz: size,
            p_align: 1,
        };
        let code_flags = libc::PF_R | libc::PF_X;
        let Unwound {
            code,
            code_size,
            header: table,
            header_size: table_size,
        } = unwound;
        let headers = [
            header(libc::PT_LOAD, code_flags, code, code_size),
            header(libc::PT_GNU_EH_FRAME, libc::PF_R, table, table_size),
        ];
        result = tell(bias, &headers);
    }
    result
}

/// Unwind tables that the unwinder knows, until this is dropped.
#[derive(Debug)]
pub(crate) struct UnwindTables {
    #[expect(dead_code, reason = "held")]
    registration: Registration,
}

impl UnwindTables {
    /// Makes a table known.
    ///
    /// # Safety
    ///
    /// It is well formed, and stays as long as this.
    pub(crate) unsafe fn register(table: &UnwindTable) -> Self {
        let registration = Registration::new(table.code.clone(), table.header.clone());
        Self { registration }
    }
}
