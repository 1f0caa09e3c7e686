//! Searches the change log, and reads it page by page.

use jiff::Timestamp;
use store::{ChangeCursor, ChangeQuery, Result, Store};
use trace::{Change, ChangeKind, change::AccessChange};

use crate::{Moment, SearchError};

/// Conditions as people give them; all must hold.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ChangeSearch {
    pub since: Option<Moment>,
    pub until: Option<Moment>,
    /// Names of kinds; empty: any.
    pub kinds: Vec<String>,
    pub node: Option<String>,
    pub who: Option<String>,
    /// Also who has logged in, and what only the audit has besides.
    pub audit: bool,
    pub limit: u32,
    pub after: Option<ChangeCursor>,
}

impl ChangeSearch {
    /// The kinds that can be asked for.
    pub const KINDS: [&str; ChangeKind::NAMES.len()] = ChangeKind::NAMES;
    /// The same for the audit alone.
    pub const AUDIT_KINDS: [&str; AccessChange::NAMES.len()] = AccessChange::NAMES;

    /// The query for the store.
    pub fn query(&self, now: Timestamp) -> std::result::Result<ChangeQuery, SearchError> {
        let Self { kinds, node, who, audit, limit, after, since: _, until: _ } = self.clone();
        let (since, until) =
            (self.since.map(|since| since.timestamp(now)), self.until.map(|until| until.timestamp(now)));
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            return Err(SearchError::Reversed { since, until });
        }
        Ok(ChangeQuery { since, until, kinds, node, who, audit, limit, after })
    }
}

/// The changes of a query, and the start of the next page if there is one.
pub async fn changes<S: Store>(store: &S, query: ChangeQuery) -> Result<(Vec<Change>, Option<ChangeCursor>)> {
    let limit = query.limit as usize;
    // Read one row more to see if there is a next page.
    let mut changes = store.changes(ChangeQuery { limit: query.limit.saturating_add(1), ..query }).await?;
    let is_more = changes.len() > limit;
    changes.truncate(limit);
    let next = changes.last().filter(|_| is_more).map(ChangeCursor::from);
    Ok((changes, next))
}

/// Reads the start of a page as [`change_cursor_text`] writes it.
pub fn read_change_cursor(text: &str) -> std::result::Result<ChangeCursor, String> {
    let read = || {
        let (at, id) = text.split_once('.')?;
        Some(ChangeCursor { at: Timestamp::from_millisecond(at.parse().ok()?).ok()?, id: id.parse().ok()? })
    };
    read().ok_or_else(|| format!("\"{text}\" is not the start of a page; copy it from the end of the previous page"))
}

/// Writes the start of a page for [`read_change_cursor`].
pub fn change_cursor_text(cursor: ChangeCursor) -> String {
    format!("{}.{}", cursor.at.as_millisecond(), cursor.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        let cursor = ChangeCursor { at: Timestamp::from_millisecond(-7).unwrap(), id: uuid::Uuid::from_u128(9) };
        assert_eq!(read_change_cursor(&change_cursor_text(cursor)), Ok(cursor));
        for text in ["", "1", "1.", "x.00000000-0000-0000-0000-000000000009", "99999999999999999999.1"] {
            assert!(read_change_cursor(text).is_err(), "{text}");
        }
    }
}
