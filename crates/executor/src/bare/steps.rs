//! Steps for a bare executor, and the frames that they go in.

use std::ops::Range;

use farcall_image::{Image, Segment};
use farcall_loader::Placed;
use farcall_protocol::{Access, Step};

/// Steps to be done in order, with the bytes that they take.
#[derive(Debug, Default)]
pub(super) struct Steps<'a>(Vec<(Step<'a>, Vec<&'a [u8]>)>);

impl<'a> Steps<'a> {
    pub(super) fn push(&mut self, step: Step<'a>) {
        self.0.push((step, Vec::new()));
    }

    pub(super) fn push_with(&mut self, step: Step<'a>, body: Vec<&'a [u8]>) {
        self.0.push((step, body));
    }

    pub(super) fn write(&mut self, address: u64, bytes: &'a [u8]) {
        let size = bytes.len() as u64;
        self.push_with(Step::Write { address, size }, vec![bytes]);
    }

    pub(super) fn append(&mut self, steps: Self) {
        self.0.extend(steps.0);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The steps in frames of up to `limit` bytes, of which half is left to all but the bytes that are written. What is to be
    /// written is cut where it is longer.
    pub(super) fn frames(self, limit: u32) -> Vec<Self> {
        let room = usize::try_from(limit / 2).unwrap_or(usize::MAX).max(1);
        let mut frames = vec![Self::default()];
        let mut used = 0;
        for (step, body) in self
            .0
            .into_iter()
            .flat_map(|(step, body)| cut(step, body, room))
        {
            let size = body.iter().map(|part| part.len()).sum::<usize>();
            if used > 0 && used + size > room {
                frames.push(Self::default());
                used = 0;
            }
            used += size;
            if let Some(frame) = frames.last_mut() {
                frame.0.push((step, body));
            }
        }
        frames
    }

    /// What a frame has: its steps, and the parts of its body.
    pub(super) fn message(self) -> (Vec<Step<'a>>, Vec<&'a [u8]>) {
        let (steps, bodies): (Vec<_>, Vec<_>) = self.0.into_iter().unzip();
        (steps, bodies.into_iter().flatten().collect())
    }
}

/// A step, or several for one that writes more than `room` bytes.
fn cut<'a>(step: Step<'a>, body: Vec<&'a [u8]>, room: usize) -> Vec<(Step<'a>, Vec<&'a [u8]>)> {
    let (&Step::Write { address, .. }, &[bytes]) = (&step, &body[..]) else {
        return vec![(step, body)];
    };
    if bytes.len() <= room {
        return vec![(step, body)];
    }
    let mut at = address;
    let mut steps = Vec::new();
    for part in bytes.chunks(room) {
        let size = part.len() as u64;
        steps.push((Step::Write { address: at, size }, vec![part]));
        at += size;
    }
    steps
}

/// Addresses of an image with one final protection.
#[derive(Debug)]
pub(super) struct Part {
    /// What code may use of them, as addresses of the image.
    pub(super) range: Range<u64>,
    pub(super) access: Access,
    /// From where on they are zero.
    initialized: u64,
    /// Whether words that an image's own code decides may be there.
    pub(super) is_written_late: bool,
}

impl Part {
    /// The pages that it is in.
    pub(super) fn protect(&self, base: u64, page_size: u64) -> Step<'static> {
        let address = (base + self.range.start) / page_size * page_size;
        Step::Protect {
            address,
            size: base + self.range.end - address,
            access: self.access,
        }
    }

    /// Its bytes, without the zeros at their end, which are there already.
    pub(super) fn bytes<'placed>(&self, placed: &'placed Placed<'_>) -> &'placed [u8] {
        let bytes = placed.bytes(self.range.start..self.initialized.min(self.range.end));
        let bytes = bytes.unwrap_or(&[]);
        let end = bytes.iter().rposition(|&byte| byte != 0);
        &bytes[..end.map_or(0, |last| last + 1)]
    }
}

/// Where the bytes of a segment end that the file or a relocation gives; the rest is zero.
fn initialized_end(image: &Image<'_>, segment: &Segment) -> u64 {
    let in_file = segment.memory.start + segment.file.len() as u64;
    if in_file >= segment.memory.end {
        return in_file;
    }
    let others = image
        .relocations()
        .map(|it| (it.place, it.place + it.size()));
    let words = image.relative_words().map(|place| (place, place + 8));
    let places = words.chain(others);
    let places = places.filter(|(place, _)| segment.memory.contains(place));
    places.map(|(_, end)| end).fold(in_file, u64::max)
}

/// The parts of an image, in ascending order. No two share a page.
pub(super) fn parts(image: &Image<'_>) -> Vec<Part> {
    let relro = image.relro();
    let mut parts = Vec::new();
    for segment in image.segments() {
        let mut range = segment.resident.clone();
        let initialized = initialized_end(image, segment);
        if segment.writable && relro.contains(&segment.memory.start) {
            let end = relro.end.min(range.end);
            parts.push(Part {
                range: range.start..end,
                initialized,
                access: Access::Read,
                is_written_late: true,
            });
            range.start = end;
        }
        parts.push(Part {
            range,
            initialized,
            access: match (segment.writable, segment.executable) {
                (_, true) => Access::ReadExecute,
                (true, false) => Access::ReadWrite,
                (false, false) => Access::Read,
            },
            is_written_late: false,
        });
    }
    parts.retain(|part| !part.range.is_empty());
    parts
}
