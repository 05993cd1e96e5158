//! Where small images stand in a window: arithmetic over granules, with no memory behind it.
//!
//! A window has one arena for each of an image's segments, at the distance at which the linker puts
//! the segments. So an image has one load bias in all of them, and a place for it is a bias at which
//! each of its segments finds free granules in its arena. The segments start at different places
//! from the bias, which depend on the sizes of what is before them in the file, so that small images
//! that are not alike still stand close together.
//!
//! An arena's granules of one [`Chunk`] are bits. All biases are tried at once: the places where a
//! run of free bits starts, shifted by where the segment starts, for all arenas and'ed.

use std::ops::Range;

/// The unit of what is given out, in bytes: a line of the processor's cache, so that writing one
/// image does not take lines away from who runs another.
pub(crate) const GRANULE: u64 = 64;

/// The granules of a chunk, in each arena.
pub(crate) const CHUNK_GRANULES: usize = 1024;

/// The bytes of a chunk, in each arena.
pub(crate) const CHUNK: u64 = GRANULE * CHUNK_GRANULES as u64;

/// The arenas of a window: one for each kind of segment.
pub(crate) const N_ARENAS: usize = 4;

/// The bytes that an image takes of each arena, from the bias on; empty where it has nothing.
pub(crate) type Parts = [Range<u64>; N_ARENAS];

/// How many chunks an image takes that is too large to share one, and where its bias is from the first of
/// them, wrapping. `None` for an image that takes nothing.
pub(crate) fn extent(parts: &Parts, align: u64) -> Option<(u64, u64)> {
    let taken = || parts.iter().filter(|part| !part.is_empty());
    let start = taken().map(|part| part.start).min()? / align * align;
    let end = taken().map(|part| part.end).max()?;
    Some(((end - start).div_ceil(CHUNK), start.wrapping_neg()))
}

/// What an image takes of the arenas of one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The granule of each segment's start, from the lowest one of all segments, and their number,
    /// which is 0 where the image has nothing in an arena.
    parts: [(u16, u16); N_ARENAS],
    /// The lowest granule that any segment has, from the bias.
    first: u32,
    /// The bias is a multiple of this many granules: a power of two.
    align: u16,
}

impl Shape {
    /// The shape of an image whose segments have these bytes from the bias on in their arenas, and
    /// whose bias is a multiple of `align`; `None` when it does not fit into a chunk.
    pub(crate) fn new(parts: &Parts, align: u64) -> Option<Self> {
        let granules = parts.each_ref().map(|part| {
            let start = part.start / GRANULE;
            (start, part.end.div_ceil(GRANULE).saturating_sub(start))
        });
        let taken = granules.iter().filter(|(_, length)| *length != 0);
        let first = taken.map(|(start, _)| *start).min()?;
        let mut shape = Self {
            parts: [(0, 0); N_ARENAS],
            first: u32::try_from(first).ok()?,
            align: u16::try_from(align.div_ceil(GRANULE)).ok()?,
        };
        for (part, (start, length)) in shape.parts.iter_mut().zip(granules) {
            if length != 0 {
                *part = (
                    u16::try_from(start - first).ok()?,
                    u16::try_from(length).ok()?,
                );
            }
        }
        let fits = |&(start, length): &(u16, u16)| {
            usize::from(start) + usize::from(length) <= CHUNK_GRANULES
        };
        let is_small = shape.parts.iter().all(fits) && usize::from(shape.align) <= CHUNK_GRANULES;
        is_small.then_some(shape)
    }

    /// The bias of an image whose lowest granule is `place` of a chunk at `chunk` from the start of
    /// the arenas. It may lie before them.
    pub(crate) fn bias(&self, chunk: u64, place: u16) -> u64 {
        let granule = u64::from(place).wrapping_sub(self.first.into());
        chunk.wrapping_add(granule.wrapping_mul(GRANULE))
    }

    /// The granules in `arena` of an image at `place`.
    pub(crate) fn granules(&self, arena: usize, place: u16) -> Range<usize> {
        let (start, length) = self.parts[arena];
        let start = usize::from(place) + usize::from(start);
        start..start + usize::from(length)
    }

    /// Whether it takes anything of an arena.
    pub(crate) fn is_in(&self, arena: usize) -> bool {
        self.parts[arena].1 != 0
    }

    /// The most granules that it takes of any arena.
    pub(crate) fn largest(&self) -> usize {
        let lengths = self.parts.iter().map(|part| part.1);
        lengths.max().unwrap_or(0).into()
    }
}

const WORDS: usize = CHUNK_GRANULES / 64;

/// A set of granules of one arena's part of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Granules([u64; WORDS]);

impl Granules {
    const NONE: Self = Self([0; WORDS]);

    /// Each moved down by `count`; those that fall off the start are gone.
    fn down(&self, count: usize) -> Self {
        let (words, bits) = (count / 64, count % 64);
        let mut moved = Self::NONE;
        for index in 0..WORDS.saturating_sub(words) {
            let low = self.0[index + words] >> bits;
            let above = match self.0.get(index + words + 1) {
                Some(word) if bits != 0 => word << (64 - bits),
                _ => 0,
            };
            moved.0[index] = low | above;
        }
        moved
    }

    fn and(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word &= other;
        }
    }

    /// Those from which on `length` granules are in the set.
    fn starts_of_runs(&self, length: usize) -> Self {
        let mut runs = *self;
        let mut have = 1;
        while have < length {
            let step = have.min(length - have);
            let moved = runs.down(step);
            runs.and(&moved);
            have += step;
        }
        runs
    }

    fn first(&self) -> Option<usize> {
        let index = self.0.iter().position(|word| *word != 0)?;
        Some(64 * index + self.0[index].trailing_zeros() as usize)
    }

    fn set(&mut self, granules: Range<usize>, value: bool) {
        for granule in granules {
            let bit = 1 << (granule % 64);
            if value {
                self.0[granule / 64] |= bit;
            } else {
                self.0[granule / 64] &= !bit;
            }
        }
    }
}

/// A part of a window that images share.
#[derive(Debug)]
pub(crate) struct Chunk {
    free: [Granules; N_ARENAS],
    n_images: usize,
}

impl Chunk {
    pub(crate) fn new() -> Self {
        Self {
            free: [Granules([u64::MAX; WORDS]); N_ARENAS],
            n_images: 0,
        }
    }

    /// Takes the first place where `shape` fits.
    pub(crate) fn take(&mut self, shape: &Shape) -> Option<u16> {
        let mut places = allowed(shape);
        for (free, &(start, length)) in self.free.iter().zip(&shape.parts) {
            if length != 0 {
                places.and(&free.starts_of_runs(length.into()).down(start.into()));
            }
        }
        let place = u16::try_from(places.first()?).ok()?;
        self.set(shape, place, false);
        self.n_images += 1;
        Some(place)
    }

    /// Gives back what [`Chunk::take`] gave.
    pub(crate) fn give_back(&mut self, shape: &Shape, place: u16) {
        self.set(shape, place, true);
        self.n_images -= 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.n_images == 0
    }

    fn set(&mut self, shape: &Shape, place: u16, is_free: bool) {
        for (arena, free) in self.free.iter_mut().enumerate() {
            free.set(shape.granules(arena, place), is_free);
        }
    }
}

/// The places at which the bias of an image of this shape is aligned; a chunk's start is aligned to
/// anything that a shape is.
fn allowed(shape: &Shape) -> Granules {
    if shape.align <= 1 {
        return Granules([u64::MAX; WORDS]);
    }
    let mut allowed = Granules::NONE;
    let align = usize::from(shape.align);
    let first = usize::try_from(shape.first).unwrap_or(0) % align;
    for granule in (first..CHUNK_GRANULES).step_by(align) {
        allowed.set(granule..granule + 1, true);
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(parts: [(u64, u64); N_ARENAS], align: u64) -> Shape {
        Shape::new(&parts.map(|(start, length)| start..start + length), align).unwrap()
    }

    #[test]
    fn sets_move_across_words() {
        let mut set = Granules::NONE;
        set.set(60..70, true);
        set.set(1023..1024, true);
        let moved = set.down(61);
        let expected = [(0..9), (962..963)];
        let mut wanted = Granules::NONE;
        for range in expected {
            wanted.set(range, true);
        }
        assert_eq!(moved, wanted);
        assert_eq!(set.down(0), set);
        assert_eq!(set.down(64).0[0], set.0[1]);
        assert_eq!(set.starts_of_runs(10).first(), Some(60));
        assert_eq!(set.starts_of_runs(11).first(), None);
    }

    #[test]
    fn like_images_stand_side_by_side() {
        let shape = shape([(1200, 100), (1300, 64), (1364, 0), (0, 0)], 64);
        let mut chunk = Chunk::new();
        let places: Vec<u16> = std::iter::from_fn(|| chunk.take(&shape)).collect();
        // 1200..1300 touches three granules, 1300..1364 two.
        assert_eq!(places.len(), CHUNK_GRANULES / 3);
        assert_eq!(
            shape.bias(CHUNK, places[1]),
            CHUNK + 3 * GRANULE - 18 * GRANULE
        );
        for &place in &places {
            chunk.give_back(&shape, place);
        }
        assert!(chunk.is_empty());
        assert_eq!(chunk.take(&shape), Some(0));
    }

    #[test]
    fn a_place_is_taken_once_whatever_the_shapes() {
        let shapes = [
            shape([(0, 1), (64, 640), (0, 0), (8, 8)], 1),
            shape([(4000, 96), (100, 30), (5000, 70), (0, 0)], 256),
            shape([(0, 0), (1, 4000), (0, 0), (0, 0)], 64),
            shape([(64, 6400), (64, 64), (64, 64), (64, 9000)], 4096),
        ];
        let mut chunk = Chunk::new();
        let mut live: Vec<(Shape, u16)> = Vec::new();
        let mut seed = 1_u64;
        for _ in 0..if cfg!(miri) { 200 } else { 4000 } {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let pick = usize::try_from(seed >> 40).unwrap();
            if pick.is_multiple_of(3) && !live.is_empty() {
                let (shape, place) = live.swap_remove(pick % live.len());
                chunk.give_back(&shape, place);
                continue;
            }
            let shape = shapes[pick % shapes.len()];
            if let Some(place) = chunk.take(&shape) {
                let bias = shape.bias(1 << 40, place);
                assert_eq!(bias % (u64::from(shape.align) * GRANULE), 0);
                for arena in 0..N_ARENAS {
                    let new = shape.granules(arena, place);
                    assert!(new.end <= CHUNK_GRANULES);
                    let apart = |&(ref other, at): &(Shape, u16)| {
                        let old = other.granules(arena, at);
                        new.is_empty()
                            || old.is_empty()
                            || new.end <= old.start
                            || old.end <= new.start
                    };
                    assert!(live.iter().all(apart));
                }
                live.push((shape, place));
            }
        }
        assert!(live.len() > 3);
    }

    #[test]
    fn a_large_image_takes_whole_chunks() {
        let parts = [5000..6000, 70..70, 4500..200_000, 0..0];
        assert_eq!(extent(&parts, 64), Some((3, 4480_u64.wrapping_neg())));
        assert_eq!(extent(&parts, 4096), Some((3, 4096_u64.wrapping_neg())));
        assert_eq!(extent(&[0..CHUNK, 0..0, 0..0, 0..0], 64), Some((1, 0)));
        assert_eq!(extent(&[0..0, 0..0, 0..0, 0..0], 64), None);
    }

    #[test]
    fn what_is_larger_than_a_chunk_has_no_shape() {
        let one = |start, end| Shape::new(&[start..end, 0..0, 0..0, 0..0], 64);
        assert!(one(0, CHUNK).is_some());
        assert!(one(0, CHUNK + 1).is_none());
        assert!(one(1 << 20, (1 << 20) + 64).is_some());
        assert!(Shape::new(&[0..0, 0..0, 0..0, 0..0], 64).is_none());
        assert!(Shape::new(&[0..1, 0..0, 0..0, 0..0], 2 * CHUNK).is_none());
    }
}
