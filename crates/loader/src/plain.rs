//! Slices of numbers as the bytes that they are in memory.

/// A number any bits of which are a value: an integer that is not a truth value, or a floating-point number.
pub trait Plain: sealed::Plain + Copy + Send + Sync + 'static {}

mod sealed {
    pub trait Plain {}
}

macro_rules! plain {
    ($($type:ty)*) => {$(
        impl sealed::Plain for $type {}
        impl Plain for $type {}
    )*};
}

plain!(u8 i8 u16 i16 u32 i32 u64 i64 usize isize f32 f64);

/// The bytes of these numbers, in this processor's order: that of images which can run here.
#[must_use]
pub fn bytes_of<T: Plain>(numbers: &[T]) -> &[u8] {
    let length = size_of_val(numbers);
    // SAFETY: a `Plain` type has no padding, so that each of its bytes is initialized; the bytes are the slice's own, borrowed as it is.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), length) }
}

/// The same, to be written to.
#[must_use]
pub fn bytes_of_mut<T: Plain>(numbers: &mut [T]) -> &mut [u8] {
    let length = size_of_val(numbers);
    // SAFETY: as above; and whatever is written is a value of a `Plain` type.
    unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_their_bytes() {
        assert_eq!(bytes_of(&[0x0201_u16, 0x0403]), [1, 2, 3, 4]);
        assert_eq!(bytes_of::<f64>(&[]), b"");
        let mut numbers = [0_i32; 2];
        bytes_of_mut(&mut numbers)[3..6].copy_from_slice(&[0xff, 7, 1]);
        assert_eq!(numbers, [-0x0100_0000, 0x107]);
    }
}
