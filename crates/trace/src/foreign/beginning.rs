//! The beginning of a file as text: enough to recognise its kind.

use crate::{container::as_syslog, field_names, text::decoded};

/// What is read of a file to recognise it.
pub const BEGINNING_BYTES: usize = 64 * 1024;
/// Lines before a header that are not part of it: comments, a prompt, a type.
const LINES_BEFORE_HEADER: usize = 30;

/// The beginning of a file, in whole lines.
pub struct Beginning {
    text: String,
    /// Letters and digits of the names that a header or a list has, in lower case.
    names: Vec<String>,
}

impl Beginning {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut text = decoded(bytes).into_owned();
        if bytes.len() >= BEGINNING_BYTES
            && let Some(end) = text.rfind('\n')
        {
            text.truncate(end);
        }
        let names = field_names::names_of(text.lines().take(LINES_BEFORE_HEADER));
        Self { text, names }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines().map(str::trim_end).filter(|line| !line.is_empty())
    }

    /// The lines for which something holds.
    pub(crate) fn count(&self, holds: impl Fn(&str) -> bool) -> usize {
        self.lines().filter(|line| holds(line)).count()
    }

    /// The lines for which something holds, whatever passed them on.
    pub(crate) fn count_passed_on(&self, holds: impl Fn(&str) -> bool) -> usize {
        self.count(|line| holds(&as_syslog(line)))
    }

    /// All lines if a condition on the file as a whole holds.
    pub(crate) fn all_if(&self, holds: bool) -> usize {
        if holds { self.lines().count() } else { 0 }
    }

    /// Whether a header or a list has all these names.
    pub(crate) fn has_names(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.names.iter().any(|known| known == name))
    }

    /// Whether it is JSON with all these keys.
    pub(crate) fn has_keys(&self, keys: &[&str]) -> bool {
        let text = self.text.trim_start();
        text.starts_with(['{', '[']) && keys.iter().all(|key| text.contains(&format!("\"{key}\"")))
    }

    /// A line that Exchange or IIS put above the rows, such as `#Log-type: …`, in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let value = |line: &str| {
            let (key, value) = line.trim_start_matches(['"', '\u{feff}']).strip_prefix('#')?.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_ascii_lowercase())
        };
        self.lines().find_map(value)
    }
}
