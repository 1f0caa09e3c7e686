//! Tables that fit the terminal.
//!
//! The first page of rows decides the layout; later pages keep it, so that long results stream:
//!
//! ```text
//!   no terminal, no COLUMNS ─> rows, nothing cut
//!   it fits ─────────────────> rows; to fit, first times are shortened, then long texts end in …, then ids are
//!                              shortened, then spare columns are left out
//!   too narrow for that ─────> records: a line for each field, nothing cut
//! ```

use std::io::{self, Write};

use jiff::Timestamp;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};
use uuid::Uuid;

pub(crate) use super::screen::Colour;
use super::screen::{Screen, clean, lines};

/// Cells between two columns.
const GAP: usize = 2;

/// Characters of a shortened id: its creation time and a few more, enough to find the message.
const SHORT_ID: usize = 18;

/// A column: its title and how it may be shortened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub title: &'static str,
    /// `None`: the column is never cut.
    pub width_min: Option<usize>,
    pub align: Align,
    /// Not 0: left out on a narrow screen, the highest number first.
    spare: u8,
    /// True for a last column that continues in further lines instead of being cut.
    is_wrapped: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Align {
    Left,
    Right,
}

impl Column {
    /// A column whose texts are never cut.
    pub(crate) const fn whole(title: &'static str) -> Self {
        Self { title, width_min: None, align: Align::Left, spare: 0, is_wrapped: false }
    }

    pub(crate) const fn number(title: &'static str) -> Self {
        Self { align: Align::Right, ..Self::whole(title) }
    }

    pub(crate) const fn cut(title: &'static str, width_min: usize) -> Self {
        Self { width_min: Some(width_min), ..Self::whole(title) }
    }

    /// A last column whose long texts continue in further lines.
    pub(crate) const fn wrapped(title: &'static str, width_min: usize) -> Self {
        Self { is_wrapped: true, ..Self::cut(title, width_min) }
    }

    /// Makes the column spare: a narrow screen leaves it out, the highest number first.
    pub(crate) const fn spare(self, number: u8) -> Self {
        Self { spare: number, ..self }
    }
}

/// A text without control characters.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    /// Short form for a narrow screen.
    short: Option<Short>,
    colour: Option<Colour>,
}

#[derive(Clone, Debug)]
enum Short {
    Time(String),
    Id(String),
    Text(String),
}

impl Cell {
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self { text: clean(text.as_ref()), short: None, colour: None }
    }

    pub(crate) fn coloured(text: impl AsRef<str>, colour: Colour) -> Self {
        Self { colour: Some(colour), ..Self::new(text) }
    }

    pub(crate) fn time(at: Timestamp, screen: &Screen) -> Self {
        Self { short: Some(Short::Time(screen.short_time(at))), ..Self::new(screen.time(at)) }
    }

    pub(crate) fn id(id: Uuid) -> Self {
        let text = id.to_string();
        Self { short: Some(Short::Id(text[..SHORT_ID].to_owned())), ..Self::new(text) }
    }

    /// Adds a shorter text for a narrow screen.
    pub(crate) fn or_short(self, short: impl AsRef<str>) -> Self {
        Self { short: Some(Short::Text(clean(short.as_ref()))), ..self }
    }

    fn text(&self, fit: &Fit) -> &str {
        match &self.short {
            Some(Short::Time(short) | Short::Text(short)) if fit.short_times => short,
            Some(Short::Id(short)) if fit.short_ids => short,
            Some(_) | None => &self.text,
        }
    }
}

/// The measures to make a table fit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Fit {
    short_times: bool,
    short_ids: bool,
    /// Leaves out spare columns with this number or a higher one; 0: none.
    without_spare: u8,
    /// Width of each shown column by index; `None`: left out.
    widths: Vec<Option<usize>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Layout {
    Rows(Fit),
    Records,
}

/// A table that is being printed.
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
        self.begin(rows, out)?;
        match &self.layout {
            Some(Layout::Rows(fit)) => rows.iter().try_for_each(|row| self.write_row(row, fit, out)),
            Some(Layout::Records) | None => rows.iter().try_for_each(|row| self.write_record(row, out)),
        }
    }

    /// Prints rows, and after each row its note on its own line. Notes are commands to paste, so they are never cut.
    pub(crate) fn write_with_notes(
        &mut self,
        rows: &[Vec<Cell>],
        notes: &[String],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        self.begin(rows, out)?;
        for (row, note) in rows.iter().zip(notes) {
            self.write(std::slice::from_ref(row), out)?;
            writeln!(out, "  {}", clean(note))?;
        }
        Ok(())
    }

    /// Chooses the layout and prints the titles, once.
    fn begin(&mut self, rows: &[Vec<Cell>], out: &mut dyn Write) -> io::Result<()> {
        if self.layout.is_none() && !rows.is_empty() {
            let layout = self.choose(rows);
            if let Layout::Rows(fit) = &layout {
                let titles = self.columns.iter().map(|column| Cell::coloured(column.title, Colour::Bold));
                self.write_row(&titles.collect::<Vec<_>>(), fit, out)?;
            }
            self.layout = Some(layout);
        }
        Ok(())
    }

    /// Chooses the first layout that fits.
    fn choose(&self, rows: &[Vec<Cell>]) -> Layout {
        let whole = self.measured(Fit::default(), rows);
        let Some(width) = self.screen.width.filter(|width| whole.total() > *width) else {
            return Layout::Rows(whole);
        };
        let short_times = Fit { short_times: true, ..Fit::default() };
        let short = Fit { short_ids: true, ..short_times.clone() };
        let spares = self.columns.iter().map(|column| column.spare).max().unwrap_or(0);
        let narrower = (1..=spares).rev().map(|without_spare| Fit { without_spare, ..short.clone() });
        let ways = [short_times, short.clone()].into_iter().chain(narrower);
        ways.into_iter().find_map(|fit| self.cut(fit, rows, width)).map_or(Layout::Records, Layout::Rows)
    }

    /// Narrows the widest column that may be cut until the table fits; `None` if it cannot.
    fn cut(&self, fit: Fit, rows: &[Vec<Cell>], width: usize) -> Option<Fit> {
        let mut fit = self.measured(fit, rows);
        while fit.total() > width {
            let can_be_cut = |(index, column): &(usize, &Column)| {
                column.width_min.is_some_and(|min| fit.widths[*index].is_some_and(|width| width > min))
            };
            let widest = self.columns.iter().enumerate().filter(can_be_cut).max_by_key(|(index, _)| fit.widths[*index]);
            let (index, _) = widest?;
            fit.widths[index] = fit.widths[index].map(|width| width - 1);
        }
        Some(fit)
    }

    /// The widths that the whole texts need.
    fn measured(&self, fit: Fit, rows: &[Vec<Cell>]) -> Fit {
        let width = |(index, column): (usize, &Column)| {
            let is_left_out = fit.without_spare > 0 && column.spare >= fit.without_spare;
            let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.text(&fit).width());
            (!is_left_out).then(|| cells.max().unwrap_or(0).max(column.title.width()))
        };
        let widths = self.columns.iter().enumerate().map(width).collect();
        Fit { widths, ..fit }
    }

    fn write_row(&self, row: &[Cell], fit: &Fit, out: &mut dyn Write) -> io::Result<()> {
        let (mut pending, mut more) = (0, Vec::new());
        for ((cell, column), width) in row.iter().zip(self.columns).zip(&fit.widths) {
            let Some(width) = *width else { continue };
            let text = match (self.screen.width, column.width_min) {
                (Some(_), Some(_)) if column.is_wrapped => {
                    let mut lines = lines(cell.text(fit), 0, 0, width).into_iter();
                    let first = lines.next().unwrap_or_default();
                    more.extend(lines);
                    first
                }
                (Some(_), Some(_)) => cut(cell.text(fit), width),
                (Some(_), None) | (None, _) => cell.text(fit).to_owned(),
            };
            let blank = width.saturating_sub(text.width());
            let (before, after) = match column.align {
                Align::Left => (0, blank),
                Align::Right => (blank, 0),
            };
            write!(out, "{}{}", " ".repeat(pending + before), self.screen.paint(&text, cell.colour))?;
            pending = after + GAP;
        }
        writeln!(out)?;
        // Further lines of the last column begin below its first line.
        let last = fit.widths.iter().flatten().last().copied().unwrap_or(0);
        let margin = " ".repeat(fit.total() - last);
        more.iter().try_for_each(|line| writeln!(out, "{margin}{line}"))
    }

    /// Writes one line per field with the title on the left, then an empty line.
    fn write_record(&self, row: &[Cell], out: &mut dyn Write) -> io::Result<()> {
        let width = self.columns.iter().map(|column| column.title.width()).max().unwrap_or(0);
        for (cell, column) in row.iter().zip(self.columns).filter(|(cell, _)| !cell.text.is_empty()) {
            let blank = " ".repeat(width - column.title.width() + GAP);
            let title = self.screen.paint(column.title, Some(Colour::Bold));
            let margin = width + GAP;
            let lines = lines(&cell.text, margin, margin, self.screen.width.unwrap_or(usize::MAX));
            for (index, line) in lines.iter().enumerate() {
                let text = self.screen.paint(line, cell.colour);
                match index {
                    0 => writeln!(out, "{title}{blank}{text}")?,
                    _ => writeln!(out, "{}{text}", " ".repeat(margin))?,
                }
            }
        }
        writeln!(out)
    }
}

impl Fit {
    /// The width of a row.
    fn total(&self) -> usize {
        let shown = self.widths.iter().flatten();
        shown.clone().sum::<usize>() + GAP * shown.count().saturating_sub(1)
    }
}

/// The longest beginning of `text` that fits into `width` cells, with … at the end if something is missing.
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
            (
                Some(18),
                "ID     a1\nTRIES  4\nCAUSE  connection\n       refused\n\nID     b2\nTRIES  12\nCAUSE  greylisted\n\n",
            ),
        ] {
            assert_eq!(printed(width, false, &[&page]), expected, "{width:?}");
        }
        assert_eq!(printed(Some(40), false, &[&[]]), "");
    }

    #[test]
    fn narrow_tables_shorten_leave_out_and_wrap() {
        const COLUMNS: [Column; 4] = [
            Column::whole("ID"),
            Column::whole("AT"),
            Column::cut("SUBJECT", 8).spare(1),
            Column::wrapped("CAUSE", 12),
        ];
        let printed = |width: usize| {
            let now = "2026-07-30T12:00:00Z".parse().unwrap();
            let screen = Screen { width: Some(width), colour: false, zone: TimeZone::UTC, now };
            let id = Uuid::from_u128(0x0198_f3c2_7f5a_7c11_9d3e_2b1f_6a5c_4d3e);
            let cause = Cell::new("mail.test: no answer within 30 s").or_short("no answer within 30 s");
            let row = vec![Cell::id(id), Cell::time(now, &screen), Cell::new("Figures"), cause];
            let mut out = Vec::new();
            Table::new(&COLUMNS, &screen).write(&[row], &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(printed(120).contains("2026-07-30 12:00:00 +00:00  Figures  mail.test: no"), "{}", printed(120));
        assert!(printed(80).contains("2b1f6a5c4d3e  12:00:00  Figures  no answer within"), "{}", printed(80));
        let narrow = "\
ID                  AT        CAUSE
0198f3c2-7f5a-7c11  12:00:00  no answer
                              within 30 s
";
        assert_eq!(printed(43), narrow);
        assert!(printed(30).starts_with("ID       0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e\n"), "{}", printed(30));
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
    fn only_our_own_escapes_reach_the_terminal() {
        let text = printed(Some(60), true, &[&[["a", "1", "\x1b[31mred"]]]);
        assert_eq!(text, "\x1b[1mID\x1b[0m  \x1b[1mTRIES\x1b[0m  \x1b[1mCAUSE\x1b[0m\na       1  \u{fffd}[31mred\n");
    }
}
