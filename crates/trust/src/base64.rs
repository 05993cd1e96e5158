//! Base64 with padding (RFC 4648, section 4), in which keys are written.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let group = u32::from_be_bytes(group);
        for place in 0..4 {
            let digit = usize::try_from(group >> (18 - 6 * place) & 63).unwrap_or(0);
            let is_padding = place > chunk.len();
            text.push(if is_padding {
                '='
            } else {
                DIGITS[digit].into()
            });
        }
    }
    text
}

/// The bytes that [`encode`] gives this text for; `None` for any other text.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let mut groups = text.as_bytes().chunks(4);
    for chunk in bytes.chunks_mut(3) {
        let mut group = 0;
        for byte in groups.next()? {
            let digit = DIGITS.iter().position(|digit| digit == byte).unwrap_or(0);
            group = group << 6 | u32::try_from(digit).ok()?;
        }
        let size = chunk.len();
        chunk.copy_from_slice(&group.to_be_bytes()[1..=size]);
    }
    // What is no digit, too short or too long was not made of these bytes.
    (encode(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (b"fooba", "Zm9vYmE="),
            (b"foobar", "Zm9vYmFy"),
            (b"\xff\xfe\xfd", "//79"),
        ] {
            assert_eq!(encode(bytes), text);
        }
        assert_eq!(decode(""), Some([]));
        assert_eq!(decode("Zm9vYg=="), Some(*b"foob"));
        assert_eq!(decode("//79"), Some(*b"\xff\xfe\xfd"));
        // Other bits where none count, no padding, other padding, spaces, more, less, and no digits.
        for wrong in [
            "Zm9vYh==",
            "Zm9vYg",
            "Zm9vYg=",
            "Zm9vYg===",
            "Zm9v Yg==",
            " Zm9vYg==",
            "Zm9vYg==\n",
            "Zm9vYmE=",
            "Zm9v",
            "Zm9-Yg==",
            "Zm9éYg==",
            "",
        ] {
            assert_eq!(decode::<4>(wrong), None, "{wrong}");
        }
    }
}
