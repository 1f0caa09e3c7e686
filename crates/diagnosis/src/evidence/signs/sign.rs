//! A sign, and sets of signs.

/// What was observed. The words are those of the side that makes the attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Sign {
    // How the connection, or the wait for it, ended.
    DnsFailed,
    HostNotFound,
    ConnectionRefused,
    TimedOut,
    Unreachable,
    ConnectionReset,
    ConnectionClosed,
    // STARTTLS.
    StartTlsRequiredHere,
    StartTlsRequiredThere,
    StartTlsNotOffered,
    StartTlsMasked,
    StartTlsRefused,
    /// Only a capture says so: a client may have other reasons to leave.
    LeftWithoutStartTls,
    // The handshake, as far as it came.
    HandshakeFailed,
    ServerHelloSeen,
    NoServerHello,
    AlertHandshakeFailure,
    AlertProtocolVersion,
    AlertInsufficientSecurity,
    AlertAboutCertificate,
    AlertEncrypted,
    /// It was this side that broke it off, by an alert.
    AlertHere,
    VersionNotSupportedHere,
    NoSharedCipherSaid,
    /// Schannel's word where cipher suites or versions do not meet.
    AlgorithmMismatch,
    ClientCertificateAsked,
    ClientCertificateSaid,
    WeakDh,
    TlsEstablished,
    // The server's certificate.
    CertificateExpired,
    CertificateNotYetValid,
    CertificateUntrusted,
    CertificateNameMismatch,
    CertificateWeak,
    // What replies say.
    Greylisted,
    TooManyConnections,
    TooFast,
    Overloaded,
    RecipientUnknown,
    MailboxFull,
    TooLarge,
    PolicyRejection,
    AuthenticationRequired,
    MailLoop,
    Expired,
    DaneFailed,
    MtaStsFailed,
    // What the sender makes of it.
    /// It tries no more, whatever the reply was.
    GivenUp,
}

/// A set of signs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Signs(u64);

impl Signs {
    pub fn has(self, sign: Sign) -> bool {
        self.0 & (1 << sign as u8) != 0
    }

    pub fn any(self, signs: &[Sign]) -> bool {
        signs.iter().any(|sign| self.has(*sign))
    }

    pub fn add(&mut self, sign: Sign) {
        self.0 |= 1 << sign as u8;
    }

    pub fn and(mut self, sign: Sign) -> Self {
        self.add(sign);
        self
    }

    pub(super) fn without(self, sign: Sign) -> Self {
        Self(self.0 & !(1 << sign as u8))
    }

    pub fn and_if(self, is_so: bool, sign: Sign) -> Self {
        if is_so { self.and(sign) } else { self }
    }

    /// True if nothing tells why.
    pub fn are_silent(self) -> bool {
        self.without(Sign::GivenUp) == Self::default()
    }

    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_each_sign() {
        assert!((Sign::MtaStsFailed as u8) < 64);
        let signs = Signs::default().and(Sign::DnsFailed).and(Sign::MtaStsFailed);
        assert!(signs.has(Sign::DnsFailed) && signs.has(Sign::MtaStsFailed) && !signs.has(Sign::TimedOut));
    }
}
