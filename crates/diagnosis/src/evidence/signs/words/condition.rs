//! When a phrase counts: who says it, and in which phase.

use protocol::smtp::Phase;

use super::Speaker;

/// Who may say a phrase. A log repeats both sides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum By {
    Here,
    There,
    Either,
}

/// When a phrase holds. Where the phase is not known, all do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum When {
    Any,
    /// From STARTTLS to the end of the handshake, and the EHLO behind it, where a late alert comes.
    Tls,
    /// While TLS is set up, and only if that is known: the sides authenticate by certificates.
    Handshake,
    /// Not then.
    NoHandshake,
    /// In reply to a recipient or to the content, not to the sender.
    Recipient,
}

impl When {
    pub(super) fn holds(self, phase: Option<Phase>) -> bool {
        let is_handshake = phase == Some(Phase::Handshake);
        let Some(phase) = phase else { return self != Self::Handshake };
        match self {
            Self::Any => true,
            Self::Handshake => is_handshake,
            Self::NoHandshake => !is_handshake,
            Self::Tls => matches!(phase, Phase::Banner | Phase::Ehlo | Phase::StartTls | Phase::Handshake),
            Self::Recipient => matches!(phase, Phase::Rcpt | Phase::Data | Phase::EndOfData),
        }
    }
}

impl By {
    pub(super) fn holds(self, speaker: Speaker) -> bool {
        match speaker {
            Speaker::ThisSide => self != Self::There,
            Speaker::Destination => self != Self::Here,
            Speaker::Log => true,
        }
    }
}
