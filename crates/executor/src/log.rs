//! The log of an executor, on standard error: a line for each event, for people or for programs.
//!
//! The events are those of `tracing`. There are no spans in what runs here, so that all of a subscriber is this; `tracing-subscriber` would be a fiftieth of the
//! program.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write as _};
use std::str::FromStr;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::json::{self, Object};

/// What lines of a log look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people: time, level, what has happened, and what belongs to it as `key=value`.
    #[default]
    Text,
    /// For programs: an object of JSON a line, with `time`, `level`, `target`, `message` and what belongs to it.
    Json,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("text or json"),
        }
    }
}

/// Logs to standard error from now on, in this process: what is as important as `level`, or more. Does nothing where something logs already.
pub fn log_to_stderr(level: Level, format: LogFormat) {
    let log = Log {
        level: level.into(),
        format,
        has_colours: io::stderr().is_terminal(),
    };
    let _ = tracing::subscriber::set_global_default(log);
}

struct Log {
    level: LevelFilter,
    format: LogFormat,
    has_colours: bool,
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn event(&self, event: &Event<'_>) {
        let line = match self.format {
            LogFormat::Text => text(event, self.has_colours),
            LogFormat::Json => object(event),
        };
        // One write, so that lines of several threads stay whole. Where nobody reads it there is nobody to tell either.
        let _ = io::stderr().write_all(line.as_bytes());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn text(event: &Event<'_>, has_colours: bool) -> String {
    let level = *event.metadata().level();
    let mut line = json::now();
    let colour = match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        _ => 34,
    };
    let _ = match has_colours {
        true => write!(line, " \x1b[{colour}m{level:>5}\x1b[0m"),
        false => write!(line, " {level:>5}"),
    };
    let (mut fields, mut more) = (String::new(), String::new());
    event.record(&mut Each(|name: &str, value: Value<'_>| {
        let text = value.to_string();
        if name == "message" {
            let printable = |char: char| char == '\n' || !char.is_control();
            let text: String = (text.chars())
                .map(|it| if printable(it) { it } else { '?' })
                .collect();
            // Such as a backtrace, which comes after what belongs to the event.
            let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
            line.push(' ');
            line.push_str(first);
            more = rest.to_owned();
            return;
        }
        let is_plain = |char: char| !char.is_control() && !" \"=".contains(char);
        let _ = match text.chars().all(is_plain) && !text.is_empty() {
            true => write!(fields, " {name}={text}"),
            false => write!(fields, " {name}={text:?}"),
        };
    }));
    line.push_str(&fields);
    line.push('\n');
    // No line of it looks like an event of its own, whatever shipped code calls its functions.
    for more in more.lines() {
        let indent = if more.starts_with(' ') { "" } else { "  " };
        let _ = writeln!(line, "{indent}{more}");
    }
    line
}

fn object(event: &Event<'_>) -> String {
    let metadata = event.metadata();
    let mut object = Object::new();
    object
        .text("time", &json::now())
        .text("level", &metadata.level().as_str().to_ascii_lowercase())
        .text("target", metadata.target());
    event.record(&mut Each(|name: &str, value: Value<'_>| {
        let text = value.to_string();
        match value {
            Value::Plain(_) => object.as_it_is(name, &text),
            Value::Text(_) => object.text(name, &text),
        };
    }));
    object.line()
}

/// What belongs to an event.
enum Value<'a> {
    /// Numbers and the like, which JSON has too.
    Plain(&'a dyn fmt::Display),
    Text(&'a dyn fmt::Debug),
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

/// Does something with each field of an event.
struct Each<F>(F);

impl<F: FnMut(&str, Value<'_>)> Visit for Each<F> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        (self.0)(field.name(), Value::Text(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        (self.0)(field.name(), Value::Text(&format_args!("{value}")));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        (self.0)(field.name(), Value::Plain(&value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        (self.0)(field.name(), Value::Plain(&value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        (self.0)(field.name(), Value::Plain(&value));
    }
}
