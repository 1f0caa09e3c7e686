//! The causes inside an error: chained by `->`, and quoted inside one another.

use protocol::smtp::EnhancedCode;

/// One cause.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Link<'a> {
    /// 421, 450, 550, …
    pub code: Option<u16>,
    pub enhanced: Option<EnhancedCode>,
    /// Without code and details.
    pub text: &'a str,
    /// Exchange's and Schannel's own names of what happened, such as `SocketError`, `UnknownCredentials`,
    /// `TlsNegotiationFailed`, `QUEUE.Expired`.
    pub exceptions: Vec<&'a str>,
    /// 10061 and the like.
    pub winsock: Option<u32>,
    pub win32: Option<u32>,
    /// `[LastAttemptedIP=192.0.2.1:25]` and the like, in order.
    pub details: Vec<Detail<'a>>,
}

/// What stands in brackets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Detail<'a> {
    /// `Message`, `LastAttemptedServerName`, `LastAttemptedIP`, `SmtpSecurity`; empty for the server that wrote it.
    pub key: &'a str,
    pub value: &'a str,
}

impl<'a> Link<'a> {
    pub fn detail(&self, key: &str) -> Option<&'a str> {
        self.details.iter().find(|detail| detail.key == key).map(|detail| detail.value)
    }
}

/// More are of no use to anybody; empty ones count too, as each costs a search of all that follows.
const LINKS_MAX: usize = 32;

/// `LastAttemptedServerName` is the longest known.
const KEY_LENGTH_MAX: usize = 40;

/// All causes, the outermost first.
pub fn links(text: &str) -> Vec<Link<'_>> {
    let mut links = Vec::new();
    let mut waiting = vec![text];
    for _ in 0..LINKS_MAX {
        let Some(text) = waiting.pop() else { break };
        let (part, rest) = split_chain(text);
        waiting.extend(rest);
        let (link, inner) = link(part.trim());
        if link != Link::default() {
            links.push(link);
        }
        waiting.extend(inner);
    }
    links
}

/// At the first arrow that no quotation holds.
fn split_chain(text: &str) -> (&str, Option<&str>) {
    const ARROW: &str = "->";
    let quoted = quotation(text);
    let outside = |at: usize| quoted.is_none_or(|(start, end)| at < start || at >= end);
    let arrow = text.match_indices(ARROW).map(|(at, _)| at).find(|at| outside(*at));
    arrow.map_or((text, None), |at| (&text[..at], Some(&text[at + ARROW.len()..])))
}

/// One link, and the cause that it quotes.
fn link(part: &str) -> (Link<'_>, Option<&str>) {
    let (code, rest) = reply_code(part);
    let (enhanced, rest) = EnhancedCode::parse_prefix(rest).map_or((None, rest), |(code, rest)| (Some(code), rest));
    let (text, inner) = split_quotation(rest);
    let (text, details) = split_details(text);
    // A message that is a reply is a cause of its own.
    let message = details.iter().find(|detail| detail.key == "Message").map(|detail| detail.value);
    let inner = inner.or(message.filter(|message| is_cause(message)));
    let said = message.filter(|_| inner.is_none()).unwrap_or(text);
    let link = Link {
        code,
        enhanced,
        text,
        exceptions: exceptions(text, said),
        winsock: number_after(said, "Winsock error code: ").or(number_after(said, "Socket error code ")),
        win32: number_after(said, "Win32 error code: "),
        details,
    };
    (link, inner)
}

fn reply_code(text: &str) -> (Option<u16>, &str) {
    let Some((code, rest)) = text.split_at_checked(3) else { return (None, text) };
    let is_code = code.bytes().all(|byte| byte.is_ascii_digit())
        && code.starts_with(['2', '3', '4', '5'])
        && (rest.is_empty() || rest.starts_with([' ', '-']));
    if is_code { (code.parse().ok(), rest.trim_start_matches([' ', '-'])) } else { (None, text) }
}

/// Quoted text that is a cause, not a word.
fn is_cause(text: &str) -> bool {
    reply_code(text).0.is_some() || text.starts_with("Failed to connect")
}

/// Where a quoted cause begins and ends, without its quotes.
fn quotation(text: &str) -> Option<(usize, usize)> {
    let is_start = |(at, quote): &(usize, char)| matches!(quote, '"' | '\'') && is_cause(&text[at + 1..]);
    let (at, quote) = text.char_indices().find(is_start)?;
    let inner = &text[at + 1..];
    // Single quotes hold double ones, and apostrophes.
    let end = if quote == '"' { inner.find(quote) } else { inner.rfind(quote) };
    Some((at + 1, at + 1 + end.unwrap_or(inner.len())))
}

/// The text before a quotation, and the quotation.
fn split_quotation(text: &str) -> (&str, Option<&str>) {
    match quotation(text) {
        Some((start, end)) => (text[..start - 1].trim_end_matches([' ', ':']), Some(&text[start..end])),
        None => (text.trim_end(), None),
    }
}

/// The text before `[Key=`, and what is in brackets.
fn split_details(text: &str) -> (&str, Vec<Detail<'_>>) {
    let Some(start) = text.match_indices('[').map(|(at, _)| at).find(|at| detail_key(&text[*at..]).is_some()) else {
        return (text, Vec::new());
    };
    let mut details = Vec::new();
    let mut rest = &text[start..];
    while let Some(inner) = rest.strip_prefix('[') {
        let end = detail_end(inner);
        let (inner, after) = inner.split_at(end);
        let (key, value) = match detail_key(rest) {
            Some(key) => (key, &inner[key.len() + 1..]),
            None => ("", inner),
        };
        details.push(Detail { key, value });
        rest = after.trim_start_matches(']').trim_start();
    }
    (text[..start].trim_end(), details)
}

/// Values have brackets of their own; the next detail, or the end, is after `] [` or `](`.
fn detail_end(inner: &str) -> usize {
    let is_end = |at: &usize| inner[*at..].starts_with("] [") || inner[*at..].starts_with("](");
    let end = inner.match_indices(']').map(|(at, _)| at).find(is_end);
    end.or_else(|| inner.rfind(']')).unwrap_or(inner.len())
}

/// `[Message=`
fn detail_key(text: &str) -> Option<&str> {
    let text = text.strip_prefix('[')?;
    let length = text.bytes().take(KEY_LENGTH_MAX + 1).position(|byte| !byte.is_ascii_alphabetic())?;
    let (key, rest) = text.split_at_checked(length)?;
    (length > 2 && rest.starts_with('=')).then_some(key)
}

/// Words that Exchange makes of several, as in `SocketError` and `RESOLVER.ADR.RecipNotFound`.
fn exceptions<'a>(text: &'a str, message: &'a str) -> Vec<&'a str> {
    let words = |text: &'a str| text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_'));
    let mut found = Vec::new();
    let mut take = |text: &'a str| {
        for word in words(text).map(|word| word.trim_matches('.')).filter(|word| is_exception(word)) {
            if !found.contains(&word) {
                found.push(word);
            }
        }
    };
    take(text);
    if text != message {
        take(message);
    }
    found
}

fn is_exception(word: &str) -> bool {
    let last = word.rsplit('.').next().unwrap_or_default();
    let is_dotted = last.len() < word.len() && word.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'.');
    let starts_high = word.starts_with(|c: char| c.is_ascii_uppercase());
    let begins = word.split('.').next().unwrap_or_default();
    let is_code = is_dotted && begins.len() > 2 && begins.bytes().all(|byte| byte.is_ascii_uppercase());
    let pairs = word.as_bytes().windows(2);
    let humps = pairs.filter(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase()).count();
    is_code || (!is_dotted && starts_high && humps > 0 && word.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

fn number_after(text: &str, words: &str) -> Option<u32> {
    let (_, rest) = text.split_once(words)?;
    let end = rest.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}
