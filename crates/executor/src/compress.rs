//! Images, compressed for the way (Zstandard, RFC 8878).

use std::io::Read as _;

use farcall_protocol::{ErrorKind, Failure};
use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// The smallest image that is compressed, in bytes: a smaller one is one packet or few.
const SMALLEST: usize = 4 << 10;

/// The image, compressed, if that makes it smaller by a tenth or more.
pub(crate) fn pack(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() < SMALLEST {
        return None;
    }
    let packed = compress_to_vec(bytes, CompressionLevel::Fastest);
    (packed.len() < bytes.len() / 10 * 9).then_some(packed)
}

/// What was packed: `size` bytes, whatever it says of itself.
pub(crate) fn unpack(packed: &[u8], size: u64) -> Result<Vec<u8>, Failure> {
    let wrong = |reason: String| Failure {
        kind: ErrorKind::Malformed,
        message: format!("compressed image: {reason}"),
    };
    let decoder = StreamingDecoder::new(packed).map_err(|error| wrong(error.to_string()))?;
    let mut bytes = Vec::new();
    // One more shows that it is longer.
    let mut limited = decoder.take(size.saturating_add(1));
    let read = limited.read_to_end(&mut bytes);
    read.map_err(|error| wrong(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_is_unpacked() {
        let bytes: Vec<u8> = (0..250).flat_map(|byte| [byte; 400]).collect();
        let packed = pack(&bytes).unwrap();
        assert!(packed.len() < bytes.len() / 4);
        assert_eq!(unpack(&packed, 100_000).unwrap(), bytes);
        // As long as was said, and one more, which is not what was said.
        assert_eq!(unpack(&packed, 5).unwrap().len(), 6);
        assert_eq!(unpack(&packed, u64::MAX).unwrap(), bytes);
        assert_eq!(pack(&bytes[..100]), None);
    }

    #[test]
    fn what_is_not_packed_is_refused() {
        let packed = pack(&[7; 10_000]).unwrap();
        for wrong in [&b""[..], b"garbage", &packed[..packed.len() / 2]] {
            let failure = unpack(wrong, 10_000).unwrap_err();
            assert_eq!(failure.kind, ErrorKind::Malformed, "{failure}");
        }
        for at in 0..packed.len() {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x41;
            // Whatever it is: no more than was asked for.
            assert!(unpack(&damaged, 10_000).map_or(0, |bytes| bytes.len()) <= 10_001);
        }
    }
}
