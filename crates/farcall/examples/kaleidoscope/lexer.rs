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

/// Nothing is nested deeper than it has words, so that this bounds the stack that parsing and code generation need.
const MAX_WORDS: usize = 10_000;

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
            let (token, length) = if first.is_whitespace() {
                rest = rest.trim_start();
                continue;
            } else if first.is_alphabetic() || first == '_' {
                let length = length(rest, |c| c.is_alphanumeric() || c == '_');
                (Token::Name(rest[..length].to_owned()), length)
            } else if first.is_ascii_digit() || first == '.' {
                let length = number_length(rest);
                let number = rest[..length].parse();
                let number =
                    number.map_err(|_| (place, format!("{}: not a number", &rest[..length])))?;
                (Token::Number(number), length)
            } else {
                (Token::Sign(first), first.len_utf8())
            };
            if words.len() == MAX_WORDS {
                return Err((place, format!("more than {MAX_WORDS} words at once")));
            }
            words.push((place, token));
            rest = &rest[length..];
        }
        if !code.trim().is_empty() {
            let column = code.trim_end().chars().count() + 1;
            last = Place { line, column };
        }
    }
    words.push((last, Token::End));
    Ok(words)
}

/// How many bytes of the text belong, from its begin.
fn length(text: &str, belongs: fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// A number goes as far as letters and digits do, so that `1x` is an error; in `1e-3` a sign belongs to it.
fn number_length(text: &str) -> usize {
    let digits = |text| length(text, |c| c.is_ascii_alphanumeric() || c == '.');
    let first = digits(text);
    let (number, rest) = text.split_at(first);
    let is_exponent = number.ends_with(['e', 'E']) && rest.starts_with(['+', '-']);
    match rest.get(1..) {
        Some(exponent) if is_exponent => first + 1 + digits(exponent),
        _ => first,
    }
}
