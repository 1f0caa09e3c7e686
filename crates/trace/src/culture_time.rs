//! Times as Windows writes them, which differ by the language of the machine: `8/20/2018 12:00:39 AM`, `20.08.2018 00:00:39`.

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};

/// Reads the times of one file: what one of them shows about the order of day and month holds for the others.
pub(crate) struct CultureTimes {
    pub(crate) zone: TimeZone,
    is_day_first: Option<bool>,
}

impl CultureTimes {
    pub(crate) fn new(zone: TimeZone) -> Self {
        Self { zone, is_day_first: None }
    }

    /// A time without a zone is in the zone of the file.
    pub(crate) fn read(&mut self, text: &str) -> Option<Timestamp> {
        let text = text.trim();
        if let Ok(at) = text.parse::<Timestamp>() {
            return Some(at);
        }
        let local = text.parse::<DateTime>().ok().or_else(|| self.windows(text))?;
        self.zone.to_timestamp(local).ok()
    }

    fn windows(&mut self, text: &str) -> Option<DateTime> {
        let mut words = text.split_whitespace();
        let (date, clock) = (words.next()?, words.next()?);
        let half: String = words.collect::<String>().chars().filter(char::is_ascii_alphabetic).collect();
        let half = match half.to_ascii_lowercase().as_str() {
            "am" => Some(0),
            "pm" => Some(12),
            "" => None,
            _ => return None,
        };
        let date = self.date(date, half.is_some())?;
        Some(date.to_datetime(time(clock, half)?))
    }

    /// Only the United States put the month first, and they write AM and PM.
    fn date(&mut self, text: &str, has_half: bool) -> Option<Date> {
        let separator = text.chars().find(|c| !c.is_ascii_digit())?;
        let numbers: Vec<i16> = text.split(separator).map(|number| number.parse().ok()).collect::<Option<_>>()?;
        let [first, second, third] = numbers[..] else { return None };
        if first > 31 {
            return Date::new(first, i8::try_from(second).ok()?, i8::try_from(third).ok()?).ok();
        }
        let year = if third < 100 { third + 2000 } else { third };
        if first > 12 || second > 12 {
            self.is_day_first = Some(first > 12);
        }
        let is_day_first = self.is_day_first.unwrap_or(separator != '/' || !has_half);
        let (day, month) = if is_day_first { (first, second) } else { (second, first) };
        Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
    }
}

/// `12:00:39` before noon is half past midnight or so.
fn time(text: &str, half: Option<i8>) -> Option<Time> {
    let mut parts = text.split(':');
    let hour: i8 = parts.next()?.parse().ok()?;
    let minute: i8 = parts.next()?.parse().ok()?;
    let second = parts.next().map_or(Some(0), |second| second.split(['.', ',']).next()?.parse().ok())?;
    let hour = half.map_or(Some(hour), |half| (1..=12).contains(&hour).then(|| hour % 12 + half))?;
    Time::new(hour, minute, second, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_all_languages_are_read() {
        let table = [
            ("8/20/2018 12:00:39 AM", Some("2018-08-20T00:00:39Z")),
            ("8/2/2018 1:00:39\u{202f}PM", Some("2018-08-02T13:00:39Z")),
            ("20.08.2018 00:00:39", Some("2018-08-20T00:00:39Z")),
            ("02.08.2018 00:00:39", Some("2018-08-02T00:00:39Z")),
            ("02/08/2018 14:00:39", Some("2018-08-02T14:00:39Z")),
            ("2-8-2018 14:00", Some("2018-08-02T14:00:00Z")),
            ("2018/08/02 14:00:39", Some("2018-08-02T14:00:39Z")),
            ("2018-08-02T14:00:39.123Z", Some("2018-08-02T14:00:39.123Z")),
            ("2018-08-02 14:00:39", Some("2018-08-02T14:00:39Z")),
            ("8/20/2018 13:00:39 AM", None),
            ("8/20/2018", None),
            ("99/99/2018 14:00:39", None),
            ("", None),
        ];
        for (text, expected) in table {
            let read = CultureTimes::new(TimeZone::UTC).read(text);
            assert_eq!(read, expected.map(|time| time.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn one_time_shows_the_order_of_the_others() {
        let mut times = CultureTimes::new(TimeZone::UTC);
        for (text, expected) in
            [("20/08/2018 1:00:39 pm", "2018-08-20T13:00:39Z"), ("02/08/2018 1:00:39 pm", "2018-08-02T13:00:39Z")]
        {
            assert_eq!(times.read(text), expected.parse().ok(), "{text}");
        }
    }
}
