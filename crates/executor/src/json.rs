//! Objects of JSON (RFC 8259), one a line, for programs that read logs.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use farcall_image::Utc;

/// An object that is being written. Keys are the writer's to keep apart.
#[derive(Debug)]
pub(crate) struct Object(String);

impl Object {
    pub(crate) fn new() -> Self {
        Self("{".to_owned())
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key);
        quote(&mut self.0, value);
        self
    }

    pub(crate) fn number(&mut self, key: &str, value: u64) -> &mut Self {
        self.as_it_is(key, &value.to_string())
    }

    pub(crate) fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.as_it_is(key, if value { "true" } else { "false" })
    }

    pub(crate) fn object(&mut self, key: &str, value: Self) -> &mut Self {
        self.as_it_is(key, &value.end())
    }

    /// With what is JSON already.
    pub(crate) fn as_it_is(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key);
        self.0.push_str(value);
        self
    }

    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        quote(&mut self.0, key);
        self.0.push(':');
    }

    /// The text of it.
    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    /// The line that it is.
    pub(crate) fn line(self) -> String {
        let mut line = self.end();
        line.push('\n');
        line
    }
}

/// Writes a string. What a terminal would obey is escaped too, though JSON allows some of it.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            _ if char.is_control() => {
                // All that are control characters have four digits.
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            _ => out.push(char),
        }
    }
    out.push('"');
}

/// The time now, to the microsecond: `2026-11-26T08:30:00.123456Z`.
pub(crate) fn now() -> String {
    let now = SystemTime::now();
    let micros = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.subsec_micros());
    let seconds = Utc::from(now).to_string();
    format!("{}.{micros:06}Z", seconds.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_whatever_is_in_it() {
        let mut inner = Object::new();
        inner.number("uid", 0);
        let mut object = Object::new();
        object
            .text("a\"b", "c\\d\n\u{1b}[31m\u{9b}\0é\u{2028}")
            .flag("yes", true)
            .object("peer", inner)
            .object("none", Object::new());
        assert_eq!(
            object.line(),
            "{\"a\\\"b\":\"c\\\\d\\n\\u001b[31m\\u009b\\u0000é\u{2028}\",\"yes\":true,\"peer\":{\"uid\":0},\"none\":{}}\n"
        );
    }

    #[test]
    fn a_time_has_its_form() {
        let now = now();
        assert_eq!(now.len(), "2026-11-26T08:30:00.123456Z".len(), "{now}");
        assert!(now.ends_with('Z') && now.as_bytes()[19] == b'.', "{now}");
    }
}
