//! The terminal or its substitute: its width, its colours, and the form of times and foreign text.

use std::{
    env, io,
    io::{IsTerminal, Write},
    os::fd::AsFd,
    time::Duration,
};

pub(crate) use insight::{grouped, size};
use jiff::{Timestamp, tz::TimeZone};
pub(crate) use protocol::text::clean;
use unicode_width::UnicodeWidthStr;

/// Properties of the output.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    /// Width of the terminal, or the value of COLUMNS. `None`: neither exists, so nothing is cut or wrapped.
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
        Self {
            width: width(&stdout, terminal),
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

    /// The short form for narrow columns: the time for today, day and time for this year, otherwise the date.
    pub(crate) fn short_time(&self, at: Timestamp) -> String {
        let (at, now) = (at.to_zoned_datetime(self.zone.clone()), self.now.to_zoned_datetime(self.zone.clone()));
        let format = match (at.year() == now.year(), at.day_of_year() == now.day_of_year()) {
            (true, true) => "%H:%M:%S",
            (true, false) => "%m-%d %H:%M",
            (false, _) => "%Y-%m-%d",
        };
        at.strftime(format).to_string()
    }

    /// Replaces the UTC time `at` in `text` with the same time in this screen's zone.
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

/// A smaller width is useless for tables and texts, so it is ignored.
const WIDTH_MIN: usize = 20;

/// The variable COLUMNS, which the user may set for output into a pipe.
fn columns_named() -> Option<usize> {
    env::var("COLUMNS").ok()?.trim().parse().ok().filter(|columns| *columns >= WIDTH_MIN)
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

/// Such as `1 message` and `1,204 messages`.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// Lines longer than this are hard to read.
const TEXT_WIDTH_MAX: usize = 100;

/// Writes a text wrapped to the screen. Further lines of a list item are indented like its text.
pub(crate) fn paragraph(text: &str, indent: &str, screen: &Screen, out: &mut dyn io::Write) -> io::Result<()> {
    let width = screen.width.unwrap_or(TEXT_WIDTH_MAX).min(TEXT_WIDTH_MAX);
    let hanging = if text.starts_with("- ") { "  " } else { "" };
    write_wrapped(text, indent, &format!("{indent}{hanging}"), width, out)
}

/// Writes a line to standard error, wrapped to its terminal. Texts that have lines of their own keep them.
pub(crate) fn write_note(text: &str) {
    let mut stderr = io::stderr();
    let width = width(&stderr, stderr.is_terminal()).filter(|_| !text.contains('\n'));
    let _ = match width {
        Some(width) => write_wrapped(text, "", "", width, &mut stderr),
        None => writeln!(stderr, "{text}"),
    };
}

/// Of a terminal, or as the environment names it.
fn width(stream: impl AsFd, is_terminal: bool) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok();
    let columns = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
    if is_terminal { columns.or(Some(80)) } else { columns_named() }
}

/// Writes a text after `first`; if one line is not enough, further lines begin with `rest`.
pub(crate) fn wrapped(text: &str, first: &str, rest: &str, screen: &Screen, out: &mut dyn io::Write) -> io::Result<()> {
    write_wrapped(text, first, rest, screen.width.unwrap_or(usize::MAX), out)
}

fn write_wrapped(text: &str, first: &str, rest: &str, width: usize, out: &mut dyn io::Write) -> io::Result<()> {
    for (index, line) in lines(text, first.width(), rest.width(), width).iter().enumerate() {
        writeln!(out, "{}{line}", if index == 0 { first } else { rest })?;
    }
    Ok(())
}

/// The lines of a text; the first has a margin of `first` cells, the others of `rest`. Breaks only between words, and never
/// inside a command in backticks, so that it can be pasted.
pub(crate) fn lines(text: &str, first: usize, rest: usize, width: usize) -> Vec<String> {
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), first);
    for (index, word) in words(&clean(text)).into_iter().enumerate() {
        let is_begun = index > 0 && !line.is_empty();
        if is_begun && used + 1 + word.width() > width {
            lines.push(std::mem::take(&mut line));
            used = rest;
        } else if is_begun {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += word.width();
    }
    lines.push(line);
    lines
}

/// Splits at spaces; a number and its unit are one word, as are two codes of a reply and a text in backticks.
fn words(text: &str) -> Vec<&str> {
    let (mut words, mut start, mut is_quoted) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '`' => is_quoted = !is_quoted && text[at + 1..].contains('`'),
            ' ' if !is_quoted && !is_number(&text[start..at]) => {
                words.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(&text[start..]);
    words
}

fn is_number(word: &str) -> bool {
    let word = word.trim_start_matches(['(', '"']);
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
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
    fn text_breaks_between_words_and_commands_stay_whole() {
        let narrow = Screen { width: Some(24), ..screen() };
        let mut out = Vec::new();
        wrapped("Try again: `gatepost queue list --by cause`, or wait for it.", "  A  ", "     ", &narrow, &mut out)
            .unwrap();
        paragraph("- one `unclosed two three four five", "", &narrow, &mut out).unwrap();
        paragraph("it received about 2.3 KiB of it", "", &narrow, &mut out).unwrap();
        let expected = "  A  Try again:\n     `gatepost queue list --by cause`,\n     or wait for it.\n\
            - one `unclosed two\n  three four five\n\
            it received about\n2.3 KiB of it\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn short_times_show_the_year_if_it_is_another() {
        let at = |text: &str| screen().short_time(text.parse().unwrap());
        assert_eq!(at("2026-07-30T11:00:00.5Z"), "13:00:00");
        assert_eq!(at("2026-07-29T11:00:00Z"), "07-29 13:00");
        assert_eq!(at("2025-07-30T11:00:00Z"), "2025-07-30");
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
