//! Points in time, as signatures state them.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;

/// A point in time: seconds since 1970-01-01T00:00Z, without leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Utc(pub u64);

impl Utc {
    /// Before all others that can be written.
    pub const START: Self = Self(0);
    /// Later than any clock.
    pub const NEVER: Self = Self(u64::MAX);

    /// What the system's clock says. A clock before 1970 says 1970.
    #[must_use]
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// The point that is so much later; [`Utc::NEVER`] if there is none.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time.as_secs()))
    }
}

impl From<SystemTime> for Utc {
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs()))
    }
}

/// `2026-11-26T08:30:00Z`; `never`, and the seconds for a year of more than four digits.
impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NEVER {
            return f.write_str("never");
        }
        let Some((year, month, day)) = date(self.0 / DAY) else {
            return write!(f, "{} seconds after 1970-01-01T00:00:00Z", self.0);
        };
        let second = self.0 % DAY;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

/// A text that is no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: not a day or a time in UTC, as in 2026-11-26 or 2026-11-26T08:30:00Z")]
pub struct ParseUtcError {
    /// The text.
    pub text: String,
}

/// A day, which is its start, or a second: `2026-11-26`, `2026-11-26T08:30:00Z`. Years are those from 1970 to 9999.
impl FromStr for Utc {
    type Err = ParseUtcError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let seconds = match text.split_once('T') {
            None => days(text).map(|days| days * DAY),
            Some((day, time)) => days(day)
                .zip(second_of_day(time))
                .map(|(days, second)| days * DAY + second),
        };
        seconds.map(Self).ok_or_else(|| ParseUtcError {
            text: text.to_owned(),
        })
    }
}

/// The date of a day by its number from 1970-01-01 on; `None` after the year 9999.
fn date(number: u64) -> Option<(u64, u64, u64)> {
    let mut rest = number;
    for year in 1970..10_000 {
        let Some(later) = rest.checked_sub(days_in_year(year)) else {
            let months = (1..).zip(days_in_months(year));
            for (month, days) in months {
                let Some(later) = rest.checked_sub(days) else {
                    return Some((year, month, rest + 1));
                };
                rest = later;
            }
            return None;
        };
        rest = later;
    }
    None
}

/// The number of the day `2026-11-26`, from 1970-01-01 on.
fn days(text: &str) -> Option<u64> {
    let [year, month, day] = fields(text, '-', [4, 2, 2])?;
    let months = days_in_months(year);
    let before = usize::try_from(month.checked_sub(1)?).ok()?;
    let is_day = (1..=*months.get(before)?).contains(&day);
    if year < 1970 || !is_day {
        return None;
    }
    let years: u64 = (1970..year).map(days_in_year).sum();
    Some(years + months[..before].iter().sum::<u64>() + day - 1)
}

/// The second of the day of `08:30:00Z`.
fn second_of_day(text: &str) -> Option<u64> {
    let [hour, minute, second] = fields(text.strip_suffix('Z')?, ':', [2, 2, 2])?;
    (hour < 24 && minute < 60 && second < 60).then_some(hour * 3600 + minute * 60 + second)
}

/// Three numbers with as many digits as that.
fn fields(text: &str, between: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut numbers = [0; 3];
    let mut texts = text.split(between);
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let text = texts.next()?;
        let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        *number = text.parse().ok().filter(|_| is_number)?;
    }
    texts.next().is_none().then_some(numbers)
}

fn days_in_year(year: u64) -> u64 {
    days_in_months(year).iter().sum()
}

fn days_in_months(year: u64) -> [u64; 12] {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let february = if is_leap { 29 } else { 28 };
    [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_text() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2026-11-26T08:30:00Z", 1_795_681_800),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(text.parse(), Ok(Utc(seconds)), "{text}");
            assert_eq!(Utc(seconds).to_string(), text);
        }
        assert_eq!("2026-11-26".parse(), Ok(Utc(1_795_651_200)));
        assert_eq!(Utc::NEVER.to_string(), "never");
        let late = Utc(253_402_300_800).to_string();
        assert_eq!(late, "253402300800 seconds after 1970-01-01T00:00:00Z");
        for wrong in [
            "",
            "1969-12-31",
            "2026-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "2026-1-1",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00Z",
            "+026-01-01",
            "2026-01-01-01",
        ] {
            assert!(wrong.parse::<Utc>().is_err(), "{wrong}");
        }
    }
}
