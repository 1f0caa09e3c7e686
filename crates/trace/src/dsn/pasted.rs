//! Bounces that somebody copied as text out of a mail program: no header, only what Exchange, qmail or Postfix tell people.

/// Words that no log has.
const WORDS: [&str; 9] = [
    "Diagnostic information for administrators",
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
    WORDS.iter().any(|words| text.contains(words)) || RETURNED.iter().any(|words| text.contains(words))
}
