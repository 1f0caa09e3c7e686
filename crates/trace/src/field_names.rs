//! Names of values in lists (`Name : value`) and in the headers of tables, as PowerShell and Exchange write them. Names are
//! compared by their letters and digits, in lower case.

const LIST_NAME_BYTES_MAX: usize = 48;
const NAME_BYTES_MAX: usize = 64;
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];
/// A header has at least as many names.
const NAMES_MIN: usize = 3;

/// The letters and digits of a name, in lower case.
pub(crate) fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The names that the beginning of a file has: of a list, or of the header of a table.
pub(crate) fn names_of<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names = Vec::new();
    for line in lines.map(|line| line.trim_start_matches('\u{feff}')) {
        if let Some((name, _)) = list_field(line) {
            names.push(plain(name));
        } else if names.is_empty() {
            names.extend(header(line).unwrap_or_default());
        }
    }
    names
}

/// The name and the value of a line; `None` where the line is something else.
pub(crate) fn list_field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    // PowerShell always has a space before the colon, so this is not a field of a mail's header.
    let name = name.strip_suffix(' ')?.trim();
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= LIST_NAME_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_ .()-".contains(&byte))
        && name.split(' ').count() <= 4;
    (is_name && (value.is_empty() || value.starts_with(' '))).then_some((name, value.trim()))
}

/// The names of a header; `None` where the line is none.
fn header(line: &str) -> Option<Vec<String>> {
    let separator = char::from(line_separator(line)?);
    let line = fields_line(line).unwrap_or(line);
    Some(line.split(separator).map(plain).collect())
}

/// The separator of a file whose beginning has a header or rows; `None` where it has neither.
pub(crate) fn separator(beginning: &str) -> Option<u8> {
    let mut lines = beginning.lines().map(|line| line.trim_start_matches('\u{feff}'));
    lines.by_ref().take(30).find_map(line_separator)
}

pub(crate) fn line_separator(line: &str) -> Option<u8> {
    let is_name = |name: &str| {
        let name = name.trim().trim_matches('"');
        let is_plain = |c: char| c.is_alphanumeric() || " _-.()".contains(c);
        !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && name.chars().all(is_plain)
            && name.contains(char::is_alphabetic)
    };
    let line = match fields_line(line) {
        Some(fields) => fields,
        None if line.starts_with('#') => return None,
        None => line,
    };
    SEPARATORS.into_iter().find(|separator| {
        let names = || line.split(char::from(*separator));
        names().count() >= NAMES_MIN && names().all(is_name)
    })
}

/// `#Fields: date-time,session`
pub(crate) fn fields_line(line: &str) -> Option<&str> {
    let (key, names) = line.trim_start_matches('"').strip_prefix('#')?.split_once(':')?;
    key.trim().eq_ignore_ascii_case("fields").then(|| names.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_mail_are_not_fields_of_lists() {
        for line in
            ["Subject: x", "https://x.test/ : y", "a sentence with more than four words : x", ": x", "x :y", "é : x"]
        {
            assert_eq!(list_field(line), None, "{line}");
        }
        assert_eq!(list_field("Next Hop Domain : x:y"), Some(("Next Hop Domain", "x:y")));
    }

    #[test]
    fn separators_and_names_are_found() {
        let table: [(&str, Option<u8>); 7] = [
            ("\"Date\",\"Event\",\"Detail\"", Some(b',')),
            ("Date;Event;Detail", Some(b';')),
            ("Next Hop Domain\tStatus\tMessage Count", Some(b'\t')),
            ("#Fields: date-time,session,source", Some(b',')),
            ("#Software: a,b,c", None),
            ("Identity : EX01\\1", None),
            ("Hello, world, again!", None),
        ];
        for (line, expected) in table {
            assert_eq!(separator(line), expected, "{line}");
        }
    }
}
