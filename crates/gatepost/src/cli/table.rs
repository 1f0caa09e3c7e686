//! Tables that fit the terminal.
//!
//! The layout is chosen by the first page of rows and kept for those that follow, so that long results stream:
//!
//! ```text
//!   no terminal ────────────> rows, nothing cut
//!   it fits, or can be cut ─> rows, long texts end in …
//!   too narrow for that ────> records: one line for each field, nothing cut
//! ```

use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

pub(crate) use super::screen::Colour;
use super::screen::{Screen, clean};

/// Cells between two columns.
const GAP: usize = 2;

/// One column's title and how far it may be cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub title: &'static str,
    /// `None`: never cut.
    pub width_min: Option<usize>,
    pub align: Align,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Align {
    Left,
    Right,
}

impl Column {
    /// A column whose texts are always shown whole.
    pub(crate) const fn whole(title: &'static str) -> Self {
        Self { title, width_min: None, align: Align::Left }
    }

    pub(crate) const fn number(title: &'static str) -> Self {
        Self { title, width_min: None, align: Align::Right }
    }

    pub(crate) const fn cut(title: &'static str, width_min: usize) -> Self {
        Self { title, width_min: Some(width_min), align: Align::Left }
    }
}

/// A text without control characters.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    colour: Option<Colour>,
}

impl Cell {
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self { text: clean(text.as_ref()), colour: None }
    }

    pub(crate) fn coloured(text: impl AsRef<str>, colour: Colour) -> Self {
        Self { colour: Some(colour), ..Self::new(text) }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Layout {
    /// Width of each column.
    Rows(Vec<usize>),
    Records,
}

/// A table in the course of being printed.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    columns: &'a [Column],
    screen: &'a Screen,
    layout: Option<Layout>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(columns: &'a [Column], screen: &'a Screen) -> Self {
        Self { columns, screen, layout: None }
    }

    /// A table that is always printed as records.
    pub(crate) fn records(columns: &'a [Column], screen: &'a Screen) -> Self {
        Self { columns, screen, layout: Some(Layout::Records) }
    }

    /// Prints a page of rows, each with a cell per column.
    pub(crate) fn write(&mut self, rows: &[Vec<Cell>], out: &mut dyn Write) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        if self.layout.is_none() {
            let layout = self.choose(rows);
            if let Layout::Rows(widths) = &layout {
                let titles = self.columns.iter().map(|column| Cell::coloured(column.title, Colour::Bold));
                self.write_row(&titles.collect::<Vec<_>>(), widths, out)?;
            }
            self.layout = Some(layout);
        }
        match &self.layout {
            Some(Layout::Rows(widths)) => rows.iter().try_for_each(|row| self.write_row(row, widths, out)),
            Some(Layout::Records) | None => rows.iter().try_for_each(|row| self.write_record(row, out)),
        }
    }

    fn choose(&self, rows: &[Vec<Cell>]) -> Layout {
        let width = |index: usize, column: &Column| {
            let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.text.width());
            cells.max().unwrap_or(0).max(column.title.width())
        };
        let mut widths: Vec<usize> =
            self.columns.iter().enumerate().map(|(index, column)| width(index, column)).collect();
        let Some(screen_width) = self.screen.width else {
            return Layout::Rows(widths);
        };
        while widths.iter().sum::<usize>() + GAP * (widths.len() - 1) > screen_width {
            let can_be_cut =
                |(index, column): &(usize, &Column)| column.width_min.is_some_and(|min| widths[*index] > min);
            let widest = self.columns.iter().enumerate().filter(can_be_cut).max_by_key(|(index, _)| widths[*index]);
            match widest {
                Some((index, _)) => widths[index] -= 1,
                None => return Layout::Records,
            }
        }
        Layout::Rows(widths)
    }

    fn write_row(&self, row: &[Cell], widths: &[usize], out: &mut dyn Write) -> io::Result<()> {
        let mut pending = 0;
        for ((cell, column), width) in row.iter().zip(self.columns).zip(widths) {
            let text = match (self.screen.width, column.width_min) {
                (Some(_), Some(_)) => cut(&cell.text, *width),
                (Some(_), None) | (None, _) => cell.text.clone(),
            };
            let blank = width.saturating_sub(text.width());
            let (before, after) = match column.align {
                Align::Left => (0, blank),
                Align::Right => (blank, 0),
            };
            write!(out, "{}{}", " ".repeat(pending + before), self.screen.paint(&text, cell.colour))?;
            pending = after + GAP;
        }
        writeln!(out)
    }

    /// Titles to the left, an empty line at the end.
    fn write_record(&self, row: &[Cell], out: &mut dyn Write) -> io::Result<()> {
        let width = self.columns.iter().map(|column| column.title.width()).max().unwrap_or(0);
        for (cell, column) in row.iter().zip(self.columns).filter(|(cell, _)| !cell.text.is_empty()) {
            let blank = " ".repeat(width - column.title.width() + GAP);
            let title = self.screen.paint(column.title, Some(Colour::Bold));
            writeln!(out, "{title}{blank}{}", self.screen.paint(&cell.text, cell.colour))?;
        }
        writeln!(out)
    }
}

/// The longest beginning of `text` that fits into `width` cells, with … where something is missing.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 1;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= width
    };
    let mut beginning: String = text.chars().take_while(fits).collect();
    beginning.push('…');
    beginning
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, tz::TimeZone};

    use super::*;

    const COLUMNS: [Column; 3] = [Column::whole("ID"), Column::number("TRIES"), Column::cut("CAUSE", 8)];

    fn printed(width: Option<usize>, colour: bool, pages: &[&[[&str; 3]]]) -> String {
        let screen = Screen { width, colour, zone: TimeZone::UTC, now: Timestamp::UNIX_EPOCH };
        let mut table = Table::new(&COLUMNS, &screen);
        let mut out = Vec::new();
        for page in pages {
            let rows: Vec<Vec<Cell>> = page.iter().map(|row| row.iter().map(Cell::new).collect()).collect();
            table.write(&rows, &mut out).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn layouts() {
        let page = [["a1", "4", "connection refused"], ["b2", "12", "greylisted"]];
        for (width, expected) in [
            (None, "ID  TRIES  CAUSE\na1      4  connection refused\nb2     12  greylisted\n"),
            (Some(40), "ID  TRIES  CAUSE\na1      4  connection refused\nb2     12  greylisted\n"),
            (Some(22), "ID  TRIES  CAUSE\na1      4  connection…\nb2     12  greylisted\n"),
            (Some(19), "ID  TRIES  CAUSE\na1      4  connect…\nb2     12  greylis…\n"),
            (Some(18), "ID     a1\nTRIES  4\nCAUSE  connection refused\n\nID     b2\nTRIES  12\nCAUSE  greylisted\n\n"),
        ] {
            assert_eq!(printed(width, false, &[&page]), expected, "{width:?}");
        }
        assert_eq!(printed(Some(40), false, &[&[]]), "");
    }

    #[test]
    fn later_pages_keep_the_layout_of_the_first() {
        let pages: [&[[&str; 3]]; 2] = [&[["a1", "4", "refused"]], &[["b2", "4", "connection refused"]]];
        assert_eq!(printed(Some(40), false, &pages), "ID  TRIES  CAUSE\na1      4  refused\nb2      4  connec…\n");
        assert!(printed(None, false, &pages).ends_with("b2      4  connection refused\n"));
    }

    #[test]
    fn wide_characters_take_two_cells() {
        assert_eq!(cut("世界世界", 8), "世界世界");
        assert_eq!(cut("世界世界", 7), "世界世…");
        assert_eq!(cut("世界世界", 6), "世界…");
        assert_eq!(cut("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…");
    }

    #[test]
    fn escapes_are_ours_only() {
        let text = printed(Some(60), true, &[&[["a", "1", "\x1b[31mred"]]]);
        assert_eq!(text, "\x1b[1mID\x1b[0m  \x1b[1mTRIES\x1b[0m  \x1b[1mCAUSE\x1b[0m\na       1  \u{fffd}[31mred\n");
    }
}
