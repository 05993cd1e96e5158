//! Version scripts: what of them is about which names are exported.
//!
//! Source: GNU ld's manual, "VERSION Command".

use super::{ParseExportListError, Pattern, Rule};

type Result<T> = std::result::Result<T, ParseExportListError>;

/// The rules of a script, in its order.
pub(super) fn parse(text: &str) -> Result<Vec<Rule>> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        next: 0,
        rules: Vec::new(),
    };
    parser.version()?;
    while parser.peek().is_some() {
        parser.version()?;
    }
    Ok(parser.rules)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'text> {
    /// `{`, `}`, `;` or `:`.
    Sign(char),
    Word(&'text str),
    Quoted(&'text str),
}

struct Parser<'text> {
    /// With their lines.
    tokens: Vec<(usize, Token<'text>)>,
    next: usize,
    rules: Vec<Rule>,
}

impl<'text> Parser<'text> {
    fn peek(&self) -> Option<Token<'text>> {
        self.tokens.get(self.next).map(|&(_, token)| token)
    }

    fn take(&mut self, wanted: Token<'_>) -> bool {
        let is_next = self.peek() == Some(wanted);
        self.next += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, sign: char, reason: &'static str) -> Result<()> {
        if self.take(Token::Sign(sign)) {
            Ok(())
        } else {
            self.error(reason)
        }
    }

    /// An error at the next token, or at the last where the text ends.
    fn error<T>(&self, reason: &'static str) -> Result<T> {
        let token = self.tokens.get(self.next).or(self.tokens.last());
        let line = token.map_or(1, |&(line, _)| line);
        Err(ParseExportListError { line, reason })
    }

    /// `NAME { ... } NAME_OF_ANOTHER;`, of which the names may be absent.
    fn version(&mut self) -> Result<()> {
        if let Some(Token::Word(_) | Token::Quoted(_)) = self.peek() {
            self.next += 1;
        }
        self.expect('{', "a version's { is missing")?;
        let mut is_exported = true;
        loop {
            let start = self.next;
            match self.peek() {
                Some(Token::Sign('}')) => break,
                Some(Token::Word(word @ ("global" | "local"))) => {
                    self.next += 1;
                    if self.take(Token::Sign(':')) {
                        is_exported = word == "global";
                        continue;
                    }
                    self.next = start;
                }
                Some(Token::Word("extern")) => {
                    self.next += 1;
                    if let Some(Token::Quoted(language)) = self.peek() {
                        self.language(language, is_exported)?;
                        self.end_of_item()?;
                        continue;
                    }
                    self.next = start;
                }
                _ => {}
            }
            self.pattern(is_exported, false)?;
            self.end_of_item()?;
        }
        self.next += 1;
        while let Some(Token::Word(_) | Token::Quoted(_)) = self.peek() {
            self.next += 1;
        }
        self.expect(';', "the ; after a version is missing")
    }

    /// `"LANGUAGE" { ... }`, as comes after `extern`.
    fn language(&mut self, language: &str, is_exported: bool) -> Result<()> {
        let is_cpp = match language {
            "C" => false,
            "C++" => true,
            _ => return self.error("names are of \"C\" or \"C++\""),
        };
        self.next += 1;
        self.expect('{', "the { after the language is missing")?;
        while !self.take(Token::Sign('}')) {
            self.pattern(is_exported, is_cpp)?;
            self.end_of_item()?;
        }
        Ok(())
    }

    fn pattern(&mut self, is_exported: bool, is_cpp: bool) -> Result<()> {
        let pattern = match self.peek() {
            Some(Token::Word(text)) => Pattern::new(text),
            Some(Token::Quoted(text)) => Pattern::exact(text),
            Some(Token::Sign(_)) => return self.error("a name is missing"),
            None => return self.error("a brace is not closed"),
        };
        self.next += 1;
        self.rules.push(Rule {
            pattern,
            is_cpp,
            is_exported,
        });
        Ok(())
    }

    /// A semicolon; the last of a list may be absent.
    fn end_of_item(&mut self) -> Result<()> {
        if self.peek() == Some(Token::Sign('}')) {
            return Ok(());
        }
        self.expect(';', "the ; after a name is missing")
    }
}

/// The words and signs of a script with their lines; comments are left out.
fn tokens(text: &str) -> Result<Vec<(usize, Token<'_>)>> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    loop {
        let blank = rest.len() - rest.trim_start().len();
        line += lines_in(&rest[..blank]);
        rest = &rest[blank..];
        let error = |reason| Err(ParseExportListError { line, reason });
        let Some(first) = rest.chars().next() else {
            return Ok(tokens);
        };
        let size = if let Some(comment) = rest.strip_prefix("/*") {
            match comment.find("*/") {
                Some(end) => end + 4,
                None => return error("a comment is not closed"),
            }
        } else if first == '#' || rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let Some(end) = quoted.find('"') else {
                return error("a quote is not closed");
            };
            tokens.push((line, Token::Quoted(&quoted[..end])));
            end + 2
        } else {
            match word_size(rest) {
                0 => {
                    tokens.push((line, Token::Sign(first)));
                    first.len_utf8()
                }
                size => {
                    tokens.push((line, Token::Word(&rest[..size])));
                    size
                }
            }
        };
        line += lines_in(&rest[..size]);
        rest = &rest[size..];
    }
}

fn lines_in(text: &str) -> usize {
    text.matches('\n').count()
}

/// The size of the word that `text` starts with, in bytes; 0 when it starts with a sign. Two colons are a part of
/// a word, of a name in a namespace.
fn word_size(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut size = 0;
    while let Some(&byte) = bytes.get(size) {
        size += match byte {
            b':' if bytes.get(size + 1) == Some(&b':') => 2,
            b'{' | b'}' | b';' | b':' | b'"' => break,
            _ if byte.is_ascii_whitespace() => break,
            _ => 1,
        };
    }
    size
}

#[cfg(test)]
mod tests {
    use crate::ExportList;

    #[test]
    fn version_scripts_say_what_is_global() {
        let script = "# ours\nLIB_1 { global: f; api_*; /* and\n more */ local: *; };\nLIB_2 { global: g; } LIB_1;";
        let list = ExportList::parse_version_script(script).unwrap();
        for (name, expected) in [("f", true), ("api_x", true), ("g", true), ("h", false)] {
            assert_eq!(list.exports(name.as_bytes()), expected, "{name}");
        }
        let open = ExportList::parse_version_script("{ local: hidden; };").unwrap();
        assert!(open.exports(b"other") && !open.exports(b"hidden"));
        let words = "{ global; local; extern; \"a b*\"; extern \"C\" { c* }; local: * };";
        let words = ExportList::parse_version_script(words).unwrap();
        for name in ["global", "local", "extern", "a b*", "cc"] {
            assert!(words.exports(name.as_bytes()), "{name}");
        }
        assert!(!words.exports(b"other"));
    }

    #[test]
    fn what_is_no_version_script_is_refused_with_its_line() {
        for (script, line, reason) in [
            ("", 1, "a version's { is missing"),
            ("f\ng", 2, "a version's { is missing"),
            ("}", 1, "a version's { is missing"),
            ("{\n f;", 2, "a brace is not closed"),
            ("{ f g; };", 1, "the ; after a name is missing"),
            ("{\n global f; };", 2, "the ; after a name is missing"),
            ("{ ; };", 1, "a name is missing"),
            ("{ f; }", 1, "the ; after a version is missing"),
            ("{ f; };\n/* ", 2, "a comment is not closed"),
            ("{ \"f; };", 1, "a quote is not closed"),
            (
                "{\n\n extern \"Java\" { f; }; };",
                3,
                "names are of \"C\" or \"C++\"",
            ),
            (
                "{ extern \"C++\" f; };",
                1,
                "the { after the language is missing",
            ),
        ] {
            let error = ExportList::parse_version_script(script).unwrap_err();
            assert_eq!((error.line, error.reason), (line, reason), "{script}");
        }
    }
}
