//! Foreign text in the cells of files that people open in a terminal or with a spreadsheet.

use std::{borrow::Cow, ops::Range};

use protocol::text::steers;

/// Takes what could steer a terminal out of a text, and makes one line of it.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let safe = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if steers(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    Cow::Owned(text.chars().map(safe).collect())
}

/// True where a spreadsheet would take a text for a formula, and where apostrophes guard it from that already.
pub(crate) fn is_formula(text: &str) -> bool {
    text.len() > 1 && text.trim_start_matches('\'').starts_with(['=', '+', '-', '@'])
}

/// Text as it is written into a cell: an apostrophe stands before what a spreadsheet would compute.
pub(crate) fn guarded(text: &str) -> Cow<'_, str> {
    let text = clean(text);
    if is_formula(&text) { Cow::Owned(format!("'{text}")) } else { text }
}

/// The part of a cell that is its text: without the apostrophe of [`guarded`].
pub(crate) fn unguarded(cell: &str) -> Range<usize> {
    let is_guarded = cell.starts_with('\'') && is_formula(cell);
    usize::from(is_guarded)..cell.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_guarded_and_read_back() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("'=1+1", "''=1+1"),
            ("+49 30 1", "'+49 30 1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-", "-"),
            ("+", "+"),
            ("'quoted'", "'quoted'"),
            ("a=b", "a=b"),
            ("", ""),
        ] {
            assert_eq!(guarded(text), cell);
            assert_eq!(&cell[unguarded(cell)], text);
        }
    }

    #[test]
    fn nothing_steers_a_terminal() {
        assert_eq!(guarded("a\x1b[2Jb\r\nc\u{9b}d\u{202e}e\u{61c}"), "a\u{fffd}[2Jb  c\u{fffd}d\u{fffd}e\u{fffd}");
        // A line end in front is no way around the guard.
        assert_eq!(guarded("\t=1"), " =1");
    }
}
