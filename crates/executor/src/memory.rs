//! Memory that shipped code is given the address of.

use farcall_protocol::{Argument, ErrorKind, Failure};

/// Alignment in bytes of what is given to shipped code: enough for every type, vectors included.
const ALIGN: usize = 64;

/// Bytes at an address that does not change, aligned to [`ALIGN`].
#[derive(Debug)]
pub(crate) struct Memory {
    /// Never resized. Its aligned part is `bytes[start..start + size]`.
    bytes: Vec<u8>,
    start: usize,
    size: usize,
    /// Where the aligned part is, exposed, so that shipped code and copies may write there.
    address: usize,
}

impl Memory {
    /// No bytes, which take no memory.
    const NONE: Self = Self {
        bytes: Vec::new(),
        start: 0,
        size: 0,
        address: ALIGN,
    };

    /// `size` zero bytes.
    pub(crate) fn zeroed(size: usize) -> Result<Self, Failure> {
        let too_much = || Failure {
            kind: ErrorKind::Memory,
            message: format!("{size} bytes: more memory than there is"),
        };
        let whole = size.checked_add(ALIGN).ok_or_else(too_much)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(whole).map_err(|_| too_much())?;
        bytes.resize(whole, 0);
        // Less than ALIGN for bytes; as many are there beyond `size`.
        let start = bytes.as_ptr().align_offset(ALIGN);
        let address = bytes.as_mut_ptr().wrapping_add(start).expose_provenance();
        Ok(Self {
            bytes,
            start,
            size,
            address,
        })
    }

    /// A copy of `bytes`.
    pub(crate) fn holding(bytes: &[u8]) -> Result<Self, Failure> {
        let mut memory = Self::zeroed(bytes.len())?;
        memory.bytes_mut().copy_from_slice(bytes);
        Ok(memory)
    }

    /// The address of the first byte.
    pub(crate) fn address(&self) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.address)
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.size]
    }
}

/// The buffers of a call, one after the other in one piece of memory.
#[derive(Debug)]
pub(crate) struct Buffers {
    memory: Memory,
}

impl Buffers {
    /// Makes the buffers of `arguments`, with the bytes of `body` in those that are passed in.
    ///
    /// `limit` is the most that all of them may take, in bytes.
    ///
    /// # Errors
    ///
    /// A failure of kind `Malformed` when the body is not as long as the buffers passed in, of kind
    /// `Memory` when they take more than `limit`.
    pub(crate) fn new(
        arguments: &[Argument],
        mut body: &[u8],
        limit: u32,
    ) -> Result<Self, Failure> {
        let too_much = || Failure {
            kind: ErrorKind::Memory,
            message: format!("buffers of a call: more than the limit of {limit} bytes"),
        };
        let (mut total, mut padded) = (0_usize, 0_usize);
        for argument in arguments {
            let size = size(argument).ok_or_else(too_much)?;
            let with_padding = size.checked_next_multiple_of(ALIGN).ok_or_else(too_much)?;
            total = total.checked_add(size).ok_or_else(too_much)?;
            padded = padded.checked_add(with_padding).ok_or_else(too_much)?;
        }
        if u64::try_from(total).map_or(true, |total| total > limit.into()) {
            return Err(too_much());
        }
        let mut memory = match arguments.iter().any(is_buffer) {
            true => Memory::zeroed(padded)?,
            false => Memory::NONE,
        };
        for (argument, buffer) in arguments.iter().zip(split(arguments, memory.bytes_mut())) {
            if matches!(argument, Argument::In { .. } | Argument::InOut { .. }) {
                let (bytes, rest) = body.split_at_checked(buffer.len()).ok_or_else(wrong_body)?;
                buffer.copy_from_slice(bytes);
                body = rest;
            }
        }
        if !body.is_empty() {
            return Err(wrong_body());
        }
        Ok(Self { memory })
    }

    /// A buffer for each argument, empty for one that is none.
    pub(crate) fn split(&mut self, arguments: &[Argument]) -> impl Iterator<Item = &mut [u8]> {
        split(arguments, self.memory.bytes_mut())
    }

    /// What is sent back, one after the other.
    pub(crate) fn into_body(self, arguments: &[Argument]) -> Vec<u8> {
        let Memory {
            mut bytes, start, ..
        } = self.memory;
        let (mut from, mut to) = (start, 0);
        for argument in arguments {
            let size = size(argument).unwrap_or(0);
            if matches!(argument, Argument::Out { .. } | Argument::InOut { .. }) {
                bytes.copy_within(from..from + size, to);
                to += size;
            }
            from += size.next_multiple_of(ALIGN);
        }
        bytes.truncate(to);
        bytes
    }
}

/// Cuts `memory` into a buffer for each argument.
fn split<'memory>(
    arguments: &[Argument],
    memory: &'memory mut [u8],
) -> impl Iterator<Item = &'memory mut [u8]> {
    let mut rest = memory;
    arguments.iter().map(move |argument| {
        let size = size(argument).unwrap_or(0);
        let (buffer, after) = std::mem::take(&mut rest).split_at_mut(size.next_multiple_of(ALIGN));
        rest = after;
        &mut buffer[..size]
    })
}

fn is_buffer(argument: &Argument) -> bool {
    use Argument::{In, InOut, Out};
    matches!(argument, In { .. } | Out { .. } | InOut { .. })
}

/// The size in bytes of an argument's buffer, 0 for one that is none.
fn size(argument: &Argument) -> Option<usize> {
    match *argument {
        Argument::In { size } | Argument::Out { size } | Argument::InOut { size } => {
            usize::try_from(size).ok()
        }
        _ => Some(0),
    }
}

fn wrong_body() -> Failure {
    Failure {
        kind: ErrorKind::Malformed,
        message: "a body that is not as long as the buffers passed in".to_owned(),
    }
}

/// Lossless: farcall runs where a size has at most 64 bits.
pub(crate) fn number(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGUMENTS: [Argument; 6] = [
        Argument::Int(1),
        Argument::In { size: 3 },
        Argument::Out { size: 65 },
        Argument::InOut { size: 2 },
        Argument::Out { size: 0 },
        Argument::InOut { size: 1 },
    ];

    #[test]
    fn buffers_go_in_and_come_back_in_order() {
        let mut buffers = Buffers::new(&ARGUMENTS, b"abcdef", 71).unwrap();
        let slices: Vec<_> = buffers.split(&ARGUMENTS).collect();
        let lengths: Vec<_> = slices.iter().map(|each| each.len()).collect();
        assert_eq!(lengths, [0, 3, 65, 2, 0, 1]);
        assert_eq!(
            (&*slices[1], &*slices[3], &*slices[5]),
            (&b"abc"[..], &b"de"[..], &b"f"[..])
        );
        for slice in slices {
            assert!(slice.is_empty() || slice.as_ptr().align_offset(ALIGN) == 0);
            slice
                .iter_mut()
                .for_each(|byte| *byte = byte.wrapping_add(1));
        }
        let body = buffers.into_body(&ARGUMENTS);
        assert_eq!(body, [&[1; 65][..], b"ef", b"g"].concat());
    }

    #[test]
    fn a_body_of_another_length_is_refused() {
        for body in [&b"abcde"[..], b"abcdefg", b""] {
            let failure = Buffers::new(&ARGUMENTS, body, 1000).unwrap_err();
            assert_eq!(failure.kind, ErrorKind::Malformed);
        }
    }

    #[test]
    fn too_large_buffers_are_refused_before_they_are_made() {
        for size in [2000, 1 << 40, u64::MAX - 1, u64::MAX] {
            let failure = Buffers::new(&[Argument::Out { size }], b"", 1000).unwrap_err();
            assert_eq!(failure.kind, ErrorKind::Memory);
        }
        let twice = [Argument::Out { size: u64::MAX / 2 }; 3];
        assert!(Buffers::new(&twice, b"", 1000).is_err());
    }

    #[test]
    fn memory_holds_its_bytes_at_an_aligned_address() {
        for size in [0, 1, 64, 1000] {
            let memory = Memory::holding(&vec![7; size]).unwrap();
            assert_eq!(memory.address().align_offset(ALIGN), 0);
            assert_eq!(memory.bytes[memory.start..][..size], vec![7; size]);
        }
    }
}
