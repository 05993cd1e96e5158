//! What the command says: results on standard output, what is wrong on standard error.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;

/// A failure that has been reported already, or that nobody is left to read about.
#[derive(Debug)]
pub(crate) struct Silent;

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("reported already")
    }
}

impl std::error::Error for Silent {}

/// Writes text to standard output. When its reader has gone, as `head` does, that is no error to
/// report: it has read what it wanted.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Silent.into()),
        other => other.context("standard output: cannot write"),
    }
}

/// Writes a line to standard error, where someone may read it or nobody.
pub(crate) fn line(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Reports why the command failed, and gives its exit code.
pub(crate) fn failure(error: &anyhow::Error) -> ExitCode {
    if !error.is::<Silent>() {
        line(format_args!("farcall: {}", visible(&message(error))));
    }
    ExitCode::FAILURE
}

/// A text with names of somebody else's in it, of which a terminal obeys nothing but its lines' ends.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    // Those that turn the direction of a line around are no control characters to Unicode.
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_obeyed = |c: char| turns(c) || (c.is_control() && !matches!(c, '\n' | '\t'));
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        match is_obeyed(c) {
            true => visible.extend(c.escape_unicode()),
            false => visible.push(c),
        }
    }
    Cow::Owned(visible)
}

/// Reports what is wrong with the command line, or prints the help that it asks for.
pub(crate) fn command_line(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if !error.use_stderr() {
        return match print(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failure(&error),
        };
    }
    match text.strip_prefix("error: ") {
        Some(wrong) => line(format_args!("farcall: {}", wrong.trim_end())),
        None => line(text.trim_end()),
    }
    ExitCode::from(2)
}

/// The error and its causes. Many errors have their cause in their own message; it is said once.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if message.is_empty() {
            message = cause;
        } else if !message.contains(&cause) {
            // Writing to a string does not fail.
            let _ = write!(message, ": {cause}");
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_obey_nothing_of_a_name() {
        assert_eq!(visible("a: ü\n  b\t{\"c\"}"), "a: ü\n  b\t{\"c\"}");
        assert_eq!(
            visible("\x1b[2J\u{202e}x\r\x07\n"),
            "\\u{1b}[2J\\u{202e}x\\u{d}\\u{7}\n"
        );
    }

    #[test]
    fn a_cause_is_said_once() {
        #[derive(Debug)]
        struct Outer(io::Error);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "socket: {}", self.0)
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let error = anyhow::Error::new(Outer(io::Error::other("refused"))).context("address");
        assert_eq!(message(&error), "address: socket: refused");
        let error = anyhow::anyhow!("it is a directory").context("a.o");
        assert_eq!(message(&error), "a.o: it is a directory");
    }
}
