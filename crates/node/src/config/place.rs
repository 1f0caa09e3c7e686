//! The place of a setting in its file.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A file in which settings are looked up.
pub(super) struct Place<'a>(Option<DeTable<'a>>);

impl<'a> Place<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self(DeTable::parse(text).ok().map(Spanned::into_inner))
    }

    /// The place of the last of these keys and indexes that exists. A setting that is not in the file has the place of
    /// its table.
    pub(super) fn of(&self, path: &[&str]) -> Range<usize> {
        let mut span = 0..0;
        let Some((first, rest)) = path.split_first() else { return span };
        let Some(mut value) = self.0.as_ref().and_then(|table| get(table, first)) else { return span };
        span = value.span();
        for step in rest {
            let next = match value.get_ref() {
                DeValue::Table(table) => get(table, step),
                DeValue::Array(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => None,
            };
            let Some(next) = next else { break };
            value = next;
            span = value.span();
        }
        span
    }
}

pub(super) fn get<'a, 'i>(table: &'a DeTable<'i>, key: &str) -> Option<&'a Spanned<DeValue<'i>>> {
    table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
}
