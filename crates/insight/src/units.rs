//! Durations, sizes and rates as people write them, with a unit, in the configuration and in searches.
//!
//! Invariant: `FromStr` reads the text that `Display` writes back as the same value.

use std::{fmt, ops::Deref, str::FromStr, time};

use serde::{Deserialize, Deserializer};

/// A time span longer than zero, such as `"90s"` or `"1h30m"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Duration(time::Duration);

const DURATION_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Duration {
    pub const fn seconds(seconds: u64) -> Self {
        Self(time::Duration::from_secs(seconds))
    }

    pub const fn minutes(minutes: u64) -> Self {
        Self::seconds(minutes * 60)
    }

    pub const fn hours(hours: u64) -> Self {
        Self::minutes(hours * 60)
    }

    /// Reads one or more numbers with units, such as `1h30m`, as whole milliseconds.
    fn read(text: &str) -> Option<u64> {
        let mut rest = text;
        let mut total: u64 = 0;
        loop {
            let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
            let unit_end = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
            let (unit, after) = after.split_at(unit_end);
            let (_, milliseconds) = DURATION_UNITS.into_iter().find(|(name, _)| *name == unit)?;
            total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(milliseconds)?)?;
            if after.is_empty() {
                return Some(total);
            }
            rest = after;
        }
    }
}

/// Ten years: a longer duration is certainly a mistake. Adding ten years to a time never overflows.
const DURATION_DAYS_MAX: u64 = 3650;

const DAY_MS: u128 = 86_400_000;

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Self::read(text) {
            None => {
                Err(format!("\"{text}\" is not a duration, such as \"500ms\", \"90s\", \"15m\", \"1h30m\" or \"5d\""))
            }
            Some(0) => Err("a duration must be longer than zero".to_owned()),
            Some(ms) if ms > DURATION_DAYS_MAX * 86_400_000 => {
                Err(format!("a duration must be at most \"{DURATION_DAYS_MAX}d\""))
            }
            Some(ms) => Ok(Self(time::Duration::from_millis(ms))),
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One and two days are written in hours, "24h" and "48h", as people write them.
        let mut rest = self.0.as_millis();
        if rest >= 3 * DAY_MS && rest.is_multiple_of(DAY_MS) {
            return write!(f, "{}d", rest / DAY_MS);
        }
        for (unit, milliseconds) in DURATION_UNITS.into_iter().filter(|(unit, _)| *unit != "d") {
            let count = rest / u128::from(milliseconds);
            rest %= u128::from(milliseconds);
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

impl Deref for Duration {
    type Target = time::Duration;
    fn deref(&self) -> &time::Duration {
        &self.0
    }
}

/// A number of bytes, such as `"50MiB"`, or a bare number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ByteSize(u64);

const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl ByteSize {
    pub const fn of_bytes(count: u64) -> Self {
        Self(count)
    }

    pub const fn kibibytes(count: u64) -> Self {
        Self(count << 10)
    }

    pub const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }

    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let factor = if unit.is_empty() {
            Some(1)
        } else {
            SIZE_UNITS.into_iter().find(|(name, _)| *name == unit).map(|(_, factor)| factor)
        };
        let bytes = number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
        match bytes {
            None => {
                Err(format!("\"{text}\" is not a size, such as \"64KiB\", \"50MiB\", \"1GiB\" or a number of bytes"))
            }
            Some(0) => Err("a size must be larger than zero".to_owned()),
            Some(bytes) if i64::try_from(bytes).is_err() => Err("a size must be below 2^63 bytes".to_owned()),
            Some(bytes) => Ok(Self(bytes)),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIZE_UNITS.into_iter().find(|(_, factor)| self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Maximum number of messages in a period, such as `"600/min"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// At least 1.
    pub messages: u32,
    pub per: Period,
}

/// The period in which a [`Rate`] counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Period {
    Second,
    Minute,
    Hour,
}

impl Period {
    const ALL: [Self; 3] = [Self::Second, Self::Minute, Self::Hour];

    fn name(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "h",
        }
    }

    pub fn duration(self) -> time::Duration {
        time::Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        })
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (messages, unit) = text.split_once('/')?;
            let per = Period::ALL.into_iter().find(|period| period.name() == unit)?;
            let digits = messages.bytes().all(|b| b.is_ascii_digit());
            messages.parse::<u32>().ok().filter(|count| digits && *count > 0).map(|messages| Self { messages, per })
        };
        read().ok_or_else(|| format!("\"{text}\" is not a rate, such as \"10/s\", \"600/min\" or \"5000/h\""))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.messages, self.per.name())
    }
}

/// A duration, or `"never"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deadline {
    After(Duration),
    Never,
}

impl FromStr for Deadline {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "never" => Ok(Self::Never),
            text => text.parse().map(Self::After).map_err(|error: String| format!("{error}; or \"never\"")),
        }
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(duration) => duration.fmt(f),
            Self::Never => f.write_str("never"),
        }
    }
}

/// Serde and schema for a type that is text in a file. `$format` is its name in the check of the configuration.
#[macro_export]
macro_rules! text_in_file {
    ($type:ty, $format:literal, $json_type:tt) => {
        impl ::serde::Serialize for $type {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <$crate::units::TextOrNumber as ::serde::Deserialize>::deserialize(deserializer)?;
                text.0.parse().map_err(::serde::de::Error::custom)
            }
        }

        impl ::schemars::JsonSchema for $type {
            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                $format.into()
            }

            fn json_schema(_: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
                ::schemars::json_schema!({ "type": $json_type, "format": $format })
            }
        }
    };
}

text_in_file!(Duration, "duration", "string");
text_in_file!(ByteSize, "size", ["string", "integer"]);
text_in_file!(Rate, "rate", "string");
text_in_file!(Deadline, "deadline", "string");

/// The text of a TOML string or integer.
pub struct TextOrNumber(pub String);

impl<'de> Deserialize<'de> for TextOrNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Text(String),
            Number(i64),
        }
        Ok(Self(match Either::deserialize(deserializer)? {
            Either::Text(text) => text,
            Either::Number(number) => number.to_string(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("90s", 90_000),
            ("15m", 900_000),
            ("1h30m", 5_400_000),
            ("24h", 86_400_000),
            ("5d", 432_000_000),
            ("1m30s500ms", 90_500),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.as_millis(), milliseconds, "{text}");
        }
        for text in ["", "15", "m", "15x", "1.5h", "-1s", "0s", "15 m", "1h30", "99999999999999999999s", "20000d"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("1", 1), ("64KiB", 65_536), ("50MiB", 52_428_800), ("1GiB", 1 << 30), ("7B", 7)] {
            assert_eq!(text.parse::<ByteSize>().unwrap().bytes(), bytes, "{text}");
        }
        for text in ["", "KiB", "50MB", "50 MiB", "-1", "0", "1.5MiB", "99999999999GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!("600/min".parse(), Ok(Rate { messages: 600, per: Period::Minute }));
        for text in ["", "600", "/min", "0/s", "600/day", "-1/s", "+1/s", "600 / min"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(number in 1u64..300_000_000_000, count in 1u32.., period in 0usize..3) {
            let duration = Duration(time::Duration::from_millis(number));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
            let size = ByteSize(number);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
            let rate = Rate { messages: count, per: Period::ALL[period] };
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }

        #[test]
        fn foreign_text_never_panics(text in "\\PC*") {
            let _ = text.parse::<Duration>();
            let _ = text.parse::<ByteSize>();
            let _ = text.parse::<Rate>();
            let _ = text.parse::<Deadline>();
        }
    }
}
