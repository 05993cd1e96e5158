//! Images whose code does nothing, so that any bytes may be loaded: all code is `ret`.
//!
//! Damage may send constructors, destructors and resolvers of indirect functions anywhere in an image's code.
//! They return at once, wherever it sends them.

use farcall_arch::Machine;
use farcall_image::{Image, Segment};

/// The instruction that returns, in one byte.
const RETURN: u8 = 0xc3;

/// The same image with nothing but `ret` for code; `None` when this is no image of x86-64, or one that would run
/// code of others at load.
pub(crate) fn harmless(bytes: &[u8]) -> Option<Vec<u8>> {
    let image = Image::parse(bytes).ok()?;
    if image.machine() != Machine::X86_64 || calls_others(&image) {
        return None;
    }
    let mut harmless = bytes.to_vec();
    for segment in image.segments().iter().filter(|it| it.executable) {
        harmless[segment.file.clone()].fill(RETURN);
    }
    // Code may be among what parsing reads.
    let same = Image::parse(&harmless).ok()?;
    (!calls_others(&same)).then_some(harmless)
}

/// Whether a constructor or destructor may be an import, or anything else that is no `ret`.
fn calls_others(image: &Image<'_>) -> bool {
    let tables = [image.init_array(), image.fini_array()];
    let is_in_table = |place: u64| {
        let mut tables = tables.iter();
        tables.any(|table| place < table.end && table.start < place.saturating_add(8))
    };
    // Code that is zero in memory only is no `ret`.
    let is_zeroed =
        |it: &Segment| it.executable && it.file.len() as u64 != it.memory.end - it.memory.start;
    image.segments().iter().any(is_zeroed)
        || (image.relocations()).any(|it| is_in_table(it.place) && it.symbol != 0)
}
