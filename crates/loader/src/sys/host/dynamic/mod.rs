//! A host with a dynamic linker.

mod libc_static;
mod object;
mod permanent;
mod static_tls;
mod unwound_space;

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::thread;

pub(crate) use self::static_tls::{StaticBlock, lock};
pub(crate) use self::unwound_space::UnwoundSpace;
pub(crate) use super::frames::UnwindTables;
use super::{HostTls, Program, Segment, c_string};
use crate::sys::tls_descriptor::thread_pointer;
use crate::tls::TlsIndex;

/// A system library that is open in this process.
#[derive(Debug)]
pub(crate) struct Library {
    /// What `dlopen` gave, as a number so that threads may share it. `dlsym` and `dlclose` may be
    /// called by any thread.
    handle: usize,
}

impl Library {
    /// Opens a library by the name that `dlopen` knows it by.
    ///
    /// # Errors
    ///
    /// The dynamic linker's message.
    pub(crate) fn open(name: &CStr) -> Result<Self, String> {
        // SAFETY: the name is a C string. The library's constructors run: the host asked for it by
        // name.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            return Err(last_error());
        }
        Ok(Self {
            handle: handle.expose_provenance(),
        })
    }

    /// The address of a symbol of the library or of those that it needs.
    pub(crate) fn symbol(&self, name: &CStr) -> Option<u64> {
        symbol(std::ptr::with_exposed_provenance_mut(self.handle), name)
    }

    /// What is added to an address of the library.
    ///
    /// # Errors
    ///
    /// The dynamic linker's message.
    pub(crate) fn load_bias(&self) -> Result<u64, String> {
        let map = self.link_map()?;
        // SAFETY: it belongs to the library, which is open.
        Ok(unsafe { (*map).l_addr })
    }

    /// Takes the library's name, which is a path, and gives it another one, for debuggers and the like to see.
    ///
    /// # Errors
    ///
    /// The dynamic linker's message.
    ///
    /// # Safety
    ///
    /// The name is a C string that stays as long as the library has it. Before the library is dropped, it
    /// is given the name back that this gives: the C library frees it.
    pub(crate) unsafe fn rename(&self, name: *const c_char) -> Result<*const c_char, String> {
        let map = self.link_map()?;
        // SAFETY: it belongs to the library, which is open.
        let own = unsafe { &raw mut (*map).l_name };
        // SAFETY: as above; whoever reads a name finds one of the two.
        let own = unsafe { AtomicPtr::from_ptr(own) };
        Ok(own.swap(name.cast_mut(), Ordering::AcqRel))
    }

    fn link_map(&self) -> Result<*mut LinkMap, String> {
        let handle = std::ptr::with_exposed_provenance_mut(self.handle);
        let mut map = std::ptr::null_mut::<LinkMap>();
        // SAFETY: the handle is open; this request stores one pointer.
        let result = unsafe { libc::dlinfo(handle, libc::RTLD_DI_LINKMAP, (&raw mut map).cast()) };
        if result != 0 || map.is_null() {
            return Err(last_error());
        }
        Ok(map)
    }
}

/// The start of a `struct link_map`, as `<link.h>` has it.
#[repr(C)]
struct LinkMap {
    l_addr: u64,
    l_name: *mut c_char,
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: `open` made the handle, and nothing is bound to the library any more. A failure
        // leaves it open, which harms nobody.
        unsafe { libc::dlclose(std::ptr::with_exposed_provenance_mut(self.handle)) };
    }
}

/// How the host's exports are called among the places that were searched.
pub(crate) const EXPORTS: &str = "the host's exports";

/// Whether the unwinder finds code by the table of an [`UnwoundSpace`].
pub(crate) const UNWINDS_SPACES: bool = true;

/// What else to do where there is no room for a [`StaticBlock`].
pub(crate) const MORE_STATIC_TLS: &str =
    ", or start the process with more room: GLIBC_TUNABLES=glibc.rtld.optional_static_tls=BYTES";

/// The address of a symbol that the program or a library loaded with it exports, or that the C library
/// gives each program a copy of.
pub(crate) fn exported(name: &[u8]) -> Option<u64> {
    if let Some(address) = permanent::find(name) {
        return Some(address);
    }
    let found = global_symbol(&c_string(name)?);
    if let Some(address) = found {
        permanent::note(name, address);
    }
    found.or_else(|| libc_static::function(name))
}

fn global_symbol(name: &CStr) -> Option<u64> {
    symbol(libc::RTLD_DEFAULT, name)
}

/// A name may end in the version that an object asked for with `.symver`, as in `puts@GLIBC_2.2.5`.
fn symbol(handle: *mut c_void, name: &CStr) -> Option<u64> {
    let mut parts = name.to_bytes().splitn(2, |byte| *byte == b'@');
    let address = if let (Some(name), Some(version)) = (parts.next(), parts.next()) {
        let (name, version) = (c_string(name)?, c_string(version)?);
        // SAFETY: the handle is open, the name and the version are C strings.
        unsafe { libc::dlvsym(handle, name.as_ptr(), version.as_ptr()) }
    } else {
        // SAFETY: the handle is open, the name a C string.
        unsafe { libc::dlsym(handle, name.as_ptr()) }
    };
    (!address.is_null()).then_some(address.expose_provenance() as u64)
}

fn last_error() -> String {
    // SAFETY: the message belongs to this thread until its next call of this family.
    let message = unsafe { libc::dlerror() };
    if message.is_null() {
        return "unknown reason".to_owned();
    }
    // SAFETY: a message is a C string.
    let message = unsafe { CStr::from_ptr(message) };
    message.to_string_lossy().into_owned()
}

/// Shows `visit` what is loaded, the program first, until it gives true.
fn visit_objects<F: FnMut(&libc::dl_phdr_info, &[libc::Elf64_Phdr]) -> bool>(mut visit: F) {
    unsafe extern "C" fn show<F: FnMut(&libc::dl_phdr_info, &[libc::Elf64_Phdr]) -> bool>(
        info: *mut libc::dl_phdr_info,
        size: usize,
        visit: *mut c_void,
    ) -> c_int {
        if size < size_of::<libc::dl_phdr_info>() {
            return 1;
        }
        // SAFETY: the dynamic linker gives a whole record, as its size says.
        let info = unsafe { &*info };
        // SAFETY: `dl_iterate_phdr` hands on the pointer that it was given below.
        let visit = unsafe { &mut *visit.cast::<F>() };
        // SAFETY: the record's table has this many entries.
        let headers =
            unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        c_int::from(visit(info, headers))
    }

    // SAFETY: `show` treats its arguments as the interface says; a panic in it ends the process.
    unsafe { libc::dl_iterate_phdr(Some(show::<F>), (&raw mut visit).cast()) };
}

/// The library of the host's whose thread-local variable is at `address` in this thread.
pub(crate) fn host_tls_at(address: u64) -> Option<HostTls> {
    let mut found = None;
    visit_objects(|info, headers| {
        let mut headers = headers.iter();
        let tls = headers.find(|header| header.p_type == libc::PT_TLS);
        let Some(tls) = tls.filter(|_| !info.dlpi_tls_data.is_null()) else {
            return false;
        };
        let start = info.dlpi_tls_data.expose_provenance() as u64;
        let block = start..start.saturating_add(tls.p_memsz);
        if block.contains(&address) {
            let module = info.dlpi_tls_modid as u64;
            found = Some(HostTls { module, block });
        }
        found.is_some()
    });
    found
}

/// Which libraries of the host's, given by their identities, have their thread-local variables at
/// one distance from every thread's pointer, and that distance.
///
/// Those have it that the process started with, and some that were opened late. No interface tells,
/// so another thread looks: where a library's block is allocated when a thread first asks, two
/// threads do not have it at the same distance. Where there can be no other thread, the result is
/// empty.
pub(crate) fn static_blocks(modules: &[u64]) -> HashMap<u64, u64> {
    if modules.is_empty() {
        return HashMap::new();
    }
    let distances = || -> Vec<u64> {
        let distance = |&module| {
            let pair = TlsIndex { module, offset: 0 };
            // SAFETY: the caller has the identities from the host, which keeps them.
            let block = unsafe { tls_get_addr(&raw const pair) };
            (block.expose_provenance() as u64).wrapping_sub(thread_pointer())
        };
        modules.iter().map(distance).collect()
    };
    let here = distances();
    let there = thread::scope(|scope| {
        let other = thread::Builder::new().spawn_scoped(scope, distances);
        other.ok()?.join().ok()
    });
    let pairs = here.into_iter().zip(there.unwrap_or_default());
    let same = modules
        .iter()
        .zip(pairs)
        .filter(|(_, (here, there))| here == there);
    same.map(|(&module, (distance, _))| (module, distance))
        .collect()
}

/// The program that the process runs.
pub(crate) fn program() -> Option<Program> {
    let mut program = None;
    visit_objects(|info, headers| {
        let segments = headers.iter().map(|header| Segment {
            kind: header.p_type,
            address: header.p_vaddr,
            size: header.p_memsz,
        });
        let module = info.dlpi_tls_modid as u64;
        program = Some(Program {
            bias: info.dlpi_addr,
            segments: segments.collect(),
            thread_locals: (module != 0).then_some(module),
        });
        // The first is all that is wanted.
        true
    });
    program
}

unsafe extern "C" {
    /// The address in this thread of a thread-local variable of the host's: psABI, "Thread-Local Storage".
    #[link_name = "__tls_get_addr"]
    pub(crate) fn tls_get_addr(index: *const TlsIndex) -> *mut c_void;
}
