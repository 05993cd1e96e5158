//! From text to words.

use crate::syntax::Place;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    Name(String),
    Number(f64),
    /// Anything else: an operator, a parenthesis, a comma, a semicolon.
    Sign(char),
    End,
}

/// The words of a text, each with its place. `#` begins a comment, to the end of the line.
pub(crate) fn words(text: &str) -> Result<Vec<(Place, Token)>, (Place, String)> {
    let mut words = Vec::new();
    let mut last = Place { line: 1, column: 1 };
    for (line, content) in (1..).zip(text.lines()) {
        let code = content.split('#').next().unwrap_or_default();
        let mut rest = code;
        while let Some(first) = rest.chars().next() {
            let column = code[..code.len() - rest.len()].chars().count() + 1;
            let place = Place { line, column };
            let length =
                |belongs: fn(char) -> bool| rest.find(|c| !belongs(c)).unwrap_or(rest.len());
            let (token, length) = if first.is_whitespace() {
                rest = rest.trim_start();
                continue;
            } else if first.is_alphabetic() || first == '_' {
                let length = length(|c| c.is_alphanumeric() || c == '_');
                (Token::Name(rest[..length].to_owned()), length)
            } else if first.is_ascii_digit() || first == '.' {
                let length = length(|c| c.is_ascii_alphanumeric() || c == '.');
                let number = rest[..length].parse();
                let number =
                    number.map_err(|_| (place, format!("{}: not a number", &rest[..length])))?;
                (Token::Number(number), length)
            } else {
                (Token::Sign(first), first.len_utf8())
            };
            words.push((place, token));
            rest = &rest[length..];
        }
        last = Place {
            line,
            column: code.trim_end().chars().count() + 1,
        };
    }
    words.push((last, Token::End));
    Ok(words)
}
