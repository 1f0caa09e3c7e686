//! Bounces that somebody copied as text out of a mail program: no header, only what Exchange, Gmail, qmail or Postfix
//! tell people.

use protocol::smtp::EnhancedCode;

/// Words that no log has.
const WORDS: [&str; 11] = [
    "Diagnostic information for administrators",
    "The response from the remote server was:",
    "The response was:",
    "Generating server:",
    "Remote Server returned",
    "did not reach the following recipient",
    "The following recipient(s) could not be reached:",
    "Delivery has failed to these recipients",
    "This is the qmail-send program",
    "I'm sorry to have to inform you",
    "This is the mail system at host",
];

/// Of Exchange's in other languages: the reply itself is always quoted so.
const RETURNED: [&str; 3] = ["returned '4", "returned '5", "returned \"5"];

/// Whether a text is a bounce, or a part of one.
pub(crate) fn is_pasted(text: &str) -> bool {
    WORDS.iter().any(|words| text.contains(words))
        || RETURNED.iter().any(|words| text.contains(words))
        || (text.contains('@') && text.lines().any(is_reply))
}

/// `550 5.1.1 …`: a reply with both codes, at the beginning of a line.
pub(super) fn is_reply(line: &str) -> bool {
    let line = line.trim_start_matches(['>', ' ', '\t', '\'', '"']);
    let Some((code, rest)) = line.split_at_checked(3) else { return false };
    let is_code = code.starts_with(['4', '5']) && code.bytes().all(|byte| byte.is_ascii_digit());
    let enhanced = rest.strip_prefix([' ', '-']).and_then(EnhancedCode::parse_prefix);
    is_code && enhanced.is_some_and(|(enhanced, _)| code.starts_with(&enhanced.class.to_string()))
}
