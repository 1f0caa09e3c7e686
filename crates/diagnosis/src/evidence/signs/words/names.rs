//! Takes names out of a text: what an address, a host or a quoted word is called says nothing about a failure.
//!
//! `550 5.1.1 <spam@quota.test>: User unknown` becomes `550 5.1.1 : User unknown`. Codes and sentences stay.

use protocol::host_port;

/// A local part is at most 64 bytes and a domain 255 (RFC 5321 section 4.5.3.1); texts are cut anywhere.
const BRACKETED_MAX: usize = 322;
/// What a system calls its own errors has dots too: `RESOLVER.ADR.RecipNotFound`, `QUEUE.Expired`.
const ERROR_NAMES: [&str; 8] =
    ["RESOLVER.", "QUEUE.", "SMTPSEND.", "STOREDRV.", "ROUTING.", "SMTPRECEIVE.", "AGENT.", "APPROVAL."];
/// What follows one of these is a name.
const KEYS: [&str; 7] = ["name=", "host=", "domain=", "helo=", "user=", "from=", "to="];

/// The text without addresses and quoted words; hosts stay.
pub(in crate::evidence::signs) fn without_addresses(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    blank_brackets(&mut bytes);
    blank_addresses(&mut bytes);
    blank_quotations(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The text without names, in one line with single spaces.
pub(super) fn without_names(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    blank_brackets(&mut bytes);
    blank_addresses(&mut bytes);
    blank_quotations(&mut bytes);
    let mut start = 0;
    while start < bytes.len() {
        let length = bytes[start..].iter().position(|byte| is_delimiter(*byte)).unwrap_or(bytes.len() - start);
        let end = start + length;
        if is_name(&bytes[start..end], bytes.get(end)) {
            bytes[start..end].fill(b' ');
        }
        start = end + 1;
    }
    // Only whole tokens, which end at ASCII bytes, were overwritten.
    let blanked = String::from_utf8_lossy(&bytes);
    blanked.split_ascii_whitespace().fold(String::with_capacity(text.len()), |mut words, word| {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
        words
    })
}

/// `<spam@quota.test>`, and `<spam>`, but not `<>`.
fn blank_brackets(bytes: &mut [u8]) {
    let mut from = 0;
    while let Some(open) = bytes[from..].iter().position(|byte| *byte == b'<').map(|at| from + at) {
        let inner = &bytes[open + 1..bytes.len().min(open + 1 + BRACKETED_MAX)];
        let close = inner.iter().position(|byte| *byte == b'>');
        let is_name = |inner: &[u8]| inner.contains(&b'@') || !inner.contains(&b' ');
        match close.filter(|close| is_name(&inner[..*close])) {
            Some(close) => {
                bytes[open + 1..open + 1 + close].fill(b' ');
                from = open + 1 + close;
            }
            None => from = open + 1,
        }
    }
}

/// `spam@quota.test` wherever it stands.
fn blank_addresses(bytes: &mut [u8]) {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == b'@').map(|at| from + at) {
        let is_outside = |byte: &u8| byte.is_ascii_whitespace() || b"<>()[]\"',;:".contains(byte);
        let start = match bytes[..at].last() {
            // A quoted local part may hold spaces.
            Some(b'"') => bytes[..at - 1].iter().rposition(|byte| *byte == b'"').unwrap_or(at),
            _ => bytes[..at].iter().rposition(is_outside).map_or(0, |before| before + 1),
        };
        let end = bytes[at..].iter().position(is_outside).map_or(bytes.len(), |length| at + length);
        bytes[start..end].fill(b' ');
        from = end;
    }
}

/// A single quoted word is a name; a quoted sentence is a reply.
fn blank_quotations(bytes: &mut [u8]) {
    let mut from = 0;
    while let Some(open) = bytes[from..].iter().position(|byte| b"\"'`".contains(byte)).map(|at| from + at) {
        let closing = if bytes[open] == b'`' { b'\'' } else { bytes[open] };
        let begins = open == 0 || !bytes[open - 1].is_ascii_alphanumeric();
        let inner = &bytes[open + 1..];
        let close = inner.iter().position(|byte| *byte == closing || byte.is_ascii_whitespace());
        from = open + 1;
        if let Some(close) = close.filter(|close| begins && inner[*close] == closing) {
            bytes[open..=open + 1 + close].fill(b' ');
            from += close;
        }
    }
}

fn is_delimiter(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b"<>()[]{}\"',;".contains(&byte)
}

/// `next` is the byte behind it: `host[192.0.2.1]` names a host, with or without a dot.
fn is_name(token: &[u8], next: Option<&u8>) -> bool {
    let Ok(token) = std::str::from_utf8(token) else { return false };
    let value = KEYS.iter().find_map(|key| token.strip_prefix(key));
    let is_before_address = next == Some(&b'[') && !token.is_empty() && !token.ends_with([':', '=']);
    let host = token.trim_end_matches([':', '.', '!', '?']);
    let (host, _) = host_port::split(host);
    value.is_some_and(|value| !value.is_empty())
        || is_before_address
        || token.contains("://")
        || is_address(host)
        || is_host(host)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// An IP address; an enhanced code has three numbers.
fn is_address(token: &str) -> bool {
    let is_v4 = token.split('.').count() == 4 && token.split('.').all(is_number);
    let is_v6 =
        token.matches(':').count() > 1 && token.bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.');
    is_v4 || is_v6
}

fn is_host(token: &str) -> bool {
    let Some((_, last)) = token.rsplit_once('.') else { return false };
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let is_top = last.starts_with("xn--") || (last.len() > 1 && last.bytes().all(|byte| byte.is_ascii_alphabetic()));
    // Two sentences without a space between them: `later.Please`.
    let mut letters = last.bytes();
    let begins_sentence =
        letters.next().is_some_and(|byte| byte.is_ascii_uppercase()) && letters.all(|byte| byte.is_ascii_lowercase());
    let is_error = ERROR_NAMES.iter().any(|name| token.starts_with(name));
    is_top && !begins_sentence && !is_error && token.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::without_names;

    #[test]
    fn names_go_and_sentences_stay() {
        for (text, expected) in [
            ("550 5.1.1 <spam@quota.test>: User unknown", "550 5.1.1 < >: User unknown"),
            ("550 No such user \"dane\" here", "550 No such user here"),
            ("connect to spam[192.0.2.1]:25: Connection refused", "connect to [ ]:25: Connection refused"),
            ("blocked using zen.spamhaus.org; see https://spam.test/tls?x", "blocked using ; see"),
            ("#550-The domain in 'k@hotmial.example' does not 550 exist", "#550-The domain in ' ' does not 550 exist"),
            ("4.7.1 tls.test:25 at 2001:db8::1 said 4.7.0", "4.7.1 at said 4.7.0"),
            ("550 5.1.1 RESOLVER.ADR.RecipNotFound; not found", "550 5.1.1 RESOLVER.ADR.RecipNotFound; not found"),
            ("Try again later.Please don't call", "Try again later.Please don't call"),
            (
                "Name service error for name=dane.test type=MX: Host not found",
                "Name service error for type=MX: Host not found",
            ),
            ("\"spam filter\"@x.test unknown\n again", "unknown again"),
            ("error:1409441A:SSL routines:ssl3_read_bytes:alert", "error:1409441A:SSL routines:ssl3_read_bytes:alert"),
        ] {
            assert_eq!(without_names(text), expected, "{text}");
        }
    }

    #[test]
    fn any_bytes_are_read() {
        for text in ["@", "<", "<@", "\"@", "'", "é@é", "<é", "a@", "[", "=", "::", "\u{1f600}@x <\u{1f600}"] {
            without_names(text);
        }
    }
}
