//! Calling what controllers ship.
//!
//! It is sound for one reason, which no line here can see: whoever can connect may run code in this process.

#![allow(
    unsafe_code,
    reason = "running what a controller sends is what an executor is for"
)]
#![deny(clippy::multiple_unsafe_ops_per_block)]

use std::ffi::{c_char, c_void};
use std::ptr;

use farcall_native::registers::{self, Registers, STACK_SLOTS};
use farcall_native::{noexcept, resolver_arguments};
use farcall_protocol::{Argument, ErrorKind, Failure, ResultRegister};

use crate::memory::failure;

/// Alignment in bytes of the buffers that functions are given: enough for every type, vectors included.
const ALIGN: usize = 64;

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u8; ALIGN]);

/// The buffer of an argument.
struct Buffer {
    lines: Vec<Line>,
    size: usize,
    comes_out: bool,
}

impl Buffer {
    /// A buffer of `size` bytes that starts with `bytes`; the rest is zero.
    fn new(size: u64, bytes: &[u8], comes_out: bool) -> Result<Self, Failure> {
        let too_much = || {
            let message = format!("a buffer of {size} bytes: more memory than there is");
            failure(ErrorKind::Memory, message)
        };
        let size = usize::try_from(size).map_err(|_| too_much())?;
        let mut lines = Vec::new();
        let n_lines = size.div_ceil(ALIGN);
        lines.try_reserve_exact(n_lines).map_err(|_| too_much())?;
        let (whole, rest) = bytes.as_chunks::<ALIGN>();
        lines.extend(whole.iter().map(|bytes| Line(*bytes)));
        if !rest.is_empty() {
            let mut line = [0; ALIGN];
            line[..rest.len()].copy_from_slice(rest);
            lines.push(Line(line));
        }
        lines.resize(n_lines, Line([0; ALIGN]));
        Ok(Self {
            lines,
            size,
            comes_out,
        })
    }

    fn address(&mut self) -> u64 {
        self.lines.as_mut_ptr().expose_provenance() as u64
    }

    fn bytes(&self) -> impl Iterator<Item = u8> {
        let bytes = self.lines.iter().flat_map(|line| line.0);
        bytes.take(self.size)
    }
}

/// Calls `function`, which is code, with buffers whose first bytes are taken from `body`. Gives its result's bits, and
/// appends the buffers that come out to `out`.
pub(crate) fn call(
    function: u64,
    result: ResultRegister,
    arguments: &[Argument],
    body: &mut &[u8],
    out: &mut Vec<u8>,
) -> Result<u64, Failure> {
    let mut registers = Registers::EMPTY;
    let mut buffers = Vec::new();
    for argument in arguments {
        let (size, sent, comes_out) = match *argument {
            Argument::Int(value) | Argument::Pointer(value) => {
                registers.push_integer(value);
                continue;
            }
            Argument::Float(value) => {
                registers.push_float(value.to_bits().into());
                continue;
            }
            Argument::Double(value) => {
                registers.push_float(value.to_bits());
                continue;
            }
            Argument::In { size } => (size, size, false),
            Argument::Out { size } => (size, 0, true),
            Argument::InOut { size } => (size, size, true),
            Argument::Buffer { .. } => {
                let message = "a bare executor has no buffers between calls".to_owned();
                return Err(failure(ErrorKind::UnknownBuffer, message));
            }
        };
        let bytes = take(body, sent)?;
        let mut buffer = Buffer::new(size, bytes, comes_out)?;
        registers.push_integer(buffer.address());
        buffers.push(buffer);
    }
    let count = registers.on_stack();
    if count > STACK_SLOTS {
        let message = format!("{count} arguments on the stack, which has room for {STACK_SLOTS}");
        return Err(failure(ErrorKind::Arguments, message));
    }
    let result = match result {
        ResultRegister::Integer => registers::ResultRegister::Integer,
        ResultRegister::Float => registers::ResultRegister::Float,
    };
    // SAFETY: that the function wants these arguments is the controller's to know, as the text above says; they have been
    // counted, and the buffers outlive the call.
    let called = unsafe { registers.call(pointer(function), result) };
    let bits = called.map_err(|exception| {
        let name = exception.type_name();
        let what = name.as_deref().unwrap_or("an exception");
        let message = format!("{function:#x}: threw {what}, which nothing caught");
        failure(ErrorKind::Threw, message)
    })?;
    let outs = buffers.iter().filter(|buffer| buffer.comes_out);
    outs.for_each(|buffer| out.extend(buffer.bytes()));
    Ok(bits)
}

/// Calls a constructor, which is code.
pub(crate) fn run(constructor: u64) {
    static NO_ARGUMENTS: [usize; 1] = [0];
    let argv = (&raw const NO_ARGUMENTS).expose_provenance() as u64;
    // SAFETY: a variable of the C library, which is read as its own code reads it.
    let environment = unsafe { environ };
    let environment = environment.expose_provenance() as u64;
    // SAFETY: as the text above says; these are the arguments of constructors.
    unsafe { noexcept::call(constructor, [0, argv, environment]) };
}

/// Calls the code that chooses an indirect function, and gives what it chose.
pub(crate) fn choose(resolver: u64) -> u64 {
    // SAFETY: as the text above says; these are the arguments of such code.
    unsafe { noexcept::call(resolver, resolver_arguments()) }
}

/// The next `size` bytes of a body.
pub(crate) fn take<'data>(body: &mut &'data [u8], size: u64) -> Result<&'data [u8], Failure> {
    let split = usize::try_from(size).ok();
    let split = split.and_then(|size| body.split_at_checked(size));
    let (bytes, rest) = split.ok_or_else(|| {
        let message = "a body that is not as long as its steps say".to_owned();
        failure(ErrorKind::Malformed, message)
    })?;
    *body = rest;
    Ok(bytes)
}

fn pointer(address: u64) -> *const c_void {
    ptr::with_exposed_provenance(usize::try_from(address).unwrap_or(0))
}

unsafe extern "C" {
    /// The environment.
    static mut environ: *mut *mut c_char;
}
