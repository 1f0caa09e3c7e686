//! The terminal, or what stands for it, and how times and foreign text look on it.

use std::{env, io, io::IsTerminal, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use trace::is_unsafe;
use unicode_width::UnicodeWidthStr;

/// What the output may use.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    /// Columns of the terminal; `None`: not a terminal, and nothing is cut.
    pub width: Option<usize>,
    pub colour: bool,
    pub zone: TimeZone,
    pub now: Timestamp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Colour {
    Red,
    Green,
    Yellow,
    Bold,
}

impl Screen {
    /// Standard output, in local time or UTC.
    pub(crate) fn stdout(utc: bool, now: Timestamp) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let size = rustix::termios::tcgetwinsize(&stdout).ok();
        let columns = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
        Self {
            width: if terminal { columns.or(Some(80)) } else { None },
            // https://no-color.org
            colour: terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            zone: if utc { TimeZone::UTC } else { TimeZone::system() },
            now,
        }
    }

    /// Date and time to the second, with the zone's offset.
    pub(crate) fn time(&self, at: Timestamp) -> String {
        at.to_zoned_datetime(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
    }

    /// `text` with `at`, which stands there in UTC, in this screen's zone.
    pub(crate) fn with_local_time(&self, text: &str, at: Option<Timestamp>) -> String {
        at.map_or_else(|| text.to_owned(), |at| text.replace(&at.to_string(), &self.time(at)))
    }

    /// How long ago, such as `3h`.
    pub(crate) fn age(&self, at: Timestamp) -> String {
        short(Duration::try_from(self.now.duration_since(at)).unwrap_or_default())
    }

    /// How long until then, such as `in 12m`, or `now`.
    pub(crate) fn until(&self, at: Timestamp) -> String {
        match Duration::try_from(at.duration_since(self.now)) {
            Ok(duration) if duration >= Duration::from_secs(1) => format!("in {}", short(duration)),
            _ => "now".to_owned(),
        }
    }

    pub(crate) fn paint(&self, text: &str, colour: Option<Colour>) -> String {
        let code = match colour {
            Some(Colour::Red) => "31",
            Some(Colour::Green) => "32",
            Some(Colour::Yellow) => "33",
            Some(Colour::Bold) => "1",
            None => return text.to_owned(),
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The span in its largest whole unit.
fn short(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// Such as `10.2 KiB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, factor)| bytes >= *factor) {
        Some((unit, factor)) => format!("{:.1} {unit}", bytes as f64 / factor as f64),
        None => format!("{bytes} bytes"),
    }
}

/// Foreign text made safe to print in a line.
pub(crate) fn clean(text: &str) -> String {
    let safe = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if is_unsafe(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(safe).collect()
}

/// Lines longer than this are hard to read.
const TEXT_WIDTH_MAX: usize = 100;

/// Wrapped to the screen; what comes after the first line of a list item stands under its text.
pub(crate) fn paragraph(text: &str, indent: &str, screen: &Screen, out: &mut dyn io::Write) -> io::Result<()> {
    let width = screen.width.unwrap_or(TEXT_WIDTH_MAX).min(TEXT_WIDTH_MAX);
    let hanging = if text.starts_with("- ") { "  " } else { "" };
    let mut line = indent.to_owned();
    let mut is_empty = true;
    for word in clean(text).split(' ') {
        if !is_empty && line.width() + 1 + word.width() > width {
            writeln!(out, "{line}")?;
            line = format!("{indent}{hanging}");
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    writeln!(out, "{line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen() -> Screen {
        let now = "2026-07-30T12:00:00Z".parse().unwrap();
        Screen { width: None, colour: false, zone: TimeZone::fixed(jiff::tz::offset(2)), now }
    }

    #[test]
    fn times() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(screen().time(at("2026-07-30T11:00:00.5Z")), "2026-07-30 13:00:00 +02:00");
        for (then, age, until) in [
            ("2026-07-30T11:59:15Z", "45s", "now"),
            ("2026-07-30T11:00:01Z", "59m", "now"),
            ("2026-07-29T11:00:00Z", "25h", "now"),
            ("2026-07-20T12:00:00Z", "10d", "now"),
            ("2026-07-30T12:12:30Z", "0s", "in 12m"),
        ] {
            assert_eq!((screen().age(at(then)).as_str(), screen().until(at(then)).as_str()), (age, until), "{then}");
        }
    }

    #[test]
    fn sizes() {
        for (bytes, text) in [(999, "999 bytes"), (10_445, "10.2 KiB"), (52_428_800, "50.0 MiB")] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\r\nc\u{9b}d\u{202e}e"), "a\u{fffd}[2Jb  c\u{fffd}d\u{fffd}e");
        assert_eq!(clean("Grüße, 世界"), "Grüße, 世界");
    }
}
