//! The type of a function, as the manifest carries it: LLVM's syntax, ABI-lowered.
//!
//! The text form is what the IR says: `i32 (i32, ptr)`, `zeroext i8 (i8 signext)`,
//! `void (ptr sret)`, `i32 (ptr, ...)`. A variable's type is its value type alone: `[4 x i32]`.

use std::fmt;
use std::str::FromStr;

/// A function's type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Signature {
    /// What it returns, with `zeroext` or `signext` where the caller may rely on it.
    pub result: Parameter,
    /// What it takes, in order.
    pub parameters: Vec<Parameter>,
    /// Whether more arguments may follow (`...`).
    pub variadic: bool,
}

/// A parameter or a result.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Parameter {
    /// Its type.
    pub value_type: ValueType,
    /// The attributes that change how it is passed, as LLVM spells them: `zeroext`, `signext`,
    /// `sret`, `byval`, `inreg`, …
    pub attributes: Vec<String>,
}

/// A first-class IR type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// `void`, as a result only.
    Void,
    /// `iN`, `N` in bits.
    Int(u32),
    /// `float`.
    Float,
    /// `double`.
    Double,
    /// `ptr`.
    Ptr,
    /// Any other, in LLVM's syntax: `{ i64, i64 }`, `<4 x float>`, `x86_fp80`, …
    Other(String),
}

impl Parameter {
    /// A parameter with no attributes.
    #[must_use]
    pub const fn plain(value_type: ValueType) -> Self {
        Self {
            value_type,
            attributes: Vec::new(),
        }
    }

    /// Whether the attribute is there.
    #[must_use]
    pub fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|each| each == attribute)
    }
}

impl Signature {
    /// Whether a caller that believes in `self` may call a function of type `other`: the types are
    /// the same. Sign and zero extension are left out of the comparison, because a type of C or
    /// Rust that is written with fewer than 32 bits says it in its own language. A caller whose
    /// whole parameter list is `(...)` has a C declaration without a prototype, which says nothing
    /// about parameters.
    #[must_use]
    pub fn is_call_compatible(&self, other: &Self) -> bool {
        let alike = |a: &Parameter, b: &Parameter| {
            let passing = |p: &Parameter| {
                let mut attributes: Vec<_> = (p.attributes.iter())
                    .filter(|each| !matches!(each.as_str(), "zeroext" | "signext"))
                    .cloned()
                    .collect();
                attributes.sort_unstable();
                attributes
            };
            a.value_type == b.value_type && passing(a) == passing(b)
        };
        let unprototyped = self.variadic && self.parameters.is_empty();
        if unprototyped {
            return alike(&self.result, &other.result);
        }
        self.variadic == other.variadic
            && alike(&self.result, &other.result)
            && self.parameters.len() == other.parameters.len()
            && self
                .parameters
                .iter()
                .zip(&other.parameters)
                .all(|(a, b)| alike(a, b))
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Void => f.write_str("void"),
            Self::Int(bits) => write!(f, "i{bits}"),
            Self::Float => f.write_str("float"),
            Self::Double => f.write_str("double"),
            Self::Ptr => f.write_str("ptr"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // LLVM writes a result's attributes before its type and a parameter's after.
        for attribute in &self.result.attributes {
            write!(f, "{attribute} ")?;
        }
        write!(f, "{} (", self.result.value_type)?;
        let mut separator = "";
        for parameter in &self.parameters {
            write!(f, "{separator}{}", parameter.value_type)?;
            for attribute in &parameter.attributes {
                write!(f, " {attribute}")?;
            }
            separator = ", ";
        }
        if self.variadic {
            write!(f, "{separator}...")?;
        }
        f.write_str(")")
    }
}

/// A text that is not a function type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: not a function type such as \"i32 (i32, ptr)\": {reason}")]
pub struct ParseTypeError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl FromStr for Signature {
    type Err = ParseTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |reason| ParseTypeError {
            text: text.to_owned(),
            reason,
        };
        let trimmed = text.trim();
        // The parameter list is the last parenthesis group; a result type may hold others.
        let inner = trimmed
            .strip_suffix(')')
            .ok_or_else(|| error("it does not end in ')'"))?;
        let open = matching_open(inner).ok_or_else(|| error("no '(' matches the last ')'"))?;
        let (result, parameters) = (&inner[..open], &inner[open + 1..]);

        let result = parse_parameter(result).ok_or_else(|| error("no result type"))?;
        let mut signature = Self {
            result,
            parameters: Vec::new(),
            variadic: false,
        };
        if parameters.trim().is_empty() {
            return Ok(signature);
        }
        for part in split_at_commas(parameters) {
            if signature.variadic {
                return Err(error("\"...\" is not last"));
            }
            if part.trim() == "..." {
                signature.variadic = true;
                continue;
            }
            let parameter = parse_parameter(part).ok_or_else(|| error("an empty parameter"))?;
            if parameter.value_type == ValueType::Void {
                return Err(error("a parameter cannot be void"));
            }
            signature.parameters.push(parameter);
        }
        Ok(signature)
    }
}

impl FromStr for ValueType {
    type Err = ParseTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_value_type(text.trim()).ok_or_else(|| ParseTypeError {
            text: text.to_owned(),
            reason: "no type",
        })
    }
}

/// The byte index of the `(` that the end of `inner` closes.
fn matching_open(inner: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, byte) in inner.bytes().enumerate().rev() {
        match byte {
            b')' => depth += 1,
            b'(' if depth == 0 => return Some(index),
            b'(' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Splits at the commas that stand in no bracket.
fn split_at_commas(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |character| {
        match character {
            '(' | '{' | '[' | '<' => depth += 1,
            ')' | '}' | ']' | '>' => depth -= 1,
            _ => {}
        }
        character == ',' && depth == 0
    })
}

const ATTRIBUTES: &[&str] = &[
    "zeroext",
    "signext",
    "noext",
    "inreg",
    "byval",
    "byref",
    "preallocated",
    "inalloca",
    "sret",
    "nest",
    "swiftself",
    "swifterror",
    "swiftasync",
];

fn parse_parameter(text: &str) -> Option<Parameter> {
    let mut rest = text.trim();
    let mut attributes = Vec::new();
    while let Some((word, tail)) = rest.split_once(' ') {
        if !ATTRIBUTES.contains(&word) {
            break;
        }
        attributes.push(word.to_owned());
        rest = tail.trim_start();
    }
    let mut after = Vec::new();
    while let Some((head, word)) = rest.rsplit_once(' ') {
        if !ATTRIBUTES.contains(&word) {
            break;
        }
        after.push(word.to_owned());
        rest = head.trim_end();
    }
    attributes.extend(after.into_iter().rev());
    Some(Parameter {
        value_type: parse_value_type(rest)?,
        attributes,
    })
}

fn parse_value_type(text: &str) -> Option<ValueType> {
    Some(match text {
        "" => return None,
        "void" => ValueType::Void,
        "float" => ValueType::Float,
        "double" => ValueType::Double,
        "ptr" => ValueType::Ptr,
        other => match other.strip_prefix('i').map(str::parse) {
            Some(Ok(bits)) => ValueType::Int(bits),
            _ => ValueType::Other(other.to_owned()),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_a_round_trip() {
        for text in [
            "void ()",
            "i32 (i32, ptr)",
            "zeroext i8 (i8 signext, ptr sret)",
            "i32 (ptr, ...)",
            "void (...)",
            "{ i64, i64 } (<4 x float>, [2 x { i8, i8 }], x86_fp80)",
        ] {
            assert_eq!(text.parse::<Signature>().unwrap().to_string(), text);
        }
        assert_eq!(
            "i32(i32,ptr)".parse::<Signature>().unwrap().to_string(),
            "i32 (i32, ptr)"
        );
    }

    #[test]
    fn what_is_no_function_type_is_refused() {
        for text in [
            "",
            "i32",
            "(",
            ")",
            "i32 (i32",
            "i32 (void)",
            "i32 (..., i32)",
            "i32 (i32,)",
            "()",
        ] {
            assert!(text.parse::<Signature>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn extension_is_not_part_of_compatibility() {
        let a: Signature = "i8 (i16)".parse().unwrap();
        let b: Signature = "zeroext i8 (i16 signext)".parse().unwrap();
        let c: Signature = "i8 (ptr sret)".parse().unwrap();
        let d: Signature = "i8 (ptr)".parse().unwrap();
        assert!(a.is_call_compatible(&b));
        assert!(!c.is_call_compatible(&d));
    }

    #[test]
    fn a_caller_without_a_prototype_believes_in_the_result_only() {
        let caller: Signature = "i32 (...)".parse().unwrap();
        let function: Signature = "i32 (i32, ptr)".parse().unwrap();
        let other: Signature = "ptr (i32, ptr)".parse().unwrap();
        assert!(caller.is_call_compatible(&function));
        assert!(!caller.is_call_compatible(&other));
        assert!(!function.is_call_compatible(&caller));
    }
}
