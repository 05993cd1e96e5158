//! What a worker's last words are: the signal, and where its code was.

use farcall_image::Digest;

/// The most frames of a stack that are reported.
pub(super) const MOST_FRAMES: usize = 64;

/// Size of one frame in bytes: whether it is in an image, the digest, the offset.
const FRAME_SIZE: usize = 8 + 32 + 8;

/// Size of what comes before the frames, in bytes: the signal, its code, the address, the number of frames, the stack pointer.
const HEAD_SIZE: usize = 5 * 8;

/// Where code was: in an image at an offset, or else at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) image: Option<Digest>,
    pub(super) offset: u64,
}

/// A crash, written down without taking memory.
#[derive(Debug, Clone)]
pub(super) struct Crash {
    bytes: [u8; HEAD_SIZE + MOST_FRAMES * FRAME_SIZE],
    n_frames: usize,
}

impl Crash {
    pub(super) fn new(signal: i32, code: i32, address: u64, stack: u64) -> Self {
        let mut crash = Self {
            bytes: [0; HEAD_SIZE + MOST_FRAMES * FRAME_SIZE],
            n_frames: 0,
        };
        crash.set(0, i64::from(signal).cast_unsigned());
        crash.set(8, i64::from(code).cast_unsigned());
        crash.set(16, address);
        crash.set(32, stack);
        crash
    }

    /// Adds a frame, further from where the crash was. Beyond the most they are left out.
    pub(super) fn push(&mut self, frame: Frame) {
        if self.n_frames == MOST_FRAMES {
            return;
        }
        let start = HEAD_SIZE + self.n_frames * FRAME_SIZE;
        self.set(start, frame.image.is_some().into());
        if let Some(image) = frame.image {
            self.bytes[start + 8..start + 40].copy_from_slice(image.as_bytes());
        }
        self.set(start + 40, frame.offset);
        self.n_frames += 1;
        self.set(24, self.n_frames as u64);
    }

    /// What is written to the report.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..HEAD_SIZE + self.n_frames * FRAME_SIZE]
    }

    /// Reads a report, which the code that crashed may have written to too: `None` when there is none.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut crash = Self::new(0, 0, 0, 0);
        let length = bytes.len().min(crash.bytes.len());
        crash.bytes[..length].copy_from_slice(&bytes[..length]);
        let n_whole = length.checked_sub(HEAD_SIZE)? / FRAME_SIZE;
        let n_frames = usize::try_from(crash.get(24)).unwrap_or(usize::MAX);
        crash.n_frames = n_frames.min(n_whole);
        Some(crash)
    }

    pub(super) fn signal(&self) -> i32 {
        i32::try_from(self.get(0)).unwrap_or(0)
    }

    pub(super) fn code(&self) -> i32 {
        i32::try_from(self.get(8).cast_signed()).unwrap_or(0)
    }

    pub(super) fn address(&self) -> u64 {
        self.get(16)
    }

    /// The stack pointer then.
    pub(super) fn stack(&self) -> u64 {
        self.get(32)
    }

    pub(super) fn frames(&self) -> impl Iterator<Item = Frame> + '_ {
        (0..self.n_frames).map(|nth| {
            let start = HEAD_SIZE + nth * FRAME_SIZE;
            let digest = self.bytes[start + 8..start + 40].try_into();
            Frame {
                image: (self.get(start) == 1)
                    .then(|| digest.map(Digest::from_bytes).ok())
                    .flatten(),
                offset: self.get(start + 40),
            }
        })
    }

    fn set(&mut self, at: usize, word: u64) {
        self.bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }

    fn get(&self, at: usize) -> u64 {
        let word = self.bytes[at..at + 8].first_chunk();
        word.map_or(0, |word| u64::from_le_bytes(*word))
    }
}
