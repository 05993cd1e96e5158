//! What messages call an image.

/// The name that an image was given, or the start of its digest.
#[derive(Debug, Clone)]
pub(crate) enum Name {
    Given(Box<str>),
    /// Hexadecimal digits. No allocation: most images have no other name.
    Digest([u8; DIGITS]),
}

const DIGITS: usize = 16;

impl Name {
    /// The name of an image with this digest that was given none.
    pub(crate) fn of(digest: &farcall_image::Digest) -> Self {
        const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [0; DIGITS];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(digest.as_bytes()) {
            pair[0] = HEXADECIMAL[usize::from(byte >> 4)];
            pair[1] = HEXADECIMAL[usize::from(byte & 15)];
        }
        Self::Digest(digits)
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Given(name) => name,
            Self::Digest(digits) => std::str::from_utf8(digits).expect("digits are ASCII"),
        }
    }
}

#[cfg(test)]
mod tests {
    use farcall_image::Digest;

    use super::*;

    #[test]
    fn a_digest_starts_as_it_is_printed() {
        let digest = Digest::from_bytes(std::array::from_fn(|index| {
            0xf0_u8.wrapping_add(index.to_le_bytes()[0])
        }));
        assert!(digest.to_string().starts_with(Name::of(&digest).as_str()));
    }
}
