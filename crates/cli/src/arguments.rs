//! Arguments and results of a call, as text.

use std::fmt::Write as _;
use std::str::FromStr;

use anyhow::Context as _;
use farcall::Signature;
use farcall::image::{Parameter, ValueType};
use farcall::loader::invoke::Value;

/// An argument that was read.
#[derive(Debug, PartialEq)]
pub(crate) enum Argument {
    Int(u64),
    Float(f32),
    Double(f64),
    Null,
    /// Bytes whose address is passed.
    Bytes(Vec<u8>),
    /// Zero bytes whose address is passed, and which are printed after the call.
    Out(Vec<u8>),
}

/// Reads the arguments of a call of a function of this type.
pub(crate) fn read(signature: &Signature, texts: &[String]) -> anyhow::Result<Vec<Argument>> {
    let expected = signature.parameters.len();
    if texts.len() != expected {
        let plural = if expected == 1 {
            "argument"
        } else {
            "arguments"
        };
        anyhow::bail!("it takes {expected} {plural}, not {}", texts.len());
    }
    let mut arguments = Vec::new();
    for (number, (parameter, text)) in (1..).zip(signature.parameters.iter().zip(texts)) {
        let argument = read_one(parameter, text);
        arguments.push(argument.with_context(|| format!("argument {number}, {text:?}"))?);
    }
    Ok(arguments)
}

fn read_one(parameter: &Parameter, text: &str) -> anyhow::Result<Argument> {
    match &parameter.value_type {
        ValueType::Int(bits) => Ok(Argument::Int(integer(*bits, text)?)),
        ValueType::Float => Ok(Argument::Float(number(text)?)),
        ValueType::Double => Ok(Argument::Double(number(text)?)),
        ValueType::Ptr => pointer(text),
        other => anyhow::bail!("a parameter of type {other} cannot be given on the command line"),
    }
}

fn number<T: FromStr>(text: &str) -> anyhow::Result<T> {
    (text.parse().ok()).context("not a number")
}

/// Decimal or, with `0x`, hexadecimal; signed or unsigned, as long as `bits` bits hold it.
fn integer(bits: u32, text: &str) -> anyhow::Result<u64> {
    if bits == 0 || bits > 64 {
        anyhow::bail!("an i{bits} cannot be given on the command line");
    }
    if let (1, "true" | "false") = (bits, text) {
        return Ok(u64::from(text == "true"));
    }
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let parsed = match digits.strip_prefix("0x") {
        Some(digits) => u128::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    let magnitude = parsed.ok().context("not an integer")?;
    let limit = 1_u128 << bits;
    let fits = if is_negative {
        magnitude <= limit / 2
    } else {
        magnitude < limit
    };
    if !fits {
        anyhow::bail!("does not fit an i{bits}");
    }
    let value = if is_negative {
        magnitude.wrapping_neg()
    } else {
        magnitude
    };
    // Two's complement: the low 64 bits are the value.
    Ok(u64::try_from(value & u128::from(u64::MAX)).unwrap_or_default())
}

fn pointer(text: &str) -> anyhow::Result<Argument> {
    let c_string = |text: &str| Argument::Bytes([text.as_bytes(), &[0]].concat());
    if text == "null" {
        return Ok(Argument::Null);
    }
    if let Some(path) = text.strip_prefix('@') {
        return Ok(Argument::Bytes(
            std::fs::read(path).with_context(|| format!("{path}: cannot read"))?,
        ));
    }
    match text.split_once(':') {
        Some(("str", text)) => Ok(c_string(text)),
        Some(("hex", digits)) => Ok(Argument::Bytes(
            hex(digits).context("not pairs of hexadecimal digits")?,
        )),
        Some(("out", size)) => {
            const LARGEST: usize = 1 << 30;
            let size: usize = (size.parse().ok()).context("out:SIZE wants a number of bytes")?;
            if size > LARGEST {
                anyhow::bail!("out:SIZE is at most {LARGEST}");
            }
            Ok(Argument::Out(vec![0; size]))
        }
        _ => Ok(c_string(text)),
    }
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let is_pairs =
        digits.len().is_multiple_of(2) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_pairs.then(|| pairs.map(byte).collect())?
}

/// A result as a line; `None` for `void`.
pub(crate) fn show(value: Value, result: &Parameter) -> Option<String> {
    Some(match value {
        Value::Void => return None,
        Value::Int { bits: 1, value } => if value & 1 == 1 { "true" } else { "false" }.to_owned(),
        Value::Int { value, .. } if result.has("zeroext") => value.to_string(),
        Value::Int { bits, value } => {
            let unused = 64 - bits.clamp(1, 64);
            ((value << unused).cast_signed() >> unused).to_string()
        }
        Value::Float(value) => format!("{value:?}"),
        Value::Double(value) => format!("{value:?}"),
        Value::Pointer(0) => "null".to_owned(),
        Value::Pointer(address) => format!("{address:#x}"),
    })
}

/// What a function left in a buffer: text up to its first zero, where it is text, else hexadecimal.
pub(crate) fn show_buffer(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    let is_padded = bytes[end..].iter().all(|&byte| byte == 0);
    let is_printable = |text: &&str| !text.contains(|c: char| c.is_control() && !c.is_whitespace());
    if let (true, Some(text)) = (
        is_padded,
        std::str::from_utf8(&bytes[..end]).ok().filter(is_printable),
    ) {
        return text.strip_suffix('\n').unwrap_or(text).to_owned();
    }
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(signature: &str, text: &str) -> Result<Argument, String> {
        let signature: Signature = signature.parse().unwrap();
        let read = read(&signature, &[text.to_owned()]);
        read.map(|mut arguments| arguments.remove(0))
            .map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn integers_are_signed_or_unsigned_as_long_as_they_fit() {
        assert_eq!(
            one("void (i8)", "-128"),
            Ok(Argument::Int(0x80_u64.wrapping_neg()))
        );
        assert_eq!(one("void (i8)", "255"), Ok(Argument::Int(255)));
        assert!(one("void (i8)", "256").is_err());
        assert!(one("void (i8)", "-129").is_err());
        assert_eq!(one("void (i64)", "-1"), Ok(Argument::Int(u64::MAX)));
        assert_eq!(
            one("void (i64)", "0xffffffffffffffff"),
            Ok(Argument::Int(u64::MAX))
        );
        assert!(one("void (i32)", "seven").is_err());
        assert!(one("void (i32)", "").is_err());
        assert!(one("void (i128)", "1").is_err());
    }

    #[test]
    fn pointers_are_texts_bytes_or_room() {
        assert_eq!(
            one("void (ptr)", "hi"),
            Ok(Argument::Bytes(b"hi\0".to_vec()))
        );
        assert_eq!(
            one("void (ptr)", "str:null"),
            Ok(Argument::Bytes(b"null\0".to_vec()))
        );
        assert_eq!(
            one("void (ptr)", "hex:00ff"),
            Ok(Argument::Bytes(vec![0, 255]))
        );
        assert_eq!(one("void (ptr)", "out:2"), Ok(Argument::Out(vec![0, 0])));
        assert_eq!(one("void (ptr)", "null"), Ok(Argument::Null));
        assert!(one("void (ptr)", "hex:0").is_err());
        assert!(one("void (ptr)", "out:many").is_err());
    }

    #[test]
    fn results_have_the_sign_that_their_type_says() {
        let value = Value::Int {
            bits: 8,
            value: 0xff,
        };
        let signed: Signature = "i8 ()".parse().unwrap();
        let unsigned: Signature = "zeroext i8 ()".parse().unwrap();
        assert_eq!(show(value, &signed.result).unwrap(), "-1");
        assert_eq!(show(value, &unsigned.result).unwrap(), "255");
        assert_eq!(show(Value::Double(3.0), &signed.result).unwrap(), "3.0");
        assert_eq!(show(Value::Void, &signed.result), None);
    }

    #[test]
    fn buffers_are_shown_as_text_where_they_are() {
        assert_eq!(show_buffer(b"answer\n\0\0"), "answer");
        assert_eq!(show_buffer(&[1, 2, 0, 3]), "01020003");
    }
}
