//! Words of foreign systems become signs here, and nowhere else.
//!
//! ```text
//!   Words: text, speaker, phase, codes
//!     ├── codes      the reply code and the enhanced code decide first (RFC 5321, RFC 5248)
//!     ├── providers  codes that large receivers document
//!     └── phrases    the rest, without names, each phrase for its speakers and phases
//! ```

mod codes;
mod condition;
mod names;
mod phase;
mod phrases;
mod table;

pub(super) use names::without_addresses;
use protocol::smtp::{EnhancedCode, Phase};

use super::{
    providers::provider_code,
    sign::{Sign, Signs},
};

/// What one system said of a failure.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    pub text: &'a str,
    pub speaker: Speaker,
    /// In which phase it was said; `None`: not known.
    pub phase: Option<Phase>,
    pub code: Option<u16>,
    pub enhanced: Option<EnhancedCode>,
}

/// Who said it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speaker {
    /// The server that makes the attempt: its own error, or its own line in a log.
    ThisSide,
    /// The text of an SMTP reply.
    Destination,
    /// The author of a log or a notice, who may repeat either of the two.
    Log,
}

impl<'a> Words<'a> {
    /// What this side says, without a code.
    pub fn here(text: &'a str, phase: Option<Phase>) -> Self {
        Self { text, speaker: Speaker::ThisSide, phase, code: None, enhanced: None }
    }
}

impl Signs {
    /// The signs in a line of the server that makes the attempt, or that receives: its own words, or this gateway's.
    pub fn of_text(text: &str) -> Self {
        Self::of_own_log(text).unwrap_or_else(|| Self::of_words(&Words::here(text, None)))
    }

    /// The signs in what a foreign system said.
    pub fn of_words(words: &Words<'_>) -> Self {
        let by_code = codes::told(words);
        let is_reply = words.speaker != Speaker::ThisSide;
        if let Some(known) = provider_code(words.text, words.code, words.enhanced).filter(|_| is_reply) {
            return Self::of(known.signs).with_general();
        }
        let said = phrases::signs(words);
        let said = match by_code.is_certain {
            true if words.speaker == Speaker::Destination => certain(by_code.signs, said),
            true => by_code.signs.union(said),
            // What words say is more particular.
            false if said == Self::default() => by_code.signs,
            false => said,
        };
        said.with_general()
    }

    /// A refusal because of what a message or its sender is, is a refusal by policy.
    ///
    /// Where this side failed on its own, it came to no connection: what it says of one is about a service of its own.
    fn with_general(self) -> Self {
        let said = if self.has(Sign::LocalConfiguration) { self.without_all(&CONNECTION) } else { self };
        said.and_if(said.any(&POLICIES), Sign::PolicyRejection)
    }
}

const CONNECTION: [Sign; 7] = [
    Sign::DnsFailed,
    Sign::HostNotFound,
    Sign::ConnectionRefused,
    Sign::TimedOut,
    Sign::Unreachable,
    Sign::ConnectionReset,
    Sign::ConnectionClosed,
];

/// Each is the particular reason of a rejection by policy.
const POLICIES: [Sign; 9] = [
    Sign::SenderRejected,
    Sign::HeloRejected,
    Sign::ReverseDnsRejected,
    Sign::SpfFailed,
    Sign::DkimFailed,
    Sign::DmarcFailed,
    Sign::AddressListed,
    Sign::SpamFound,
    Sign::VirusFound,
];

/// The code decides, except that it does not say whose address it is about.
fn certain(by_code: Signs, said: Signs) -> Signs {
    if by_code.has(Sign::RecipientUnknown) && said.has(Sign::SenderRejected) { said } else { by_code }
}
