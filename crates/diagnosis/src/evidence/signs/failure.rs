//! Signs of a failure as this gateway's own sender has it.

use protocol::smtp::FailureKind;

use super::sign::{Sign, Signs};

impl Signs {
    pub fn of_kind(kind: &FailureKind) -> Self {
        let sign = match kind {
            FailureKind::HostNotFound => Sign::HostNotFound,
            FailureKind::DnsFailure { .. } => Sign::DnsFailed,
            FailureKind::NullMx => Sign::NullMx,
            FailureKind::Local { .. } => Sign::LocalConfiguration,
            FailureKind::Rejected | FailureKind::AddressNotAllowed { .. } => return Self::default(),
            FailureKind::BadReply { .. } => Sign::NotSmtp,
            FailureKind::ConnectionRefused => Sign::ConnectionRefused,
            FailureKind::NetworkUnreachable => Sign::Unreachable,
            FailureKind::ConnectionReset => Sign::ConnectionReset,
            FailureKind::ConnectionClosed | FailureKind::TlsBroken { .. } => Sign::ConnectionClosed,
            FailureKind::TimedOut { .. } => Sign::TimedOut,
            // Why, the handshake's facts say, which go with the attempt.
            FailureKind::HandshakeFailed { .. } => Sign::HandshakeFailed,
            FailureKind::StartTlsNotOffered => {
                return Self::default().and(Sign::StartTlsNotOffered).and(Sign::StartTlsRequiredHere);
            }
            FailureKind::StartTlsMasked => {
                return Self::default().and(Sign::StartTlsMasked).and(Sign::StartTlsRequiredHere);
            }
            FailureKind::ExtensionMissing { .. } => return Self::default(),
            FailureKind::TooLarge { .. } => Sign::TooLarge,
            FailureKind::MailLoop => Sign::MailLoop,
            FailureKind::Expired { cause } => {
                let before = cause.as_deref().map(Self::of_kind).unwrap_or_default();
                return before.and(Sign::Expired);
            }
        };
        Self::default().and(sign)
    }
}
