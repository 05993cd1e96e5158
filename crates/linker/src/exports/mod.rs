//! Which definitions an image exports, when the objects' visibility does not decide it alone.

mod pattern;
mod version_script;

use std::borrow::Cow;

use pattern::Pattern;

use crate::input::Versioned;

/// Names to export, as lists of names and version scripts say it.
///
/// A list can only hide more than the objects do: what they declare hidden is not exported, except for
/// the names given to [`Linker::export`](crate::Linker::export).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportList {
    /// The first that matches decides. What says more about a name comes first: whole names, patterns, then
    /// patterns of everything; as they were written within each.
    rules: Vec<Rule>,
    /// What has to be there: names, or patterns that some name has to match.
    asked: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    pattern: Pattern,
    /// Whether the pattern is about names as C++ programs write them.
    is_cpp: bool,
    is_exported: bool,
}

/// A text that is not a version script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseExportListError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

impl ExportList {
    /// Exports these names and no others. They are patterns: see [`ExportList::parse_version_script`]. A link of which one of them exports nothing
    /// fails ([`Error::NotExported`](crate::Error::NotExported)), because who lists a name means to use it.
    #[must_use]
    pub fn only<Name: Into<String>>(names: impl IntoIterator<Item = Name>) -> Self {
        let asked: Vec<String> = names.into_iter().map(Into::into).collect();
        let rule = |text: &str, is_exported| Rule {
            pattern: Pattern::new(text),
            is_cpp: false,
            is_exported,
        };
        let exported = asked.iter().map(|name| rule(name, true));
        let others = std::iter::once(rule("*", false));
        let Self { rules, .. } = Self::new(exported.chain(others).collect());
        Self { rules, asked }
    }

    /// Reads a version script, as linkers take it: `{ global: f; g_*; extern "C++" { ns::*; }; local: *; };`.
    ///
    /// In a name `*` stands for any text, `?` for any byte, `[a-z]` and `[!a-z]` for one of some bytes, and `\`
    /// takes the next byte for itself; a name in quotes is that name. The versions' own names are read
    /// over: images have no versions. Without `global:` or `local:` names are global, which makes it a
    /// list of names as well.
    ///
    /// # Errors
    ///
    /// [`ParseExportListError`] for another form.
    pub fn parse_version_script(text: &str) -> Result<Self, ParseExportListError> {
        version_script::parse(text).map(Self::new)
    }

    fn new(mut rules: Vec<Rule>) -> Self {
        rules.sort_by_key(|rule| rule.pattern.generality());
        Self {
            rules,
            asked: Vec::new(),
        }
    }

    /// What has to be there, each with whether a name is one that is meant.
    pub(crate) fn asked(&self) -> impl Iterator<Item = (&str, impl Fn(&[u8]) -> bool + use<>)> {
        self.asked.iter().map(|text| {
            let pattern = Pattern::new(text);
            let is_meant = move |name: &[u8]| pattern.matches(Versioned::wanted(name).name);
            (text.as_str(), is_meant)
        })
    }

    /// Whether it hides nothing: most links have no list, and need not look at each name.
    pub(crate) fn is_everything(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a definition of this name may be exported. A version in it makes no difference.
    #[must_use]
    pub fn exports(&self, name: &[u8]) -> bool {
        let name = Versioned::wanted(name).name;
        // Made out when a rule first asks for it.
        let mut demangled: Option<Cow<'_, [u8]>> = None;
        let rule = self.rules.iter().find(|rule| {
            if rule.is_cpp {
                let demangled = demangled.get_or_insert_with(|| demangle(name));
                rule.pattern.matches(demangled)
            } else {
                rule.pattern.matches(name)
            }
        });
        rule.is_none_or(|rule| rule.is_exported)
    }
}

/// The name as C++ programs write it; a name that is no mangled one is that of C's.
pub(crate) fn demangle(name: &[u8]) -> Cow<'_, [u8]> {
    let symbol = cpp_demangle::Symbol::new(name).ok();
    match symbol.and_then(|symbol| symbol.demangle().ok()) {
        Some(demangled) if name.starts_with(b"_Z") => Cow::Owned(demangled.into_bytes()),
        _ => Cow::Borrowed(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_exports_nothing_else() {
        let list = ExportList::only(["f", "g*"]);
        assert!(list.exports(b"f") && list.exports(b"gg") && !list.exports(b"h"));
        assert!(ExportList::default().exports(b"anything"));
    }

    #[test]
    fn whole_names_say_more_than_patterns_and_those_more_than_everything() {
        let script = "{ global: *; f_*; local: f_a; g*; global: g_*; };";
        let list = ExportList::parse_version_script(script).unwrap();
        for (name, expected) in [("f_a", false), ("f_b", true), ("g_", false), ("h", true)] {
            assert_eq!(list.exports(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn names_of_cpp_are_matched_as_programs_write_them() {
        let script = "{ global: extern \"C++\" { ns::*; \"g(int)\"; c }; local: *; };";
        let list = ExportList::parse_version_script(script).unwrap();
        for (name, expected) in [
            ("_ZN2ns1fEv", true),
            ("_Z1gi", true),
            ("_Z1gv", false),
            ("_ZN5other1fEv", false),
            ("c", true),
        ] {
            assert_eq!(list.exports(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn versions_of_names_make_no_difference() {
        let list = ExportList::only(["f"]);
        assert!(list.exports(b"f@V1") && !list.exports(b"g@V1"));
    }
}
