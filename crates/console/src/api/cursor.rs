//! The start of a page, as the page before gives it: a position in a list, and which list and search it belongs to.
//!
//! ```text
//!   1764500000000-12~0f1e2d3c4b5a6978      position ~ search, check
//! ```
//!
//! A cursor of another search is an error, because its page would leave out rows that nobody has seen.

use sha2::{Digest as _, Sha256};

use super::{
    form::{Form, Shape},
    problem::Problem,
    query::{Parameter, Query},
};

const NAME: &str = "after";
const SEPARATOR: char = '~';
/// Hexadecimal digits of each half of what follows the position.
const DIGITS: usize = 8;

pub(super) const AFTER: Parameter =
    Parameter::new(NAME, "Start of this page: next of the previous page of the same search", Form::Shaped(&CURSOR));

static CURSOR: Shape = Shape {
    pattern: "^[0-9A-Za-z.:_-]{1,200}~[0-9a-f]{16}$",
    is: is_cursor,
    what: "the start of a page; copy it from next of the previous page",
    example: "1785412800000-42~0f1e2d3c4b5a6978",
};

fn is_cursor(text: &str) -> bool {
    let Some((position, seal)) = text.split_once(SEPARATOR) else { return false };
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (1..=200).contains(&position.len())
        && position.bytes().all(|b| b.is_ascii_alphanumeric() || b".:_-".contains(&b))
        && seal.len() == 2 * DIGITS
        && seal.bytes().all(is_digit)
}

fn digest(parts: &[&str]) -> String {
    // A NUL is in none of them.
    let hash = Sha256::digest(parts.join("\0"));
    hash.iter().take(DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

fn search(list: &str, query: &Query) -> String {
    let pairs = query.without(&[NAME, "limit"]);
    let parts: Vec<&str> =
        std::iter::once(list).chain(pairs.iter().flat_map(|(name, value)| [*name, *value])).collect();
    digest(&parts)
}

/// The cursor of a position. `list` names what is listed.
pub(super) fn write(position: &str, list: &str, query: &Query) -> String {
    let search = search(list, query);
    let check = digest(&[position, &search]);
    format!("{position}{SEPARATOR}{search}{check}")
}

/// The position at which the page begins, read by `read`. `None`: it is the first page.
pub(super) fn read<T>(list: &str, query: &Query, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Problem> {
    let Some(text) = query.text(NAME) else { return Ok(None) };
    let unknown = || Problem::not_found(format!("{NAME}: there is no such page; copy next of the previous page"));
    let (position, seal) = text.split_once(SEPARATOR).ok_or_else(unknown)?;
    let (of_search, check) = seal.split_at_checked(DIGITS).ok_or_else(unknown)?;
    if digest(&[position, of_search]) != check {
        return Err(unknown());
    }
    if of_search != search(list, query) {
        let detail = "it is the start of a page of another search; copy next of the previous page of this one";
        return Err(Problem::parameter(NAME, detail));
    }
    read(position).map(Some).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Parameter; 3] = [
        Parameter::new("connector", "", Form::Text(10)),
        Parameter::new("limit", "", Form::Count { min: 1, max: 9 }),
        AFTER,
    ];

    fn query(text: &str) -> Query {
        Query::read(Some(text), &KNOWN).unwrap()
    }

    #[test]
    fn a_cursor_is_of_one_search() {
        let cursor = write("12-7", "rows", &query("connector=a&limit=2"));
        let page = |list: &str, text: &str| {
            let found = read(list, &query(&format!("{text}&after={cursor}")), |text| Some(text.to_owned()));
            found.map_err(|problem| problem.kind().status())
        };
        assert_eq!(page("rows", "connector=a"), Ok(Some("12-7".to_owned())));
        assert_eq!(page("rows", "connector=a&limit=9"), Ok(Some("12-7".to_owned())));
        assert_eq!(page("rows", "connector=b"), Err(400));
        assert_eq!(page("others", "connector=a"), Err(400));
        let forged = query("after=12-7~0000000000000000");
        assert_eq!(read("rows", &forged, |_| Some(())).map_err(|problem| problem.kind().status()), Err(404));
        assert_eq!(read("rows", &query(""), |_| Some(())).ok(), Some(None));
    }

    #[test]
    fn other_texts_are_not_cursors() {
        for text in
            ["", "12-7", "~0000000000000000", "12-7~000000000000000", "12-7~000000000000000g", "1 ~0000000000000000"]
        {
            assert!(AFTER.form.check(text).is_err(), "{text}");
        }
    }
}
