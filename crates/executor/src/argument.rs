//! What is passed to a function in an executor.

use crate::client::size;
use crate::{Error, RemoteBuffer, Result};

/// An argument of a call.
#[derive(Debug)]
pub enum Argument<'a> {
    /// For an integer parameter of up to 64 bits, truncated to its width.
    Int(u64),
    /// For a `float` parameter.
    Float(f32),
    /// For a `double` parameter.
    Double(f64),
    /// For a `ptr` parameter: an address in the executor's process.
    Pointer(u64),
    /// For a `ptr` parameter: the address of a copy of these bytes.
    In(&'a [u8]),
    /// For a `ptr` parameter: the address of as many zero bytes, which are copied here when the
    /// function has returned.
    Out(&'a mut [u8]),
    /// For a `ptr` parameter: the address of a copy of these bytes, which is copied back here when
    /// the function has returned.
    InOut(&'a mut [u8]),
    /// For a `ptr` parameter: the address of a byte of a buffer that is there.
    Buffer(&'a RemoteBuffer, u64),
}

impl Argument<'_> {
    pub(crate) fn on_the_wire(&self) -> farcall_protocol::Argument {
        use farcall_protocol::Argument as Wire;
        match self {
            Self::Int(value) => Wire::Int(*value),
            Self::Float(value) => Wire::Float(*value),
            Self::Double(value) => Wire::Double(*value),
            Self::Pointer(value) => Wire::Pointer(*value),
            Self::In(bytes) => Wire::In {
                size: size(bytes.len()),
            },
            Self::Out(bytes) => Wire::Out {
                size: size(bytes.len()),
            },
            Self::InOut(bytes) => Wire::InOut {
                size: size(bytes.len()),
            },
            Self::Buffer(buffer, offset) => Wire::Buffer {
                buffer: buffer.number,
                offset: *offset,
            },
        }
    }

    /// The bytes that go with the request.
    pub(crate) fn sent(&self) -> &[u8] {
        match self {
            Self::In(bytes) => bytes,
            Self::InOut(bytes) => bytes,
            _ => &[],
        }
    }
}

/// Fills the buffers that come out: all of them, or none when an answer has others.
pub(crate) fn take_buffers(arguments: &mut [Argument<'_>], mut body: &[u8]) -> Result<()> {
    let buffers = arguments.iter_mut().filter_map(|argument| match argument {
        Argument::Out(buffer) | Argument::InOut(buffer) => Some(buffer),
        _ => None,
    });
    let buffers: Vec<_> = buffers.collect();
    if buffers.iter().map(|buffer| buffer.len()).sum::<usize>() != body.len() {
        return Err(Error::OutOfPlace {
            what: "an answer with buffers of another size",
        });
    }
    for buffer in buffers {
        let (bytes, rest) = body.split_at(buffer.len());
        buffer.copy_from_slice(bytes);
        body = rest;
    }
    Ok(())
}
