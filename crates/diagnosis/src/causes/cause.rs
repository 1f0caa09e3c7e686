//! A cause: the symptoms that show it, and what to do about it.

use protocol::smtp::Phase;

pub(super) use super::id::CauseId;
use super::remedy::Row;
pub(super) use crate::evidence::{Sign, Symptom};

/// A named reason why delivery fails.
#[derive(Clone, Copy, Debug)]
pub struct Cause {
    pub id: CauseId,
    /// Reads on after the destination's name.
    pub does: &'static str,
    /// How sure one such failure alone makes us, from 0 to 1.
    pub(crate) likelihood: fn(&Symptom) -> f64,
    pub(crate) remedies: &'static [Row],
    pub(crate) check: Check,
    /// Changes on this side that help where it is the cause. Empty: none that a probe could make.
    pub(crate) cured_by: &'static [Aspect],
}

/// What verifies a cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Check {
    Probe,
    Dns,
    Trace,
}

/// What a change touches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aspect {
    Address,
    PacketSize,
    ClientHello,
    ServerName,
    Certificate,
    KeyStrength,
    Cipher,
    Version,
    Encryption,
    /// TLS begins before the greeting.
    TlsAtOnce,
}

impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Symptom {
    pub(super) fn has(&self, sign: Sign) -> bool {
        self.signs.has(sign)
    }

    /// Subject and detail of the enhanced code (RFC 3463), whatever its class: a queue turns 4 into 5 in the end.
    pub(super) fn is_enhanced(&self, subject: u16, detail: u16) -> bool {
        self.enhanced.is_some_and(|code| (code.subject, code.detail) == (subject, detail))
    }

    /// Not rejected permanently, as far as is known.
    pub(super) fn is_transient(&self) -> bool {
        self.code.is_none_or(|code| code < 500)
    }

    pub(super) fn is_permanent(&self) -> bool {
        self.code.is_some_and(|code| code >= 500)
    }

    pub(super) fn is_in_handshake(&self) -> bool {
        self.phase == Some(Phase::Handshake) || (self.phase.is_none() && self.has(Sign::HandshakeFailed))
    }

    pub(super) fn has_alert(&self) -> bool {
        self.signs.any(&[
            Sign::AlertHandshakeFailure,
            Sign::AlertProtocolVersion,
            Sign::AlertInsufficientSecurity,
            Sign::AlertAboutCertificate,
            Sign::AlertEncrypted,
            Sign::AlertDecodeError,
        ])
    }
}
