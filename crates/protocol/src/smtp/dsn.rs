//! Delivery status notification parameters of MAIL and RCPT (RFC 3461).

use serde::{Deserialize, Serialize};

use crate::text::steers;

/// How much of the message a failure notice returns: `RET=FULL` or `RET=HDRS` (RFC 3461 section 4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ret {
    Full,
    Headers,
}

/// When the sender wants to be told about a recipient: `NOTIFY=` (RFC 3461 section 4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notify {
    Never,
    /// Any of the three; all false cannot come from the wire.
    On {
        success: bool,
        failure: bool,
        delay: bool,
    },
}

impl Default for Notify {
    /// What applies when the client says nothing: failure and delay (RFC 3461 section 4.1).
    fn default() -> Self {
        Self::On { success: false, failure: true, delay: true }
    }
}

impl Notify {
    pub fn on_success(self) -> bool {
        matches!(self, Self::On { success: true, .. })
    }

    pub fn on_failure(self) -> bool {
        matches!(self, Self::On { failure: true, .. })
    }

    pub fn on_delay(self) -> bool {
        matches!(self, Self::On { delay: true, .. })
    }
}

/// The most that ENVID may be long (RFC 3461 section 4.4).
pub const ENVID_BYTES_MAX: usize = 100;
/// The most that ORCPT may be long (RFC 3461 section 4.2).
pub const ORCPT_BYTES_MAX: usize = 500;

/// Reads the value of `RET=`.
pub fn parse_ret(value: &str) -> Option<Ret> {
    if value.eq_ignore_ascii_case("FULL") {
        Some(Ret::Full)
    } else if value.eq_ignore_ascii_case("HDRS") {
        Some(Ret::Headers)
    } else {
        None
    }
}

/// Reads the value of `NOTIFY=`: NEVER alone, or a list of the others.
pub fn parse_notify(value: &str) -> Option<Notify> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(Notify::Never);
    }
    let (mut success, mut failure, mut delay) = (false, false, false);
    for word in value.split(',') {
        match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => success = true,
            "FAILURE" => failure = true,
            "DELAY" => delay = true,
            _ => return None,
        }
    }
    Some(Notify::On { success, failure, delay })
}

/// True for text as RFC 3461 section 4 encodes it: printable, with `+` and `=` only as `+` and two hex digits.
pub fn is_xtext(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let ok = match byte {
            b'+' => {
                let hex = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
                hex(bytes.next()) && hex(bytes.next())
            }
            b'=' => false,
            byte => (b'!'..=b'~').contains(&byte),
        };
        if !ok {
            return false;
        }
    }
    true
}

/// True for `addr-type;xtext`. An address of the type utf-8 may be UTF-8 itself (RFC 6533 section 3).
pub fn is_orcpt(value: &str) -> bool {
    let Some((kind, address)) = value.split_once(';') else { return false };
    let kind_ok = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let ascii_ok = address.is_ascii() || kind.eq_ignore_ascii_case("utf-8");
    let ascii: String = address.chars().filter(char::is_ascii).collect();
    kind_ok && ascii_ok && !address.is_empty() && is_xtext(&ascii) && !address.chars().any(steers)
}

/// An ORCPT value in ASCII, as a server without SMTPUTF8 and a notice take it: `\x{E9}` for é (RFC 6533 section 3).
pub fn orcpt_in_ascii(value: &str) -> String {
    let encoded = |c: char| if c.is_ascii() { c.into() } else { format!("\\x{{{:X}}}", u32::from(c)) };
    value.chars().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        assert_eq!(parse_notify("never"), Some(Notify::Never));
        assert_eq!(parse_notify("SUCCESS,delay"), Some(Notify::On { success: true, failure: false, delay: true }));
        for bad in ["", "NEVER,DELAY", "SUCCESS,", "x"] {
            assert_eq!(parse_notify(bad), None, "{bad}");
        }
        for (text, ok) in [("a+3Db", true), ("a+3db", false), ("a+3", false), ("a=b", false), ("a b", false)] {
            assert_eq!(is_xtext(text), ok, "{text}");
        }
        for (text, ok) in [
            ("rfc822;a@b", true),
            ("utf-8;ü@b", true),
            ("rfc822;ü@b", false),
            ("utf-8;a\u{202e}@b", false),
            ("a@b", false),
            (";a", false),
            ("rfc822;", false),
        ] {
            assert_eq!(is_orcpt(text), ok, "{text}");
        }
        assert_eq!(orcpt_in_ascii("utf-8;j\u{f6}rg+40\u{1f4e7}"), "utf-8;j\\x{F6}rg+40\\x{1F4E7}");
    }
}
