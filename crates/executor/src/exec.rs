//! The unsafe steps: to trust what controllers send, and to call it.
//!
//! Each is sound for one reason, which no line here can see: whoever can connect to an executor may
//! run code in its process. `SECURITY.md` says what guards a connection.

#![allow(
    unsafe_code,
    reason = "running what a controller sends is what an executor is for"
)]

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::ptr;

use farcall_image::{Image, Signature};
use farcall_loader::invoke::{self, Invocable, Value};
use farcall_loader::{Definition, Module, TrustedImage};
use farcall_protocol::{Argument, ErrorKind, Failure};

use crate::buffers::Place;
use crate::memory::{Buffers, Memory};

/// Trusts an image: its digest is verified, so it is the one that the controller meant.
pub(crate) fn trust<'data>(image: Image<'data>, name: &str) -> TrustedImage<'data> {
    // SAFETY: the controller vouches for the image, as the text above says.
    let image = unsafe { TrustedImage::assume_trusted(image) };
    if name.is_empty() {
        image
    } else {
        image.named(name)
    }
}

/// Defines a function at an address that a controller names.
pub(crate) fn function_at(address: u64, signature: Signature) -> Definition {
    let address = usize::try_from(address).unwrap_or(0);
    // SAFETY: the controller vouches for the address and the type, as the text above says; for an
    // export of a module `Needs` keeps the module.
    unsafe { Definition::function_at(std::ptr::with_exposed_provenance(address), Some(signature)) }
}

/// Defines the variable in `memory`, which has to live as long as modules that use it.
pub(crate) fn variable_in(memory: &Memory) -> Definition {
    // SAFETY: `Needs` holds the memory as long as the module; that images only read it is
    // the controller's to know, as the text above says.
    unsafe { Definition::data_at(memory.address().cast()) }
}

/// From this size on, in bytes, memory goes back to the system as soon as nobody uses it any more. Calls with buffers of 1 MiB stay below:
/// with 1 MiB here they took 2.5 times as long.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 8 << 20;

/// Has the process's allocator keep little of what large buffers and frames have used. The GNU C library would keep up to 64 MiB for each
/// of many threads, once they were needed; others keep little.
pub(crate) fn keep_little_memory() {
    #[cfg(target_env = "gnu")]
    for limit in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        // SAFETY: it may be called at any time, on any thread. What it refuses stays as it was.
        let _ = unsafe { libc::mallopt(limit, LARGE) };
    }
}

/// Copies to a buffer.
pub(crate) fn copy_to(to: *mut u8, bytes: &[u8], _: &Place) {
    // SAFETY: `Buffer::at` has seen that as many bytes of the memory, which is borrowed and so not freed, are there; it is ours, and so
    // does not overlap with what was received. No reference to them exists. That calls, and a controller that shares them, do not use them at the same time is the controller's
    // to know, as the text above says.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) }
}

/// Copies from a buffer.
pub(crate) fn copy_from(from: *const u8, length: usize, _: &Place) -> Vec<u8> {
    let mut bytes = vec![0; length];
    // SAFETY: as above; the vector is new, and as long.
    unsafe { ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), length) };
    bytes
}

/// Reads memory of this process, up to `limit` bytes. What is not mapped is an error.
pub(crate) fn peek(address: u64, size: u64, limit: u32) -> Result<Vec<u8>, Failure> {
    let length = usize::try_from(size).unwrap_or(usize::MAX);
    if size > limit.into() {
        return Err(Failure {
            kind: ErrorKind::Memory,
            message: format!("{size} bytes: more than the limit of {limit} bytes"),
        });
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| Failure {
        kind: ErrorKind::Memory,
        message: format!("{size} bytes: more memory than there is"),
    })?;
    bytes.resize(length, 0);
    let pipe = Pipe::new()?;
    for (nth, piece) in bytes.chunks_mut(PIECE).enumerate() {
        let from = at(address, nth * PIECE);
        // SAFETY: the system only reads, and checks whether it can.
        let n_bytes = unsafe { libc::write(pipe.writes.as_raw_fd(), from.cast(), piece.len()) };
        let is_all = usize::try_from(n_bytes) == Ok(piece.len());
        if !is_all || (&pipe.reads).read_exact(piece).is_err() {
            return Err(unmapped("readable", address, nth * PIECE));
        }
    }
    Ok(bytes)
}

/// Writes to memory of this process. What is not writable is an error.
pub(crate) fn poke(address: u64, bytes: &[u8]) -> Result<(), Failure> {
    let pipe = Pipe::new()?;
    for (nth, piece) in bytes.chunks(PIECE).enumerate() {
        let to = at(address, nth * PIECE);
        (&pipe.writes).write_all(piece).map_err(no_pipe)?;
        // SAFETY: the system writes only where this process may, and checks that. That what is there may be changed is the
        // controller's to know, as the text above says.
        let n_bytes = unsafe { libc::read(pipe.reads.as_raw_fd(), to.cast(), piece.len()) };
        if usize::try_from(n_bytes) != Ok(piece.len()) {
            return Err(unmapped("writable", address, nth * PIECE));
        }
    }
    Ok(())
}

/// What a pipe always has room for, in bytes.
const PIECE: usize = 4096;

/// What memory goes through that may not be there: the system reads and writes it, and says when it cannot. (`process_vm_readv` would do without,
/// and emulators do not have it.)
struct Pipe {
    reads: PipeReader,
    writes: PipeWriter,
}

impl Pipe {
    fn new() -> Result<Self, Failure> {
        let (reads, writes) = io::pipe().map_err(no_pipe)?;
        Ok(Self { reads, writes })
    }
}

fn no_pipe(error: io::Error) -> Failure {
    Failure {
        kind: ErrorKind::Memory,
        message: format!("no pipe: {error}"),
    }
}

fn at(address: u64, offset: usize) -> *mut u8 {
    let address = usize::try_from(address).unwrap_or(usize::MAX);
    ptr::without_provenance_mut(address.wrapping_add(offset))
}

fn unmapped(what: &str, address: u64, offset: usize) -> Failure {
    let address = address.wrapping_add(offset as u64);
    Failure {
        kind: ErrorKind::Memory,
        message: format!("{address:#x}: not {what}"),
    }
}

/// Calls a function. `kept` are the addresses of buffers that are passed, in order.
///
/// # Errors
///
/// As [`Module::invoke_found`].
pub(crate) fn call(
    module: &Module,
    function: Invocable,
    name: &str,
    signature: &Signature,
    arguments: &[Argument],
    buffers: &mut Buffers,
    kept: &[u64],
) -> farcall_loader::Result<Value> {
    let mut kept = kept.iter();
    let mut arguments: Vec<invoke::Argument<'_>> = (arguments.iter())
        .zip(buffers.split(arguments))
        .map(|(argument, buffer)| match *argument {
            Argument::Int(value) => invoke::Argument::Int(value),
            Argument::Float(value) => invoke::Argument::Float(value),
            Argument::Double(value) => invoke::Argument::Double(value),
            Argument::Pointer(value) => invoke::Argument::Pointer(value),
            Argument::In { .. } | Argument::Out { .. } | Argument::InOut { .. } => {
                invoke::Argument::Buffer(buffer)
            }
            Argument::Buffer { .. } => {
                invoke::Argument::Pointer(*kept.next().expect("there is one for each"))
            }
        })
        .collect();
    // SAFETY: `Modules::function` had the function from this module, for this signature. That it wants these arguments is the controller's to know, as the text
    // above says. The buffers outlive the call.
    unsafe { module.invoke_found(function, name, signature, &mut arguments) }
}
