//! Phrases of mail systems, by subject. Letter case does not matter; a phrase begins and ends where a word does, unless it
//! ends in `*`.

mod connection;
mod local;
mod recipient;
mod sender;
mod tls;

pub(super) use super::condition::{By, When};
pub(super) use crate::evidence::signs::sign::Sign;

/// Phrases that say the same.
pub(super) struct Phrases {
    pub signs: &'static [Sign],
    pub by: By,
    pub when: When,
    pub texts: &'static [&'static str],
    /// Too short to count beside anything but a refusal by policy.
    pub is_weak: bool,
}

const fn row(signs: &'static [Sign], by: By, when: When, texts: &'static [&'static str]) -> Phrases {
    Phrases { signs, by, when, texts, is_weak: false }
}

/// Single words of replies.
const fn weak(signs: &'static [Sign], texts: &'static [&'static str]) -> Phrases {
    Phrases { signs, by: By::There, when: When::Any, texts, is_weak: true }
}

pub(super) static TABLES: [&[Phrases]; 5] =
    [&connection::PHRASES, &local::PHRASES, &recipient::PHRASES, &sender::PHRASES, &tls::PHRASES];
