//! The parameters of a URL, one after the other. One that is unknown or there twice is an error, because it would be ignored
//! silently.

use std::{borrow::Cow, fmt::Display, str::FromStr};

use node::config::hint;

use super::ROWS_MAX;

/// What a URL has after `?`.
pub(crate) struct Query<'a> {
    values: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    pub(crate) fn read(query: Option<&'a str>, known: &[&str]) -> Result<Self, String> {
        let mut values: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.contains(&&*name) {
                let hint = hint(&name, "parameters are", known.iter().copied());
                return Err(format!("unknown parameter \"{name}\"; {hint}"));
            }
            if values.iter().any(|(other, _)| *other == name) {
                return Err(format!("{name}: the parameter is there twice; give it once"));
            }
            values.push((name, value));
        }
        Ok(Self { values })
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(other, _)| other == name).map(|(_, value)| &**value)
    }

    pub(crate) fn parsed<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, String> {
        let parse = |value: &str| value.parse().map_err(|error: T::Err| format!("{name}: {error}"));
        self.text(name).map(parse).transpose()
    }

    /// A value of one of these names.
    pub(crate) fn named<T: Copy>(
        &self,
        name: &str,
        all: &[T],
        name_of: fn(T) -> &'static str,
    ) -> Result<Option<T>, String> {
        self.text(name).map(|value| one_of(name, value, all, name_of)).transpose()
    }

    /// The same for several values with commas between them.
    pub(crate) fn all_named<T: Copy>(
        &self,
        name: &str,
        all: &[T],
        name_of: fn(T) -> &'static str,
    ) -> Result<Option<Vec<T>>, String> {
        let each = |values: &str| values.split(',').map(|value| one_of(name, value, all, name_of)).collect();
        self.text(name).map(each).transpose()
    }

    /// Maximum number of rows.
    pub(crate) fn limit(&self, default: u32) -> Result<u32, String> {
        let Some(value) = self.text("limit") else { return Ok(default) };
        let rows = value.parse().ok().filter(|rows| (1..=ROWS_MAX).contains(rows));
        rows.ok_or_else(|| format!("limit: must be a number from 1 to {ROWS_MAX}"))
    }
}

fn one_of<T: Copy>(name: &str, value: &str, all: &[T], name_of: fn(T) -> &'static str) -> Result<T, String> {
    let found = all.iter().copied().find(|one| name_of(*one) == value);
    let names = || all.iter().map(|one| name_of(*one)).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| format!("{name}: must be one of {}", names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error<T>(read: impl FnOnce(Query<'_>) -> Result<T, String>, query: &str) -> String {
        Query::read(Some(query), &["by", "limit"]).and_then(read).err().unwrap_or_default()
    }

    #[test]
    fn what_cannot_be_meant_is_an_error() {
        assert_eq!(
            error(|_| Ok(()), "bye=1"),
            "unknown parameter \"bye\"; did you mean \"by\"? parameters are by, limit"
        );
        assert_eq!(error(|_| Ok(()), "by=1&by=2"), "by: the parameter is there twice; give it once");
        for limit in ["0", "5001", "-1", "x", ""] {
            assert_eq!(
                error(|query| query.limit(7), &format!("limit={limit}")),
                "limit: must be a number from 1 to 5000"
            );
        }
        let name_of = |is: bool| if is { "yes" } else { "no" };
        let all = [true, false];
        assert_eq!(error(|query| query.all_named("by", &all, name_of), "by=yes,maybe"), "by: must be one of yes, no");
        assert_eq!(error(|query| query.parsed::<u8>("by"), "by=x"), "by: invalid digit found in string");
    }

    #[test]
    fn values_are_read() {
        let query = Query::read(Some("by=no,yes&limit=9"), &["by", "limit"]).unwrap();
        let name_of = |is: bool| if is { "yes" } else { "no" };
        assert_eq!(query.all_named("by", &[true, false], name_of), Ok(Some(vec![false, true])));
        assert_eq!((query.limit(7), query.text("since")), (Ok(9), None));
        assert_eq!(Query::read(None, &[]).unwrap().limit(7), Ok(7));
    }
}
