//! Codes that large receivers, blocking lists and filters document: what each means, who must act, and where to go.
//!
//! They are facts of the providers' public pages, in our own words. Replies in any language carry these codes.
//!
//! Codes and links were checked against public pages on 2026-11-29. Microsoft's codes are those of its table of notices;
//! Yahoo's page lists only the families TS* and PH*, so the rest of its codes is from replies that others published.

mod filters;
mod large;
mod lists;
mod microsoft;
mod reports;

use std::{
    hash::{Hash, Hasher},
    sync::LazyLock,
};

use aho_corasick::AhoCorasick;
use protocol::smtp::EnhancedCode;

use super::{sign::Sign, words::without_addresses};

/// A documented code.
#[derive(Debug)]
pub struct ProviderCode {
    pub provider: &'static str,
    /// As it stands in the reply: `S3150`, `5.7.606`.
    pub code: &'static str,
    /// One sentence.
    pub meaning: &'static str,
    pub who: Who,
    /// What to do: an imperative sentence.
    pub action: &'static str,
    /// A page or an address; empty: none.
    pub link: &'static str,
    pub signs: &'static [Sign],
    pattern: Pattern,
}

/// Who must act.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// Those who run the server that sends: its address, name or software.
    ThisSide,
    /// Those who own the sender's domain, or who wrote the message.
    Sender,
    Destination,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pattern {
    /// Subject and details of the enhanced code, whatever its class.
    Enhanced(u16, u16, u16),
    /// The same, where the reply has a word too.
    EnhancedAnd(u16, u16, &'static str),
    /// Words of the reply, letter case as it is.
    Text(&'static str),
    /// Words of a reply that is a refusal by policy; names of hosts occur in other replies too.
    Refusal(&'static str),
    /// The code is the beginning of the text.
    Begins,
}

impl Pattern {
    fn word(self) -> Option<&'static str> {
        match self {
            Self::Enhanced(..) | Self::Begins => None,
            Self::EnhancedAnd(_, _, word) | Self::Text(word) | Self::Refusal(word) => Some(word),
        }
    }
}

impl PartialEq for ProviderCode {
    fn eq(&self, other: &Self) -> bool {
        (self.provider, self.code) == (other.provider, other.code)
    }
}

impl Eq for ProviderCode {}

impl Hash for ProviderCode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.provider, self.code).hash(state);
    }
}

/// All codes; of several that fit, the first counts.
fn all() -> impl Iterator<Item = &'static ProviderCode> {
    [&microsoft::CODES[..], &large::CODES, &filters::CODES, &lists::CODES, &reports::CODES].into_iter().flatten()
}

/// The documented code in a reply, if it has one.
pub fn provider_code(text: &str, code: Option<u16>, enhanced: Option<EnhancedCode>) -> Option<&'static ProviderCode> {
    // What is no reply has at most a result type of a report.
    let by_text = if code.is_some() { by_text(text, code, enhanced) } else { by_beginning(text) };
    by_text.or_else(|| all().find(|known| is_enhanced(known.pattern, enhanced)))
}

fn by_beginning(text: &str) -> Option<&'static ProviderCode> {
    reports::CODES.iter().find(|known| text.starts_with(known.code))
}

fn by_text(text: &str, code: Option<u16>, enhanced: Option<EnhancedCode>) -> Option<&'static ProviderCode> {
    let (codes, searcher) = &*SEARCHER;
    let plain = without_addresses(text);
    let found = searcher
        .find_overlapping_iter(&plain)
        .map(|hit| (hit.pattern().as_usize(), hit.start(), hit.end()))
        .filter(|(at, start, end)| is_whole(plain.as_bytes(), *start, *end, codes[*at].pattern))
        .filter(|(at, ..)| fits(codes[*at].pattern, code, enhanced))
        .map(|(at, ..)| at);
    found.min().map(|at| codes[at])
}

fn is_enhanced(pattern: Pattern, enhanced: Option<EnhancedCode>) -> bool {
    let Pattern::Enhanced(subject, from, to) = pattern else { return false };
    enhanced.is_some_and(|code| code.subject == subject && (from..=to).contains(&code.detail))
}

fn fits(pattern: Pattern, code: Option<u16>, enhanced: Option<EnhancedCode>) -> bool {
    match pattern {
        Pattern::Enhanced(..) | Pattern::Begins => false,
        Pattern::EnhancedAnd(subject, detail, _) => {
            enhanced.is_some_and(|code| (code.subject, code.detail) == (subject, detail))
        }
        // Address, mailbox or system: the code says it all.
        Pattern::Text(_) => {
            enhanced.map_or(code.is_some(), |code| !matches!((code.subject, code.detail), (1..=3, 1..)))
        }
        Pattern::Refusal(_) => {
            enhanced.map_or_else(|| code.is_some_and(|code| code >= 500 || code == 421), |code| code.subject == 7)
        }
    }
}

/// Neither a longer word nor a part of one, nor of a host's name, except that a list is known by the end of it.
fn is_whole(text: &[u8], start: usize, end: usize, pattern: Pattern) -> bool {
    let is_letter = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_alphanumeric);
    let is_joint = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(|byte| b".-_".contains(byte));
    let (before, first, last) = (start.checked_sub(1), Some(start), end.checked_sub(1));
    let joins = (is_letter(before) && is_letter(first)) || (is_letter(last) && is_letter(Some(end)));
    let is_in_name = (is_joint(before) && is_letter(start.checked_sub(2)))
        || (is_letter(last) && is_joint(Some(end)) && is_letter(Some(end + 1)));
    !joins && (matches!(pattern, Pattern::Refusal(_)) || !is_in_name)
}

static SEARCHER: LazyLock<(Vec<&'static ProviderCode>, AhoCorasick)> = LazyLock::new(|| {
    let codes: Vec<&'static ProviderCode> = all().filter(|known| known.pattern.word().is_some()).collect();
    let searcher = AhoCorasick::new(codes.iter().filter_map(|known| known.pattern.word()));
    // The words are few and fixed: a test has built them.
    let searcher = searcher.unwrap_or_else(|error| unreachable!("{error}"));
    (codes, searcher)
});

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(text: &str) -> Option<&'static str> {
        let code = text.get(..3).and_then(|code| code.parse().ok());
        let enhanced = text.get(4..).and_then(EnhancedCode::parse_prefix).map(|(code, _)| code);
        provider_code(text, code, enhanced).map(|known| known.code)
    }

    /// Two receivers use the same number.
    #[test]
    fn the_words_tell_whose_number_it_is() {
        for (text, provider) in [
            (
                "550 5.7.25 Access denied, sending IPv6 address [2001:db8::1] must have reverse DNS record",
                Some("Microsoft"),
            ),
            (
                "550-5.7.25 [192.0.2.1] The IP address sending this message does not have a PTR record setup. As a policy, Gmail does not accept messages from IPs with missing PTR records. - gsmtp",
                Some("Google"),
            ),
            ("550 5.7.25 Your address has no PTR record", None),
        ] {
            let known = provider_code(text, Some(550), EnhancedCode::parse_prefix("5.7.25").map(|(code, _)| code));
            assert_eq!(known.map(|known| known.provider), provider, "{text}");
        }
    }

    #[test]
    fn documented_codes_are_found() {
        for (text, expected) in [
            (
                "550 5.7.606 Access denied, banned sending IP [192.0.2.1]. To request removal visit https://sender.office.com/ AS(1430)",
                "5.7.606",
            ),
            ("550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. … on our block list (S3150).", "S3150"),
            (
                "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. … on our block list (AS3150).",
                "AS3150",
            ),
            ("451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (AS843)", "4.7.500"),
            (
                "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. (S775)",
                "S775",
            ),
            ("550 5.7.64 TenantAttribution; Relay Access Denied", "5.7.64"),
            ("421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred", "TSS04"),
            ("554 5.7.1 [HM08] Message rejected due to local policy", "HM08"),
            ("421-4.7.28 Gmail has detected an unusual rate of mail - gsmtp", "4.7.28"),
            (
                "554 IP=192.0.2.1 - A problem occurred. (Ask your postmaster for help or to contact tosa@rx.t-online.de to clarify.) (BL)",
                "rx.t-online.de",
            ),
            (
                "421 mwinf5c42 ME Trop de connexions, veuillez verifier votre configuration. OFR004_104 [104]",
                "OFR004_104",
            ),
            (
                "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
                "zen.spamhaus.org",
            ),
            (
                "554-gmx.net (mxgmx104) Nemesis ESMTP Service not available 554-IP address is block listed. 554 For explanation visit https://postmaster.gmx.net/en/case?c=r0201",
                "postmaster.gmx.net",
            ),
        ] {
            assert_eq!(code_of(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn names_are_not_codes() {
        for text in [
            "550 5.1.1 <S3150@spamhaus.org>: User unknown",
            "451 4.3.0 zen.spamhaus.org: Temporary lookup failure",
            "450 4.2.0 <a@b>: Recipient address rejected: Greylisted by mx.TSS04.test",
            "550 No such user S31500 here",
        ] {
            assert_eq!(code_of(text), None, "{text}");
        }
    }

    #[test]
    fn every_row_says_what_to_do() {
        for known in all() {
            assert!(!known.meaning.is_empty() && known.meaning.ends_with('.'), "{known:?}");
            assert!(known.action.ends_with('.') && !known.signs.is_empty(), "{known:?}");
        }
        let mut names: Vec<_> = all().map(|known| (known.provider, known.code)).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "two rows for one code");
    }
}
