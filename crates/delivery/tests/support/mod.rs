//! Parses a notice strictly by RFC 2046 and RFC 3464, independently of the code that wrote it.

use std::str;

/// Fields of one group, in order, unfolded.
pub(crate) type Fields = Vec<(String, String)>;

/// A parsed notice.
#[derive(Debug)]
pub(crate) struct Report {
    pub header: Fields,
    /// The part for people, the part for machines, and the original's header.
    pub parts: [Part; 3],
}

#[derive(Debug)]
pub(crate) struct Part {
    pub header: Fields,
    pub body: Vec<u8>,
}

impl Part {
    pub(crate) fn content_type(&self) -> &str {
        value(&self.header, "Content-Type")
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

impl Report {
    /// Panics if the bytes are not a valid notice: a lone CR or LF, an overlong line, too many or too few parts.
    pub(crate) fn read(bytes: &[u8], boundary: &str) -> Self {
        assert_lines(bytes);
        let (header, body) = split_once(bytes, b"\r\n\r\n");
        let delimiter = format!("--{boundary}");
        let mut sections = vec![Vec::new()];
        let mut closed = false;
        for line in body.split_inclusive(|byte| *byte == b'\n') {
            let content = line.strip_suffix(b"\r\n").unwrap();
            if content == delimiter.as_bytes() {
                assert!(!closed, "a part follows the end");
                sections.push(Vec::new());
            } else if content == format!("{delimiter}--").as_bytes() {
                closed = true;
            } else {
                assert!(!closed, "text follows the end");
                sections.last_mut().unwrap().extend_from_slice(line);
            }
        }
        assert!(closed, "the end is missing");
        let parts: Vec<Part> = sections.into_iter().skip(1).map(|section| Part::read(&section)).collect();
        let count = parts.len();
        let parts = parts.try_into().unwrap_or_else(|_| panic!("{count} parts"));
        Self { header: fields(str::from_utf8(header).unwrap()), parts }
    }

    /// The groups of the part for machines: one for the message, then one for each recipient (RFC 3464 section 2.1).
    pub(crate) fn status(&self) -> Vec<Fields> {
        self.parts[1].text().trim_end().split("\r\n\r\n").map(fields).collect()
    }
}

impl Part {
    fn read(section: &[u8]) -> Self {
        let (header, body) = split_once(section, b"\r\n\r\n");
        // The line end before a delimiter belongs to the delimiter (RFC 2046 section 5.1.1).
        let body = body.strip_suffix(b"\r\n").unwrap_or(body);
        Self { header: fields(str::from_utf8(header).unwrap()), body: body.to_vec() }
    }
}

fn assert_lines(bytes: &[u8]) {
    assert!(bytes.ends_with(b"\r\n"));
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        assert!(line.len() <= 1000, "a line of {} bytes", line.len());
        let content = line.strip_suffix(b"\r\n").unwrap_or_else(|| panic!("bare LF after {:?}", line.escape_ascii()));
        let control = content.iter().find(|byte| (**byte < 32 && **byte != b'\t') || **byte == 127);
        assert_eq!(control, None, "in {}", content.escape_ascii());
    }
}

fn split_once<'a>(bytes: &'a [u8], by: &[u8]) -> (&'a [u8], &'a [u8]) {
    let at = bytes.windows(by.len()).position(|window| window == by).unwrap();
    (&bytes[..at], &bytes[at + by.len()..])
}

/// Unfolds by removing only the line end (RFC 5322 section 2.2.3). Panics if a line is not a field.
fn fields(text: &str) -> Fields {
    let field = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no field: {line:?}"));
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "no field name: {name:?}");
        (name.to_owned(), value.trim_start().to_owned())
    };
    let text = text.replace("\r\n\t", "\t").replace("\r\n ", " ");
    text.split("\r\n").filter(|line| !line.is_empty()).map(field).collect()
}

/// The value of a field that occurs exactly once.
pub(crate) fn value<'a>(fields: &'a Fields, name: &str) -> &'a str {
    let mut found = fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str());
    let value = found.next().unwrap_or_else(|| panic!("no {name} in {fields:?}"));
    assert_eq!(found.next(), None, "a second {name}");
    value
}

pub(crate) fn names(fields: &Fields) -> Vec<&str> {
    fields.iter().map(|(name, _)| name.as_str()).collect()
}
