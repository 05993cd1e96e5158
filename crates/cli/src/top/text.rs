//! Numbers, times and names as a column of a table has them: short, of a known width, and nothing that a terminal would obey.

use std::time::Duration;

use ratatui::symbols::bar::NINE_LEVELS as BARS;
use ratatui::text::Span;

/// Text of somebody else, in which whatever is no printed character stands escaped: control characters, and those that
/// turn a line around or take no place.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\'' | '"' => escaped.push(c),
            c => escaped.extend(c.escape_debug()),
        }
    }
    escaped
}

/// How many columns of a terminal a text takes.
pub(crate) fn columns(text: &str) -> usize {
    Span::raw(text).width()
}

/// A text in exactly this many columns: spaces after it, or an ellipsis in its middle, because paths and addresses differ
/// at their ends.
pub(crate) fn fitted(text: &str, width: usize) -> String {
    let mut fitted = cut(text, width);
    let missing = width.saturating_sub(columns(&fitted));
    fitted.extend(std::iter::repeat_n(' ', missing));
    fitted
}

/// As [`fitted`], with the spaces before it.
pub(crate) fn right(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let missing = width.saturating_sub(columns(&text));
    " ".repeat(missing) + &text
}

/// As much of a text as has room, with an ellipsis at its end if that is not all.
pub(crate) fn begun(text: &str, width: usize) -> String {
    match width.checked_sub(1) {
        Some(room) if columns(text) > width => taken(text.chars(), room) + "…",
        Some(_) => text.to_owned(),
        None => String::new(),
    }
}

fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let Some(room) = width.checked_sub(1) else {
        return String::new();
    };
    let start = taken(text.chars(), room / 3);
    let end: String = taken(text.chars().rev(), room - columns(&start));
    start + "…" + &end.chars().rev().collect::<String>()
}

/// As many of the characters as have room.
pub(crate) fn taken(characters: impl Iterator<Item = char>, room: usize) -> String {
    let mut taken = String::new();
    let mut used = 0;
    for c in characters {
        used += columns(c.encode_utf8(&mut [0; 4]));
        if used > room {
            break;
        }
        taken.push(c);
    }
    taken
}

/// A number in up to five columns: `99999`, then `123k`, `1.23M`.
pub(crate) fn count(number: u64) -> String {
    if number < 100_000 {
        number.to_string()
    } else {
        scaled(as_float(number), 1000.0, "kMGTPE")
    }
}

/// Bytes in up to five columns, with units of 1024: `512`, `4.00K`, `12.3M`.
pub(crate) fn bytes(number: f64) -> String {
    if number < 999.5 {
        format!("{number:.0}")
    } else {
        scaled(number, 1024.0, "KMGTPE")
    }
}

/// How often something is in a second, in up to five columns. What has been at all is never zero.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        0.0 => "0".to_owned(),
        r if r < 0.01 => "<0.01".to_owned(),
        r if r < 0.095 => format!("{r:.2}"),
        r if r < 99.95 => format!("{r:.1}"),
        r if r < 99_999.5 => format!("{r:.0}"),
        r => scaled(r, 1000.0, "kMGTPE"),
    }
}

/// Three digits and a unit, each `step` times the one before.
fn scaled(mut number: f64, step: f64, units: &str) -> String {
    let mut units = units.chars();
    let mut unit = units.next();
    number /= step;
    while number >= 999.5 {
        let Some(next) = units.next() else { break };
        number /= step;
        unit = Some(next);
    }
    let number = digits(number);
    unit.map_or(number.clone(), |unit| format!("{number}{unit}"))
}

/// Three digits.
fn digits(number: f64) -> String {
    match number {
        n if n < 9.995 => format!("{n:.2}"),
        n if n < 99.95 => format!("{n:.1}"),
        n => format!("{n:.0}"),
    }
}

/// How long something takes, in up to six columns: `16µs`, `1.02ms`, `8.39s`.
pub(crate) fn time(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    if micros < 999.5 {
        format!("{micros:.0}µs")
    } else if micros < 999_500.0 {
        format!("{}ms", digits(micros / 1e3))
    } else {
        format!("{}s", digits(micros / 1e6))
    }
}

/// For how long something has been, in up to six columns: `45s`, `12m05s`, `3h05m`, `12d04h`.
pub(crate) fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ if days < 100 => format!("{days}d{:02}h", hours % 24),
        _ => format!("{days}d"),
    }
}

/// The last of these values as bars, the newest at the right; the highest of them is a full one. What is not zero can be seen.
pub(crate) fn bars(values: impl DoubleEndedIterator<Item = f64>, width: usize) -> String {
    let mut shown: Vec<f64> = values.rev().take(width).collect();
    shown.reverse();
    let highest = shown.iter().copied().fold(0.0, f64::max);
    let bars = shown.iter().map(|value| bar(*value, highest));
    " ".repeat(width - shown.len()) + &bars.collect::<String>()
}

fn bar(value: f64, highest: f64) -> &'static str {
    const LEVELS: [&str; 8] = [
        BARS.one_eighth,
        BARS.one_quarter,
        BARS.three_eighths,
        BARS.half,
        BARS.five_eighths,
        BARS.three_quarters,
        BARS.seven_eighths,
        BARS.full,
    ];
    if value <= 0.0 {
        return BARS.empty;
    }
    let level = LEVELS.iter().zip(1_u8..);
    let mut reached = level.filter(|(_, n)| value <= highest * f64::from(*n) / 8.0);
    reached.next().map_or(BARS.full, |(bar, _)| bar)
}

/// A counter as a number to calculate with: what is lost beyond 2^53 nobody reads.
#[expect(clippy::cast_precision_loss, reason = "three digits of it are shown")]
pub(crate) fn as_float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        for (text, shown) in [
            ("plain-name.1", "plain-name.1"),
            ("it's \"x\"", "it's \"x\""),
            ("\x1b[2J\x07", "\\u{1b}[2J\\u{7}"),
            ("a\r\nb\t", "a\\r\\nb\\t"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{202e}gnp", "\\u{202e}gnp"),
            ("a\u{200b}\u{200d}b", "a\\u{200b}\\u{200d}b"),
            ("e\u{301}", "e\\u{301}"),
            ("back\\slash", "back\\\\slash"),
            ("模块", "模块"),
        ] {
            assert_eq!(escaped(text), shown);
        }
    }

    #[test]
    fn a_cell_has_its_width_whatever_is_in_it() {
        for text in [
            "",
            "a",
            "unix:/run/farcall/one.sock",
            "模块模块模块",
            "a模b块c",
        ] {
            for width in 0..30 {
                assert_eq!(columns(&fitted(text, width)), width, "{text} in {width}");
                assert_eq!(columns(&right(text, width)), width, "{text} in {width}");
            }
        }
        assert_eq!(fitted("unix:/run/one.sock", 13), "unix…one.sock");
        assert_eq!(fitted("模块模块", 6), "…模块 ");
        assert_eq!(right("12", 4), "  12");
    }

    #[test]
    fn what_is_said_is_cut_at_its_end() {
        assert_eq!(begun("cannot connect", 20), "cannot connect");
        assert_eq!(begun("cannot connect", 8), "cannot …");
        assert_eq!(begun("模块", 3), "模…");
        assert_eq!(begun("a", 0), "");
    }

    #[test]
    fn numbers_have_a_few_digits() {
        let shown = |numbers: &[u64]| numbers.iter().map(|n| count(*n)).collect::<Vec<_>>();
        assert_eq!(
            shown(&[0, 99_999, 100_000, 999_499, 999_500, 12_345_678, u64::MAX]),
            ["0", "99999", "100k", "999k", "1.00M", "12.3M", "18.4E"]
        );
        let shown = |numbers: &[f64]| numbers.iter().map(|n| bytes(*n)).collect::<Vec<_>>();
        assert_eq!(
            shown(&[0.0, 999.0, 1000.0, 1024.0, 1e6, 1.5e9, 1.8e19]),
            ["0", "999", "0.98K", "1.00K", "977K", "1.40G", "15.6E"]
        );
        let shown = |numbers: &[f64]| numbers.iter().map(|n| rate(*n)).collect::<Vec<_>>();
        assert_eq!(
            shown(&[
                0.0, 0.001, 0.02, 0.1, 1.0, 99.94, 99.96, 12_345.6, 99_999.7, 4e6
            ]),
            [
                "0", "<0.01", "0.02", "0.1", "1.0", "99.9", "100", "12346", "100k", "4.00M"
            ]
        );
    }

    #[test]
    fn times_have_a_unit() {
        let micros = Duration::from_micros;
        let shown: Vec<_> = [1, 512, 1024, 16_384, 131_072, 1 << 20, 1 << 23]
            .map(micros)
            .map(time)
            .into();
        assert_eq!(
            shown,
            [
                "1µs", "512µs", "1.02ms", "16.4ms", "131ms", "1.05s", "8.39s"
            ]
        );
        let seconds = Duration::from_secs;
        let shown: Vec<_> = [0, 59, 60, 725, 11_100, 1_051_200, 86_400 * 400]
            .map(seconds)
            .map(age)
            .into();
        assert_eq!(
            shown,
            ["0s", "59s", "1m00s", "12m05s", "3h05m", "12d04h", "400d"]
        );
    }

    #[test]
    fn bars_are_as_high_as_the_highest_says() {
        assert_eq!(bars([0.0, 1.0, 50.0, 100.0].into_iter(), 6), "   ▁▄█");
        assert_eq!(bars([9.0, 1.0, 1.0].into_iter(), 2), "██");
        assert_eq!(bars([0.0, 0.0].into_iter(), 3), "   ");
        assert_eq!(bars([].into_iter(), 0), "");
    }
}
