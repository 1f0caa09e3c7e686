//! Pages of lists that are short enough to be read as a whole.

use sha2::{Digest as _, Sha256};

use super::{ROWS_MAX, cursor, form::Form, problem::Problem, query::Parameter, query::Query};

/// Rows of a page without `limit`.
pub(super) const ROWS: u32 = 1000;

pub(super) const LIMIT: Parameter = limit_of("Maximum number of rows; 1000 by default");

pub(super) const fn limit_of(about: &'static str) -> Parameter {
    Parameter::new("limit", about, Form::Count { min: 1, max: ROWS_MAX as u64 })
}

/// Of every list.
pub(super) const PAGE: [Parameter; 2] = [LIMIT, cursor::AFTER];

/// The maximum number of rows.
pub(super) fn limit(query: &Query, default: u32) -> Result<u32, Problem> {
    Ok(query.parsed("limit")?.unwrap_or(default))
}

/// The page of a whole list that the client asks for, and the cursor of the next one. `name` says which row it is: a page
/// goes on after the row that ended the one before, wherever that is now.
pub(super) fn page<T>(
    list: &str,
    query: &Query,
    mut rows: Vec<T>,
    name: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Option<String>), Problem> {
    let limit = limit(query, ROWS)? as usize;
    if let Some(after) = cursor::read(list, query, |text| Some(text.to_owned()))? {
        let gone =
            || Problem::not_found("after: the row that ended the previous page is gone; begin with the first page");
        let end = rows.iter().position(|row| position(&name(row)) == after).ok_or_else(gone)?;
        rows.drain(..=end);
    }
    let is_more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().filter(|_| is_more);
    let next = last.map(|row| cursor::write(&position(&name(row)), list, query));
    Ok((rows, next))
}

fn position(name: &str) -> String {
    Sha256::digest(name).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn pages_together_are_the_list() {
        let all = rows(&["a", "b", "c", "d", "e"]);
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let text = format!("limit=2{}", after.map(|after| format!("&after={after}")).unwrap_or_default());
            let query = Query::read(Some(&text), &PAGE).unwrap();
            let (page, next) = page("letters", &query, all.clone(), String::clone).unwrap();
            assert!(page.len() <= 2);
            found.extend(page);
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, all);
    }

    #[test]
    fn a_page_goes_on_after_a_row_that_has_moved() {
        let first = Query::read(Some("limit=2"), &PAGE).unwrap();
        let (_, next) = page("letters", &first, rows(&["a", "b", "c"]), String::clone).unwrap();
        let second = Query::read(Some(&format!("after={}", next.unwrap())), &PAGE).unwrap();
        let (found, _) = page("letters", &second, rows(&["new", "a", "b", "c"]), String::clone).unwrap();
        assert_eq!(found, ["c"]);
        let gone =
            page("letters", &second, rows(&["a", "c"]), String::clone).map_err(|problem| problem.kind().status());
        assert_eq!(gone.err(), Some(404));
    }
}
