//! Times in logs: of the old syslog, which knows neither year nor zone, and of ISO 8601 and its kin.

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
    tz::{Offset, TimeZone},
};

/// `Jun 04 22:24:28`
const SYSLOG_TIME_BYTES: usize = 15;

/// Reads times. Lines of the same second are common, and what a second is in a zone costs more than all the rest.
#[derive(Clone, Debug)]
pub struct LogTimes {
    now: Timestamp,
    zone: TimeZone,
    /// The second that was last read, and what it is.
    text: String,
    second: Option<Timestamp>,
}

impl LogTimes {
    /// Times without a zone are in `zone`; those without a year not after `now`.
    pub fn new(now: Timestamp, zone: TimeZone) -> Self {
        Self { now, zone, text: String::new(), second: None }
    }

    /// `2024-08-26T01:33:38.572449+02:00`, or with a space and without a zone; nothing may follow.
    pub(crate) fn iso(&mut self, text: &str) -> Option<Timestamp> {
        let (second, rest) = text.split_at_checked(19)?;
        let (fraction, zone) = split_fraction(rest);
        let whole = match zone {
            "" => self.remembered(second, |times| times.local(civil(second)?)),
            zone => offset(zone)?.to_timestamp(civil(second)?).ok(),
        };
        with_fraction(whole?, fraction)
    }

    /// `Jun 04 22:24:28` and whatever follows; in the last twelve months.
    pub(crate) fn syslog(&mut self, text: &str) -> Option<Timestamp> {
        let text = text.get(..SYSLOG_TIME_BYTES).unwrap_or(text);
        self.remembered(text, |times| times.old(text))
    }

    /// The time before a syslog's line, of any kind; words may follow.
    pub(crate) fn stamp(&mut self, stamp: &str) -> Option<Timestamp> {
        match stamp.as_bytes() {
            [b'0'..=b'9', ..] => self.numbered(stamp),
            // `Jun 04 22:24:28.572`
            [_, _, _, b' ', _, _, b' ', _, _, b':', ..] => {
                let whole = self.syslog(stamp)?;
                let (fraction, _) = split_fraction(stamp.get(SYSLOG_TIME_BYTES..).unwrap_or_default());
                with_fraction(whole, fraction)
            }
            _ => self.wordy(stamp),
        }
    }

    /// `2024-08-26T01:33:38Z`, `2024-08-26 01:33:38,572`, `2024 Aug 26 01:33:38`, or seconds since 1970.
    fn numbered(&mut self, stamp: &str) -> Option<Timestamp> {
        let mut spaces = memchr::memchr_iter(b' ', stamp.as_bytes());
        let first = spaces.next().unwrap_or(stamp.len());
        let word = stamp.get(..first)?;
        match word.len() {
            4 => self.in_year(stamp.get(first..)?, word.parse().ok()?),
            10 if word.as_bytes()[4] == b'-' => self.iso(stamp.get(..spaces.next().unwrap_or(stamp.len()))?),
            10.. if word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => {
                let (seconds, fraction) = word.split_once('.').unwrap_or((word, ""));
                with_fraction(Timestamp::from_second(seconds.parse().ok()?).ok()?, fraction)
            }
            _ => self.iso(word),
        }
    }

    /// `Aug 26 2024 01:33:38`, `Mon 2024-08-26 01:33:38 UTC`, or as the old syslog with other spaces.
    fn wordy(&mut self, stamp: &str) -> Option<Timestamp> {
        let mut words = stamp.split_ascii_whitespace();
        let (first, second, third) = (words.next()?, words.next()?, words.next()?);
        if second.len() == 10 && second.as_bytes().get(4) == Some(&b'-') {
            let zone = words.next().filter(|zone| *zone == "UTC").map_or("", |_| "Z");
            return self.iso(&format!("{second} {third}{zone}"));
        }
        match third.parse::<i16>() {
            Ok(year) if third.len() == 4 => self.in_year(&format!("{first} {second} {}", words.next()?), year),
            _ => self.old(stamp),
        }
    }

    fn in_year(&self, text: &str, year: i16) -> Option<Timestamp> {
        let (month, day, time) = month_day_time(text)?;
        self.local(Date::new(year, month, day).ok()?.to_datetime(time))
    }

    fn remembered(&mut self, text: &str, read: impl Fn(&Self) -> Option<Timestamp>) -> Option<Timestamp> {
        if self.text != text {
            self.second = read(self);
            text.clone_into(&mut self.text);
        }
        self.second
    }

    fn local(&self, time: DateTime) -> Option<Timestamp> {
        self.zone.to_timestamp(time).ok()
    }

    fn old(&self, text: &str) -> Option<Timestamp> {
        let (month, day, time) = month_day_time(text)?;
        let year = self.zone.to_datetime(self.now).year();
        let in_year = |year: i16| self.local(Date::new(year, month, day).ok()?.to_datetime(time));
        // A clock may be ahead of this one.
        let is_past = |at: &Timestamp| at.duration_since(self.now).as_hours() < 24;
        in_year(year).filter(is_past).or_else(|| in_year(year - 1))
    }
}

/// `Jun 04 22:24:28`
fn month_day_time(text: &str) -> Option<(i8, i8, Time)> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = text.split_whitespace();
    let (month, day, time) = (words.next()?, words.next()?, words.next()?);
    let month = MONTHS.find(month).filter(|at| month.len() == 3 && at % 3 == 0)? / 3 + 1;
    Some((i8::try_from(month).ok()?, day.parse().ok()?, time.parse().ok()?))
}

/// Digits behind the seconds' point.
fn with_fraction(whole: Timestamp, digits: &str) -> Option<Timestamp> {
    let nanoseconds = if digits.is_empty() { 0 } else { nanoseconds(digits)? };
    whole.checked_add(jiff::SignedDuration::from_nanos(nanoseconds)).ok()
}

/// `.572+02:00` is `572` and `+02:00`.
fn split_fraction(rest: &str) -> (&str, &str) {
    let Some(digits) = rest.strip_prefix(['.', ',']) else { return ("", rest.trim_start()) };
    let end = digits.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    (&digits[..end], digits[end..].trim_start())
}

fn nanoseconds(digits: &str) -> Option<i64> {
    let digits = digits.get(..digits.len().min(9))?;
    let number: i64 = digits.parse().ok()?;
    Some(number * 10i64.pow(9 - digits.len() as u32))
}

/// `2024-08-26T01:33:38`
fn civil(text: &str) -> Option<DateTime> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i16> {
        bytes
            .get(from..to)?
            .iter()
            .try_fold(0, |number: i16, byte| byte.is_ascii_digit().then(|| number * 10 + i16::from(byte - b'0')))
    };
    let small = |from: usize| number(from, from + 2).and_then(|number| i8::try_from(number).ok());
    let separators = [bytes.get(4)?, bytes.get(7)?, bytes.get(10)?, bytes.get(13)?, bytes.get(16)?];
    if !matches!(separators, [b'-', b'-', b'T' | b' ', b':', b':']) {
        return None;
    }
    DateTime::new(number(0, 4)?, small(5)?, small(8)?, small(11)?, small(14)?, small(17)?, 0).ok()
}

/// `Z`, `+0200`, `+02:00`
fn offset(text: &str) -> Option<Offset> {
    if text.eq_ignore_ascii_case("z") {
        return Some(Offset::UTC);
    }
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = minutes.strip_prefix(':').unwrap_or(minutes);
    let seconds = hours.parse::<u8>().ok()? as i32 * 3600 + minutes.parse::<u8>().ok()? as i32 * 60;
    Offset::from_seconds(sign * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        let zone = TimeZone::fixed(Offset::from_hours(2).unwrap());
        let mut times = LogTimes::new("2026-11-25T08:00:00Z".parse().unwrap(), zone);
        let table = [
            ("2026-11-25 08:00:01", Some("2026-11-25T06:00:01Z")),
            ("2026-11-25 08:00:01.25", Some("2026-11-25T06:00:01.25Z")),
            ("2026-11-25 08:00:01.250 +0100", Some("2026-11-25T07:00:01.25Z")),
            ("2026-11-25 08:00:01 -0930", Some("2026-11-25T17:30:01Z")),
            ("2026-11-25T08:00:01.123456789+01:00", Some("2026-11-25T07:00:01.123456789Z")),
            ("2026-11-25T08:00:01Z", Some("2026-11-25T08:00:01Z")),
            ("2026-13-25 08:00:01", None),
            ("2026-11-25 08:00:0x", None),
            ("2026-11-25 08:00:01 x", None),
            ("2026-11-25 08:00:01 +9999", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(times.iso(text), expected.map(|time| time.parse().unwrap()), "{text}");
        }
    }
    #[test]
    fn stamps_of_all_syslogs_are_read() {
        let mut times = LogTimes::new("2026-11-25T08:00:00Z".parse().unwrap(), TimeZone::UTC);
        let table = [
            ("Nov 25 07:00:01 mx", Some("2026-11-25T07:00:01Z")),
            ("Nov  5 07:00:01 mx", Some("2026-11-05T07:00:01Z")),
            ("Nov 5 07:00:01 mx", Some("2026-11-05T07:00:01Z")),
            ("Nov 25 07:00:01.25 mx", Some("2026-11-25T07:00:01.25Z")),
            ("Nov 25 2024 07:00:01 mx", Some("2024-11-25T07:00:01Z")),
            ("Nov 25 2024 07:00:02 mx", Some("2024-11-25T07:00:02Z")),
            ("2024 Nov 25 07:00:01 mx", Some("2024-11-25T07:00:01Z")),
            ("2024-11-25T07:00:01+0100 mx", Some("2024-11-25T06:00:01Z")),
            ("2024-11-25T07:00:01.5Z stdout F", Some("2024-11-25T07:00:01.5Z")),
            ("2024-11-25 07:00:01,250 mx", Some("2024-11-25T07:00:01.25Z")),
            ("Mon 2024-11-25 07:00:01 UTC mx", Some("2024-11-25T07:00:01Z")),
            ("1732518001.25 mx", Some("2024-11-25T07:00:01.25Z")),
            ("Juni 4 22:24:28 mx", None),
            ("2024", None),
            ("", None),
            ("[ 12.5] mx", None),
        ];
        for (text, expected) in table {
            assert_eq!(times.stamp(text), expected.map(|time| time.parse().unwrap()), "{text}");
        }
    }
}
