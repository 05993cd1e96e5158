//! Which definitions an image exports, when the objects' visibility does not decide it alone.

/// Names to export, as lists of names and version scripts say it.
///
/// A list can only hide more than the objects do: what they declare hidden is not exported, except for
/// the names given to [`Linker::export`](crate::Linker::export).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportList {
    /// In order; the first that matches decides, patterns of `*` alone last.
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    pattern: String,
    is_exported: bool,
}

/// A text that is not a version script of the supported form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseExportListError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

impl ExportList {
    /// Exports these names and no others. `*` and `?` in a name stand for any text and any byte.
    #[must_use]
    pub fn only<Name: Into<String>>(names: impl IntoIterator<Item = Name>) -> Self {
        let exported = |name: Name| Rule {
            pattern: name.into(),
            is_exported: true,
        };
        let mut rules: Vec<Rule> = names.into_iter().map(exported).collect();
        rules.push(Rule {
            pattern: "*".to_owned(),
            is_exported: false,
        });
        Self { rules }
    }

    /// Reads a version script, as linkers take it: `{ global: f; g_*; local: *; };`. A version's name
    /// before the brace is read over: images have no versions. Without `global:` or `local:` names
    /// are global, which makes it a list of names as well.
    ///
    /// # Errors
    ///
    /// [`ParseExportListError`] for another form, such as patterns of C++ names.
    pub fn parse_version_script(text: &str) -> Result<Self, ParseExportListError> {
        let mut list = Self::default();
        let (mut is_open, mut is_exported) = (false, true);
        for (line, token) in tokens(text) {
            let error = |reason| Err(ParseExportListError { line, reason });
            match token {
                "{" if is_open => return error("a brace in a brace: extern is not supported"),
                "{" => (is_open, is_exported) = (true, true),
                "}" if !is_open => return error("no brace is open"),
                "}" => is_open = false,
                "extern" => {
                    return error("patterns of C++ names are not supported: give mangled names");
                }
                ";" | ":" => {}
                "global" if is_open => is_exported = true,
                "local" if is_open => is_exported = false,
                // The name of a version, or of the one that it follows.
                _ if !is_open => {}
                name => {
                    let pattern = name.trim_matches('"').to_owned();
                    list.rules.push(Rule {
                        pattern,
                        is_exported,
                    });
                }
            }
        }
        if is_open {
            let line = text.lines().count();
            return Err(ParseExportListError {
                line,
                reason: "a brace is not closed",
            });
        }
        // What names something says more than what means everything.
        list.rules.sort_by_key(|rule| rule.pattern == "*");
        Ok(list)
    }

    /// Whether a definition of this name may be exported.
    #[must_use]
    pub fn exports(&self, name: &[u8]) -> bool {
        let rule = self
            .rules
            .iter()
            .find(|rule| matches(rule.pattern.as_bytes(), name));
        rule.is_none_or(|rule| rule.is_exported)
    }
}

/// The words and signs of a version script with their lines; comments are left out.
fn tokens(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_comment = false;
    text.lines().zip(1..).flat_map(move |(line, number)| {
        let mut tokens = Vec::new();
        let mut rest = line;
        loop {
            if in_comment {
                let Some(end) = rest.find("*/") else { break };
                (rest, in_comment) = (&rest[end + 2..], false);
            }
            rest = rest.trim_start();
            if rest.is_empty() || rest.starts_with('#') || rest.starts_with("//") {
                break;
            }
            if rest.starts_with("/*") {
                (rest, in_comment) = (&rest[2..], true);
                continue;
            }
            let is_end = |c: char| c.is_whitespace() || "{};:".contains(c);
            let end = match rest.find(is_end) {
                Some(0) => rest.chars().next().map_or(1, char::len_utf8),
                Some(end) => end,
                None => rest.len(),
            };
            tokens.push((number, &rest[..end]));
            rest = &rest[end..];
        }
        tokens
    })
}

/// Whether `name` is what `pattern` says: `*` stands for any bytes, `?` for one.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    // Where the last `*` was, and how far in the name it reaches so far.
    let mut star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[in_name] => {
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
    pattern[at..].iter().all(|&byte| byte == b'*')
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
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn version_scripts_say_what_is_global() {
        let script = "# ours\nLIB_1 { global: f; api_*; /* and\n more */ local: *; };\nLIB_2 { global: g; } LIB_1;";
        let list = ExportList::parse_version_script(script).unwrap();
        for (name, expected) in [("f", true), ("api_x", true), ("g", true), ("h", false)] {
            assert_eq!(list.exports(name.as_bytes()), expected, "{name}");
        }
        let open = ExportList::parse_version_script("{ local: hidden; };").unwrap();
        assert!(open.exports(b"other") && !open.exports(b"hidden"));
        for (script, line) in [
            ("{ f;", 1),
            ("}", 1),
            ("{\n extern \"C++\" { ns::*; }; };", 2),
        ] {
            assert_eq!(
                ExportList::parse_version_script(script).unwrap_err().line,
                line
            );
        }
    }

    #[test]
    fn a_list_exports_nothing_else() {
        let list = ExportList::only(["f", "g*"]);
        assert!(list.exports(b"f") && list.exports(b"gg") && !list.exports(b"h"));
        assert!(ExportList::default().exports(b"anything"));
    }
}
