//! What a value of a parameter looks like: one description for the reader, which refuses everything else, and for OpenAPI.
//!
//! Invariant: a form accepts what its pattern accepts, so that a client that follows OpenAPI is never refused for it. Times
//! are in UTC and of the years 1970 to 2099. A rule that a pattern cannot express is not a rule of a form.

use std::net::IpAddr;

use insight::units::ByteSize;
use serde_json::{Value, json};
use uuid::Uuid;

/// Names that a value may have.
pub(crate) type Names = fn() -> Vec<&'static str>;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// One line, up to this number of characters.
    Text(usize),
    /// Several lines, up to this number of characters.
    Prose(usize),
    /// An address, `@domain`, or a pattern with `*` that does not match everything.
    Address,
    Id,
    /// Of an attempt: 16 hexadecimal digits.
    Session,
    /// A time, or how long ago.
    Moment,
    /// A length of time.
    Span,
    Size,
    Ip,
    Count {
        min: u64,
        max: u64,
    },
    Flag,
    Name(Names),
    /// One or more, separated by commas; in JSON, a list.
    Names(Names),
    /// In JSON only: up to this number of ids.
    Ids(usize),
    /// In JSON only: a share of the nodes in percent, or their names.
    Share,
    /// In JSON only: its keys are parameters with its name and a point before theirs.
    Object,
    Shaped(&'static Shape),
}

/// A form of a few parameters only.
#[derive(Debug)]
pub(crate) struct Shape {
    pub pattern: &'static str,
    /// The same as the pattern.
    pub is: fn(&str) -> bool,
    /// What it is, and where the client has it from.
    pub what: &'static str,
    pub example: &'static str,
}

const ID: &str = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$";
const SESSION: &str = "^[0-9A-F]{16}$";
const TEXT: &str = r"^[^\u0000-\u001f\u007f]+$";
const PROSE: &str = r"^[^\u0000-\u0009\u000b-\u001f\u007f]+$";
const ADDRESS: &str = r"^[*@]*[^*@\u0000-\u001f\u007f][^\u0000-\u001f\u007f]*$";
const SIZE: &str = "^[1-9][0-9]{0,8}([KMG]iB|B)?$";
const SPAN: &str = "^([1-9][0-9]{0,2}d|[1-9][0-9]{0,3}h|[1-9][0-9]{0,5}[ms])([0-9]{1,2}[hms]){0,2}$";
/// Days that there are, in leap years and others.
const TIME: &str = "^(19[7-9][0-9]-(DAYS)|20[0-9]{2}-(DAYS)|(19(7[26]|8[048]|9[26])|20([02468][048]|[13579][26]))-02-29)T\
                    ([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,3})?Z$";
const DAYS: &str =
    "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])";
const ADDRESS_MAX: usize = 320;

impl Form {
    /// What is wrong with a text, as the continuation of the parameter's name and a colon.
    pub(crate) fn check(&self, text: &str) -> Result<(), String> {
        let quoted = || protocol::text::clean(&text.chars().take(80).collect::<String>());
        let otherwise = |is_right: bool, wanted: &str| {
            if is_right { Ok(()) } else { Err(format!("\"{}\" is not {wanted}", quoted())) }
        };
        match *self {
            Self::Text(max) => is_text(text, max, |c| !is_control(c)),
            Self::Prose(max) => is_text(text, max, |c| c == '\n' || !is_control(c)),
            Self::Address => {
                is_text(text, ADDRESS_MAX, |c| !is_control(c))?;
                let is_bounded = !text.trim_start_matches(['*', '@']).is_empty();
                otherwise(is_bounded, "an address: it matches every message; leave it out")
            }
            Self::Id => otherwise(is_id(text), "an id; use a whole one, such as 0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e"),
            Self::Session => {
                let is_digit = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
                otherwise(text.len() == 16 && text.bytes().all(is_digit), "a session of 16 digits, as events name it")
            }
            Self::Moment => otherwise(
                is_time(text) || is_span(text),
                "a time in UTC from 1970 to 2099, such as 2026-07-30T12:00:00Z, or how long ago, such as 2h or 3d",
            ),
            Self::Span => otherwise(is_span(text), "a length of time, such as 90s, 2h or 30d"),
            Self::Size => otherwise(is_size(text), "a size, such as 64KiB, 50MiB or a number of bytes"),
            Self::Ip => otherwise(text.parse::<IpAddr>().is_ok(), "an IP address, such as 192.0.2.7 or 2001:db8::1"),
            Self::Count { min, max } => {
                let is_plain = text == "0" || !text.starts_with(['0', '+']);
                let is_right = text.parse().is_ok_and(|number: u64| (min..=max).contains(&number));
                if is_plain && is_right { Ok(()) } else { Err(format!("must be a number from {min} to {max}")) }
            }
            Self::Flag => otherwise(matches!(text, "true" | "false"), "true or false"),
            Self::Name(names) => one_of(text, &names()),
            Self::Names(_) if text.split(',').count() > NAMES_MAX => {
                Err(format!("must have at most {NAMES_MAX} entries"))
            }
            Self::Names(names) => text.split(',').try_for_each(|text| one_of(text, &names())),
            Self::Ids(_) => Self::Id.check(text),
            Self::Share => PERCENT.check(text).or_else(|_| NODE.check(text)),
            Self::Object => Err("must be an object".to_owned()),
            Self::Shaped(shape) => otherwise((shape.is)(text), shape.what),
        }
    }

    /// As JSON Schema.
    pub(crate) fn schema(&self) -> Value {
        match *self {
            Self::Text(max) => json!({ "type": "string", "pattern": TEXT, "minLength": 1, "maxLength": max }),
            Self::Prose(max) => json!({ "type": "string", "pattern": PROSE, "minLength": 1, "maxLength": max }),
            Self::Address => {
                json!({ "type": "string", "pattern": ADDRESS, "minLength": 1, "maxLength": ADDRESS_MAX })
            }
            Self::Id => json!({ "type": "string", "format": "uuid", "pattern": ID }),
            Self::Session => json!({ "type": "string", "pattern": SESSION }),
            Self::Moment => {
                json!({ "anyOf": [time_schema(), { "type": "string", "title": "how long ago", "pattern": SPAN }] })
            }
            Self::Span => json!({ "type": "string", "pattern": SPAN, "examples": ["2h"] }),
            Self::Size => json!({ "type": "string", "pattern": SIZE }),
            Self::Ip => json!({ "anyOf": [
                { "type": "string", "format": "ipv4" },
                { "type": "string", "format": "ipv6" },
            ] }),
            Self::Count { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Name(names) => json!({ "type": "string", "enum": names() }),
            Self::Names(names) => {
                let items = json!({ "type": "string", "enum": names() });
                json!({ "type": "array", "items": items, "minItems": 1, "maxItems": NAMES_MAX })
            }
            Self::Ids(max) => {
                json!({ "type": "array", "items": Self::Id.schema(), "minItems": 1, "maxItems": max })
            }
            Self::Share => {
                let names = json!({ "type": "array", "items": NODE.schema(), "minItems": 1, "maxItems": NAMES_MAX });
                json!({ "anyOf": [PERCENT.schema(), names] })
            }
            Self::Object => json!({ "type": "object", "additionalProperties": false, "properties": {} }),
            Self::Shaped(shape) => {
                json!({ "type": "string", "pattern": shape.pattern, "examples": [shape.example] })
            }
        }
    }
}

/// Names in a list of names.
pub(super) const NAMES_MAX: usize = 64;
pub(super) const PERCENT: Form = Form::Count { min: 0, max: 100 };
/// Name of a node.
pub(super) const NODE: Form = Form::Text(255);

fn time_schema() -> Value {
    json!({ "type": "string", "title": "a time in UTC", "format": "date-time", "pattern": TIME.replace("DAYS", DAYS) })
}

fn is_control(c: char) -> bool {
    c.is_ascii_control()
}

fn is_text(text: &str, max: usize, is_allowed: impl Fn(char) -> bool) -> Result<(), String> {
    match text.chars().count() {
        0 => Err("must not be empty".to_owned()),
        length if length > max => Err(format!("must have at most {max} characters")),
        _ if !text.chars().all(is_allowed) => Err("must not have control characters".to_owned()),
        _ => Ok(()),
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 36 && text.parse::<Uuid>().is_ok()
}

/// Bytes of a shape in which `9` stands for any digit.
fn has_shape(text: &str, shape: &str) -> bool {
    let fits = |(byte, wanted): (u8, u8)| if wanted == b'9' { byte.is_ascii_digit() } else { byte == wanted };
    text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(fits)
}

fn is_time(text: &str) -> bool {
    let Some((seconds, fraction)) = text.strip_suffix('Z').map(|text| text.split_once('.').unwrap_or((text, "0")))
    else {
        return false;
    };
    let is_fraction = (1..=3).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
    // A leap second is a second of no day, and 24:00 is of the next.
    let has_seconds = has_shape(seconds, "9999-99-99T99:99:99") && !seconds.ends_with("60");
    let year = seconds.get(..4).and_then(|year| year.parse().ok());
    let is_of_our_time = year.is_some_and(|year: u32| (1970..=2099).contains(&year));
    is_fraction && has_seconds && is_of_our_time && text.parse::<jiff::Timestamp>().is_ok()
}

fn is_span(text: &str) -> bool {
    let mut pieces = text.split_inclusive(|c: char| !c.is_ascii_digit()).enumerate();
    let is_piece = |(index, piece): (usize, &str)| {
        let Some((number, unit)) = piece.split_at_checked(piece.len() - 1) else { return false };
        let longest = match (index, unit) {
            (0, "d") => 3,
            (0, "h") => 4,
            (0, "m" | "s") => 6,
            (1 | 2, "h" | "m" | "s") => 2,
            _ => return false,
        };
        (1..=longest).contains(&number.len()) && (index > 0 || !number.starts_with('0')) && is_digits(number)
    };
    !text.is_empty() && text.is_ascii() && pieces.all(is_piece)
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

fn is_size(text: &str) -> bool {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (1..=9).contains(&digits) && !text.starts_with('0') && text.parse::<ByteSize>().is_ok()
}

fn one_of(text: &str, names: &[&str]) -> Result<(), String> {
    if names.contains(&text) { Ok(()) } else { Err(format!("must be one of {}", names.join(", "))) }
}

#[cfg(test)]
mod tests {
    use insight::Moment;
    use proptest::{
        strategy::{Strategy as _, ValueTree as _},
        string::string_regex,
        test_runner::TestRunner,
    };

    use super::*;

    const NAMES: Names = || vec!["a", "b"];

    /// What the pattern makes, the form accepts; and the types behind the forms read it.
    fn agrees(form: Form, pattern: &str) {
        let texts = string_regex(pattern.trim_matches(['^', '$'])).unwrap();
        let mut runner = TestRunner::deterministic();
        for _ in 0..2000 {
            let text = texts.new_tree(&mut runner).unwrap().current();
            if let Form::Text(max) | Form::Prose(max) = form
                && text.chars().count() > max
            {
                continue;
            }
            assert_eq!(form.check(&text), Ok(()), "{form:?} {text:?}");
            match form {
                Form::Moment | Form::Span => assert!(text.parse::<Moment>().is_ok(), "{text}"),
                Form::Size => assert!(text.parse::<ByteSize>().is_ok(), "{text}"),
                _ => {}
            }
        }
    }

    #[test]
    fn a_form_accepts_what_its_pattern_accepts() {
        agrees(Form::Id, ID);
        agrees(Form::Session, SESSION);
        agrees(Form::Moment, &TIME.replace("DAYS", DAYS));
        agrees(Form::Moment, SPAN);
        agrees(Form::Span, SPAN);
        agrees(Form::Size, SIZE);
        agrees(
            Form::Text(1000),
            &TEXT.replace("\\u0000", "\\x00").replace("\\u001f", "\\x1f").replace("\\u007f", "\\x7f"),
        );
    }

    #[test]
    fn other_values_are_refused() {
        let count = Form::Count { min: 1, max: 50 };
        for (form, wrong) in [
            (Form::Text(3), &["", "abcd", "a\0", "a\n", "\u{7f}"][..]),
            (Form::Prose(3), &["", "a\0", "a\t"]),
            (Form::Address, &["", "*", "@*", "a\0"]),
            (
                Form::Id,
                &["", "1", "0198f3c2", "0198f3c27f5a7c119d3e2b1f6a5c4d3e", "{0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e}"],
            ),
            (Form::Session, &["", "08DF4D549346540d", "08DF4D549346540", "08DF4D549346540DD"]),
            (
                Form::Moment,
                &[
                    "",
                    "yesterday",
                    "2026-07-30",
                    "2026-07-30 14:00",
                    "0000-01-01T00:00:00Z",
                    "9999-12-31T23:59:59Z",
                    "1969-12-31T23:59:59Z",
                    "2100-01-01T00:00:00Z",
                    "2026-07-30T12:00:00+02:00",
                    "2026-07-30T12:00:00-00:00",
                    "2026-07-30T12:00:00z",
                    "2026-07-30t12:00:00Z",
                    "2026-02-29T12:00:00Z",
                    "2026-07-30T24:00:00Z",
                    "2026-07-30T12:00:60Z",
                    "2026-07-30T12:00:00.1234Z",
                    "-2h",
                    "0s",
                    "2 h",
                    "2h ",
                    "99999999d",
                    "1500d",
                    "２h",
                ],
            ),
            (Form::Span, &["", "0s", "2026-07-30T12:00:00Z", "1y", "1h1h1h1h"]),
            (Form::Size, &["", "0", "01", "-1", "1.5MiB", "1MB", "10000000000", "1 KiB"]),
            (Form::Ip, &["", "192.0.2", "192.0.2.1/24", "localhost", "::g", "[::1]"]),
            (count, &["", "0", "51", "01", "+1", "-1", "1.0", "x", "99999999999999999999"]),
            (Form::Flag, &["", "yes", "True"]),
            (Form::Name(NAMES), &["", "c", "a,b"]),
            (Form::Names(NAMES), &["", "a,", "a,c", "a, b"]),
        ] {
            for text in wrong {
                assert!(form.check(text).is_err(), "{form:?} {text:?}");
            }
        }
        for (form, right) in [
            (Form::Address, &["a@b.test", "@b.test", "*@b.test", "<>", "*a*"][..]),
            (Form::Moment, &["2h", "90m", "1h30m", "2024-02-29T00:00:00Z", "2026-07-30T12:00:00.123Z"]),
            (Form::Ip, &["192.0.2.7", "::1", "::ffff:192.0.2.7"]),
            (count, &["1", "50"]),
            (Form::Names(NAMES), &["a", "a,b", "b,a"]),
        ] {
            for text in right {
                assert_eq!(form.check(text), Ok(()), "{form:?} {text:?}");
            }
        }
    }
}
