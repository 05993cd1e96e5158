//! Names of symbols, many at a time.

/// Names and patterns of names, in which `*` stands for any text. An empty list means no name.
///
/// A pattern without `@` means a symbol whatever version of it is asked for: `memcpy` is `memcpy@GLIBC_2.14` too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns(Vec<String>);

impl Patterns {
    /// These patterns.
    #[must_use]
    pub fn new(patterns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(patterns.into_iter().map(Into::into).collect())
    }

    /// Adds one.
    pub(crate) fn add(&mut self, pattern: &str) {
        self.0.push(pattern.to_owned());
    }

    /// Whether a symbol's name, as images have it, is one of them.
    #[must_use]
    pub fn contain(&self, name: &str) -> bool {
        let unversioned = name.split('@').next().unwrap_or(name);
        (self.0.iter()).any(|it| matches(it, name) || !it.contains('@') && matches(it, unversioned))
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(first) else {
        return false;
    };
    let (between, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in between.split('*') {
        // The earliest place leaves the most for what follows.
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, good, bad) in [
            (
                "read",
                &["read", "read@GLIBC_2.2.5"][..],
                &["reads", "", "rea", "a@read"][..],
            ),
            ("*", &["", "a", "a@b"], &[]),
            ("mem*", &["mem", "memcpy", "memcpy@V"], &["me", "amem"]),
            (
                "*_r",
                &["_r", "gmtime_r", "gmtime_r@V"],
                &["r", "gmtime_rs"],
            ),
            ("a*a", &["aa", "aba"], &["a", "ab"]),
            ("a*b*c", &["abc", "axbxc", "abbcc"], &["acb", "ac", "abcd"]),
            ("a**c", &["ac", "abc"], &["a", "c"]),
            ("*bc*bc", &["bcbc", "abcabc"], &["abc", "bc"]),
            ("read@V", &["read@V"], &["read", "read@W", "read@V2"]),
            ("read@*", &["read@V"], &["read"]),
        ] {
            let patterns = Patterns::new([pattern]);
            for name in good {
                assert!(patterns.contain(name), "{pattern} {name}");
            }
            for name in bad {
                assert!(!patterns.contain(name), "{pattern} {name}");
            }
        }
        assert!(!Patterns::default().contain(""));
        assert!(Patterns::new(["a", "b*"]).contain("bc"));
    }
}
