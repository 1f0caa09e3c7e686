//! Errors in a configuration file, shown with their place, the line and a caret.

use std::{fmt, io, ops::Range, path::Path, string::FromUtf8Error};

use trace::NextStep;
use unicode_width::UnicodeWidthStr;

/// One fault, before its place is known as line and column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    /// Byte range in the file.
    pub(super) span: Range<usize>,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into() }
    }
}

impl From<toml::de::Error> for Fault {
    fn from(error: toml::de::Error) -> Self {
        Self::new(error.span().unwrap_or_default(), error.message())
    }
}

/// All errors of a configuration file, in the order of the file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConfigErrors(Vec<ConfigError>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct ConfigError {
    file: String,
    message: String,
    place: Option<Place>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    /// Both from 1; the column counts characters.
    line: usize,
    column: usize,
    /// The line itself with tabs as spaces, and the position of the caret in terminal cells from 0.
    text: String,
    caret: Range<usize>,
}

impl ConfigErrors {
    pub(super) fn new(path: &Path, text: &str, mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|fault| fault.span.start);
        faults.dedup();
        let file = path.display().to_string();
        let error = |fault: Fault| ConfigError {
            file: file.clone(),
            place: Some(Place::of(text, &fault.span)),
            message: fault.message,
        };
        Self(faults.into_iter().map(error).collect())
    }

    /// Those of another file follow.
    pub(super) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    pub(super) fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self::without_place(path, format!("failed to read the configuration: {error}"))
    }

    /// The same of the node's own file.
    pub(super) fn own_unreadable(path: &Path, error: &io::Error) -> Self {
        let example = || NextStep::ConfigExample { file: path.display().to_string() };
        let hint = match error.kind() {
            io::ErrorKind::NotFound => format!("; create one with: {}", example()),
            _ => String::new(),
        };
        Self::without_place(path, format!("failed to read the configuration: {error}{hint}"))
    }

    pub(super) fn not_utf8(path: &Path, error: &FromUtf8Error) -> Self {
        let at = error.utf8_error().valid_up_to();
        Self::without_place(path, format!("the configuration is not UTF-8 (byte {at}); save the file as UTF-8"))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if the file could not be read at all.
    pub fn is_unreadable(&self) -> bool {
        self.0.iter().any(|error| error.place.is_none())
    }

    /// Each error in one line, without the quoted line of the file.
    pub fn messages(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|error| match &error.place {
            Some(Place { line, column, .. }) => format!("{}:{line}:{column}: {}", error.file, error.message),
            None => format!("{}: {}", error.file, error.message),
        })
    }

    /// The errors as `config check --format json` shows them.
    pub fn views(&self) -> Vec<serde_json::Value> {
        let view = |error: &ConfigError| {
            let place = error.place.as_ref();
            serde_json::json!({
                "file": error.file,
                "line": place.map(|place| place.line),
                "column": place.map(|place| place.column),
                "message": error.message,
            })
        };
        self.0.iter().map(view).collect()
    }

    fn without_place(path: &Path, message: String) -> Self {
        Self(vec![ConfigError { file: path.display().to_string(), message, place: None }])
    }
}

impl Place {
    fn of(text: &str, span: &Range<usize>) -> Self {
        let start = text.floor_char_boundary(span.start);
        let end = text.floor_char_boundary(span.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find(['\n', '\r']).map_or(text.len(), |at| start + at);
        let shown = |part: &str| -> String { part.chars().map(|c| if c.is_control() { ' ' } else { c }).collect() };
        let before = shown(&text[line_start..start]);
        let caret = before.width();
        let width = shown(&text[start..end.min(line_end).max(start)]).width().max(1);
        Self {
            line: text[..start].matches('\n').count() + 1,
            column: before.chars().count() + 1,
            text: shown(&text[line_start..line_end]),
            caret: caret..caret + width,
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Place { line, column, text, caret }) = &self.place else {
            return write!(f, "{}: {}", self.file, self.message);
        };
        let number = line.to_string();
        writeln!(f, "{}:{line}:{column}: {}", self.file, self.message)?;
        writeln!(f, "  {number} | {text}")?;
        let (margin, blank, carets) = (" ".repeat(number.len()), " ".repeat(caret.start), "^".repeat(caret.len()));
        write!(f, "  {margin} | {blank}{carets}")
    }
}

impl std::error::Error for ConfigErrors {}
