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

    /// The setting whose key or value is at exactly that place: keys and indexes. Empty if there is none.
    pub(super) fn setting_at(&self, span: &Range<usize>) -> Vec<String> {
        let mut path = Vec::new();
        if let Some(table) = &self.0 {
            find(table, span, &mut path);
        }
        path
    }
}

/// True if it is in the table; `path` leads to it then.
fn find(table: &DeTable<'_>, span: &Range<usize>, path: &mut Vec<String>) -> bool {
    table.iter().any(|(key, value)| {
        path.push(key.get_ref().to_string());
        let is_here = key.span() == *span || find_value(value, span, path);
        if !is_here {
            path.pop();
        }
        is_here
    })
}

fn find_value(value: &Spanned<DeValue<'_>>, span: &Range<usize>, path: &mut Vec<String>) -> bool {
    if value.span() == *span {
        return true;
    }
    match value.get_ref() {
        DeValue::Table(table) => find(table, span, path),
        DeValue::Array(items) => items.iter().enumerate().any(|(index, item)| {
            path.push(index.to_string());
            let is_here = find_value(item, span, path);
            if !is_here {
                path.pop();
            }
            is_here
        }),
        _ => false,
    }
}

pub(super) fn get<'a, 'i>(table: &'a DeTable<'i>, key: &str) -> Option<&'a Spanned<DeValue<'i>>> {
    table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
}
