//! The cause of a wait. Deliveries have the same cause if their last failures are equal except for numbers, ids and
//! addresses in the reply of the destination.

use protocol::smtp::{Failure, Reply};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Words of a reply that are compared.
const WORDS_MAX: usize = 40;

/// The cause of a wait.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cause {
    /// Such as `rcpt-451-4.7.1-3f9a`: phase, kind or reply code, and a hash of the text.
    pub id: String,
    /// The failure in words, without the parts that differ between deliveries.
    pub words: String,
}

/// Id for deliveries without an attempt.
pub(crate) const UNTRIED: &str = "untried";

impl Cause {
    pub(crate) fn of(failure: Option<&Failure>) -> Self {
        let Some(failure) = failure else {
            return Self { id: UNTRIED.to_owned(), words: "no attempt yet".to_owned() };
        };
        let alike = alike(failure);
        let reply = alike.reply.as_ref();
        let kind = match reply {
            Some(reply) => reply.code.to_string(),
            None => failure.kind.name().to_owned(),
        };
        let enhanced = reply.and_then(|reply| reply.enhanced).map(|code| format!("-{code}")).unwrap_or_default();
        let words = alike.summary();
        // A failure without its own text needs no hash.
        let is_plain = reply.is_none() && is_unit(failure);
        let tail = if is_plain { String::new() } else { format!("-{}", short_hash(&words)) };
        Self { id: format!("{}-{kind}{enhanced}{tail}", failure.phase), words }
    }
}

/// The failure without the parts that differ between deliveries.
fn alike(failure: &Failure) -> Failure {
    let reply = failure.reply.as_ref();
    Failure {
        destination: None,
        reply: reply.map(|reply| Reply { text: alike_words(&reply.text), ..reply.clone() }),
        ..failure.clone()
    }
}

fn alike_words(text: &str) -> String {
    let words = text.split_whitespace().take(WORDS_MAX);
    words.map(|word| if is_particular(word) { "…" } else { word }).collect::<Vec<_>>().join(" ")
}

/// True for numbers, ids, times and addresses.
fn is_particular(word: &str) -> bool {
    word.contains('@') || word.bytes().any(|byte| byte.is_ascii_digit())
}

/// True if the kind has no details.
fn is_unit(failure: &Failure) -> bool {
    matches!(serde_json::to_value(&failure.kind), Ok(Value::Object(keys)) if keys.len() <= 1)
}

/// Four digits are enough, because few causes share phase and code.
fn short_hash(words: &str) -> String {
    Sha256::digest(words).iter().take(2).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use protocol::smtp::{Destination, EnhancedCode, FailureKind, Phase};

    use super::*;

    fn rejected(text: &str) -> Failure {
        Failure::rejected(Phase::Rcpt, Reply::new(451, Some(EnhancedCode::new(4, 7, 1)), text))
    }

    #[test]
    fn numbers_ids_and_addresses_do_not_separate_causes() {
        let first = Cause::of(Some(&rejected("<a@x.test>: Greylisted for 300 seconds (id 1aB2)")));
        let host = Destination { host: "mx2.test".to_owned(), port: 25, address: None };
        let second = Cause::of(Some(&rejected("<bob@x.test>: Greylisted for 12 seconds (id Zz9)").at(&host)));
        assert_eq!(first, second);
        assert!(first.id.starts_with("rcpt-451-4.7.1-"), "{}", first.id);
        assert_eq!(first.words, "rejected while sending RCPT TO: 451 4.7.1 … Greylisted for … seconds (id …");
        assert_ne!(first.id, Cause::of(Some(&rejected("Mailbox busy"))).id);
    }

    #[test]
    fn kinds_without_details_need_no_more() {
        let refused = Failure::new(Phase::Connect, FailureKind::ConnectionRefused);
        assert_eq!(Cause::of(Some(&refused)).id, "connect-connection-refused");
        let failed =
            |detail: &str| Failure::new(Phase::Handshake, FailureKind::HandshakeFailed { detail: detail.to_owned() });
        assert_ne!(Cause::of(Some(&failed("alert 40"))), Cause::of(Some(&failed("alert 70"))));
        assert_eq!(Cause::of(None).id, "untried");
    }
}
