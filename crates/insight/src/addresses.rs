//! Mail addresses in files for others: replaces the part before the @ by a word with a number, one number per address.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
};

use serde_json::Value;

/// Replaces local parts: `alice@partner.test` becomes `withheld-1@partner.test` everywhere.
#[derive(Debug, Default)]
pub struct Addresses {
    /// True: nothing is replaced.
    shown: bool,
    /// True: equal addresses are not told apart from others.
    unnumbered: bool,
    /// Local parts in lower case, because servers also name mailboxes without their domains.
    known: HashSet<String>,
    numbers: RefCell<HashMap<String, usize>>,
}

/// Limit, so that foreign files cannot fill the memory.
const KNOWN_MAX: usize = 1_000_000;

/// Common words of replies and logs. As names of mailboxes they identify nobody.
const PLAIN_WORDS: [&str; 12] = [
    "address",
    "mail",
    "mailbox",
    "message",
    "postmaster",
    "recipient",
    "rejected",
    "root",
    "sender",
    "server",
    "unknown",
    "user",
];

impl Addresses {
    pub fn shown() -> Self {
        Self { shown: true, ..Self::default() }
    }

    /// `withheld@partner.test` for any address there.
    pub fn unnumbered() -> Self {
        Self { unnumbered: true, ..Self::default() }
    }

    /// Collects the addresses in a text.
    pub fn learn(&mut self, text: &str) {
        if self.shown {
            return;
        }
        for piece in pieces(text) {
            if let Piece::Address { local, .. } = piece
                && self.known.len() < KNOWN_MAX
            {
                let local = local.to_lowercase();
                if !PLAIN_WORDS.contains(&local.as_str()) {
                    self.known.insert(local);
                }
            }
        }
    }

    /// The text without local parts.
    pub fn private(&self, text: &str) -> String {
        if self.shown {
            return text.to_owned();
        }
        let mut safe = String::with_capacity(text.len());
        for piece in pieces(text) {
            match piece {
                Piece::Address { local, domain } => {
                    safe.push_str(&format!("{}@{domain}", self.substitute(local, domain)))
                }
                Piece::Word(word) if self.known.contains(&word.to_lowercase()) => safe.push_str("withheld"),
                Piece::Word(text) | Piece::Between(text) => safe.push_str(text),
            }
        }
        safe
    }

    /// The value with local parts replaced in every text.
    pub fn private_json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.private(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.private_json(value)).collect(),
            Value::Object(values) => values.into_iter().map(|(key, value)| (key, self.private_json(value))).collect(),
            other => other,
        }
    }

    /// A Message-ID without local parts. It looks like an address, but is one only if it begins with a known mailbox.
    pub fn private_id(&self, id: &str) -> String {
        let is_known =
            |piece| matches!(piece, Piece::Address { local, .. } if self.known.contains(&local.to_lowercase()));
        if pieces(id).any(is_known) { self.private(id) } else { id.to_owned() }
    }

    /// A sentence for people about the addresses.
    pub fn note(&self) -> &'static str {
        if self.shown {
            "Mail addresses are not changed."
        } else {
            "The part before the @ of mail addresses is replaced; equal numbers mean equal addresses."
        }
    }

    fn substitute(&self, local: &str, domain: &str) -> String {
        if self.unnumbered {
            return "withheld".to_owned();
        }
        let mut numbers = self.numbers.borrow_mut();
        let next = numbers.len() + 1;
        let number = numbers.entry(format!("{local}@{domain}").to_lowercase()).or_insert(next);
        format!("withheld-{number}")
    }
}

#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Address { local: &'a str, domain: &'a str },
    Word(&'a str),
    Between(&'a str),
}

/// Splits a text into addresses, words, and the rest between them.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let piece = first_piece(rest)?;
        let length = match piece {
            Piece::Address { local, domain } => local.len() + 1 + domain.len(),
            Piece::Word(text) | Piece::Between(text) => text.len(),
        };
        rest = &rest[length..];
        Some(piece)
    })
}

fn first_piece(text: &str) -> Option<Piece<'_>> {
    let first = text.chars().next()?;
    let length = match first {
        '"' => quoted(text).unwrap_or(0),
        // An apostrophe inside a name belongs to the name; before a name it is a quotation mark.
        '\'' => 0,
        _ => span(text, is_local),
    };
    let after = &text[length..];
    if let Some(after) = after.strip_prefix('@')
        && let domain = after[..span(after, is_domain)].trim_end_matches(['.', ':', '-'])
        && length > 0
        && !domain.is_empty()
    {
        return Some(Piece::Address { local: &text[..length], domain });
    }
    // A quotation that is not an address may contain one.
    Some(if length == 0 || first == '"' {
        Piece::Between(&text[..first.len_utf8()])
    } else {
        Piece::Word(&text[..length])
    })
}

fn span(text: &str, is_part: fn(char) -> bool) -> usize {
    text.find(|c| !is_part(c)).unwrap_or(text.len())
}

/// Longest quoted local part to look for, which limits the work for hostile texts.
const QUOTED_MAX: usize = 256;

/// A quoted local part (RFC 5321 section 4.1.2), if an @ follows it.
fn quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    let (end, _) = text.char_indices().take(QUOTED_MAX).skip(1).find(|(_, c)| {
        let is_end = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        is_end
    })?;
    text[end + 1..].starts_with('@').then_some(end + 1)
}

/// Characters of an unquoted local part, without those around addresses in logs: `{…}`.
fn is_local(c: char) -> bool {
    c.is_alphanumeric() || "!#$%&'*+-./=?^_`|~".contains(c)
}

/// Characters of host names and address literals.
fn is_domain(c: char) -> bool {
    c.is_alphanumeric() || "-._[]:".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_parts_are_replaced_by_numbers() {
        let addresses = Addresses::default();
        for (text, expected) in [
            ("RCPT TO:<alice@partner.test>", "RCPT TO:<withheld-1@partner.test>"),
            ("'ALICE@partner.test': bob.o'neil+x@b.test: no", "'withheld-1@partner.test': withheld-2@b.test: no"),
            ("MAIL FROM:<\"a b\\\"@c\"@d.test> SIZE=1", "MAIL FROM:<withheld-3@d.test> SIZE=1"),
            ("said \"no alice@partner.test here\"", "said \"no withheld-1@partner.test here\""),
            ("jürgen@müller.test, SRS0=x=y=z@[192.0.2.1]", "withheld-4@müller.test, withheld-5@[192.0.2.1]"),
            ("a lone @ or \"quotation\" stays", "a lone @ or \"quotation\" stays"),
        ] {
            assert_eq!(addresses.private(text), expected);
        }
    }

    #[test]
    fn a_mailbox_is_known_without_its_domain_too() {
        let mut addresses = Addresses::default();
        addresses.learn("<alice@partner.test>, user@partner.test");
        assert_eq!(addresses.private("550 Alice: no such user, alice2"), "550 withheld: no such user, alice2");
    }

    proptest::proptest! {
        #[test]
        fn nothing_else_changes(text in "([a-c.]|[<>\"'@ :\\\\]|\\PC){0,40}") {
            let of = |piece: Piece<'_>| match piece {
                Piece::Address { local, domain } => format!("{local}@{domain}"),
                Piece::Word(text) | Piece::Between(text) => text.to_owned(),
            };
            proptest::prop_assert_eq!(pieces(&text).map(of).collect::<String>(), text);
        }

        #[test]
        fn no_local_part_is_left(local in "[a-z0-9.+=_-]{6,20}", around in "[<>\"'( :;]") {
            let text = format!("450 {around}{local}@onprem.test{around} no such user");
            proptest::prop_assert!(!Addresses::default().private(&text).contains(&local));
        }
    }

    #[test]
    fn they_are_shown_if_that_is_wanted() {
        assert_eq!(Addresses::shown().private("<alice@partner.test>"), "<alice@partner.test>");
    }
}
