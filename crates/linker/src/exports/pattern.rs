//! Patterns of names, as shells have them.

/// What a name must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Unit>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Unit {
    Byte(u8),
    AnyByte,
    AnyText,
    /// One of the bytes of these ranges, ends included, or one of the others.
    Class {
        ranges: Vec<(u8, u8)>,
        is_negated: bool,
    },
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let mut units = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            let (unit, after) = match byte {
                b'*' => (Unit::AnyText, after),
                b'?' => (Unit::AnyByte, after),
                b'[' => class(after).unwrap_or((Unit::Byte(byte), after)),
                b'\\' => after
                    .split_first()
                    .map_or((Unit::Byte(byte), after), |(&next, after)| {
                        (Unit::Byte(next), after)
                    }),
                _ => (Unit::Byte(byte), after),
            };
            units.push(unit);
            rest = after;
        }
        Self(units)
    }

    /// The name itself, whatever bytes it has.
    pub(super) fn exact(name: &str) -> Self {
        Self(name.bytes().map(Unit::Byte).collect())
    }

    /// Grows with how little it says about a name: a whole name, a part of it, nothing.
    pub(super) fn generality(&self) -> u8 {
        if self.0.iter().all(|unit| matches!(unit, Unit::Byte(_))) {
            0
        } else if self.0 != [Unit::AnyText] {
            1
        } else {
            2
        }
    }

    pub(super) fn matches(&self, name: &[u8]) -> bool {
        let (mut at, mut in_name) = (0, 0);
        // Where the last `*` was, and how far in the name it reaches so far.
        let mut star: Option<(usize, usize)> = None;
        while in_name < name.len() {
            match self.0.get(at) {
                Some(Unit::AnyText) => {
                    star = Some((at, in_name));
                    at += 1;
                }
                Some(unit) if unit.matches(name[in_name]) => {
                    at += 1;
                    in_name += 1;
                }
                _ => {
                    let Some((star_at, reached)) = star else {
                        return false;
                    };
                    star = Some((star_at, reached + 1));
                    (at, in_name) = (star_at + 1, reached + 1);
                }
            }
        }
        self.0[at..].iter().all(|unit| *unit == Unit::AnyText)
    }
}

impl Unit {
    fn matches(&self, byte: u8) -> bool {
        match self {
            Self::Byte(own) => *own == byte,
            Self::AnyByte => true,
            Self::AnyText => false,
            Self::Class { ranges, is_negated } => {
                let is_in = |&(first, last): &(u8, u8)| (first..=last).contains(&byte);
                ranges.iter().any(is_in) != *is_negated
            }
        }
    }
}

/// The class whose text after the bracket `text` starts with, and what comes behind it; `None` when it is not
/// closed.
fn class(text: &[u8]) -> Option<(Unit, &[u8])> {
    let is_negated = matches!(text.first(), Some(b'!' | b'^'));
    let members = &text[usize::from(is_negated)..];
    // A bracket that comes first is a member.
    let end = 1 + members.get(1..)?.iter().position(|&byte| byte == b']')?;
    let (mut members, rest) = (&members[..end], &members[end + 1..]);
    let mut ranges = Vec::new();
    while let Some((&first, after)) = members.split_first() {
        let (last, after) = match after {
            [b'-', last, after @ ..] => (*last, after),
            _ => (first, after),
        };
        ranges.push((first, last));
        members = after;
    }
    Some((Unit::Class { ranges, is_negated }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("f", "f", true),
            ("f", "ff", false),
            ("f*", "f", true),
            ("*_api", "my_api_api", true),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXc", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("f_[abx-z]", "f_y", true),
            ("f_[abx-z]", "f_c", false),
            ("f_[!a]*", "f_bc", true),
            ("f_[^a]", "f_a", false),
            ("f[]-]", "f]", true),
            ("f[]-]", "f-", true),
            ("f[", "f[", true),
            ("f[a", "fa", false),
            ("f[]", "f[]", true),
            (r"f\*", "f*", true),
            (r"f\*", "fx", false),
        ] {
            let found = Pattern::new(pattern).matches(name.as_bytes());
            assert_eq!(found, expected, "{pattern} {name}");
        }
        assert!(Pattern::exact("f*").matches(b"f*") && !Pattern::exact("f*").matches(b"ff"));
    }
}
