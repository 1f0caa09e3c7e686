//! Points in time as people write them.

use std::str::FromStr;

use jiff::{Timestamp, civil, tz::TimeZone};

use crate::units::Duration;

/// A point in time as people write it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Moment {
    At(Timestamp),
    /// This long before now.
    Ago(Duration),
}

impl Moment {
    pub fn timestamp(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(duration) => now.checked_sub(*duration).unwrap_or(Timestamp::MIN),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(duration) = text.parse() {
            return Ok(Self::Ago(duration));
        }
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        let local =
            text.parse::<civil::DateTime>().ok().and_then(|time| time.to_zoned_datetime(TimeZone::system()).ok());
        let fault = || {
            format!(
                "\"{text}\" is not a time; use a form such as 2h, '2026-07-30 14:00' (local) or 2026-07-30T12:00:00Z"
            )
        };
        local.map(|time| Self::At(time.timestamp())).ok_or_else(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let now: Timestamp = "2026-07-30T12:00:00Z".parse().unwrap();
        let at = |text: &str| text.parse::<Moment>().unwrap().timestamp(now).to_string();
        assert_eq!(at("90m"), "2026-07-30T10:30:00Z");
        assert_eq!(at("2026-07-29T10:30:00+02:00"), "2026-07-29T08:30:00Z");
        let local = civil::date(2026, 7, 29).at(10, 30, 0, 0).to_zoned_datetime(TimeZone::system()).unwrap();
        assert_eq!(at("2026-07-29 10:30"), local.timestamp().to_string());
        assert_eq!(at("2026-07-29"), local.start_of_day().unwrap().timestamp().to_string());
        for text in ["", "yesterday", "12", "2026-13-01"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}
