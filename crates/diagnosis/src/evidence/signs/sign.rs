//! A sign, and sets of signs.

/// What was observed. The words are those of the side that makes the attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Sign {
    // How the connection, or the wait for it, ended.
    DnsFailed,
    HostNotFound,
    /// The sender found no route, for whatever reason.
    Unrouteable,
    ConnectionRefused,
    TimedOut,
    Unreachable,
    ConnectionReset,
    ConnectionClosed,
    /// The words say that it ended at the end of the content, and leave open whether the final dot went out.
    FinalDotUnsure,
    /// An answer was not SMTP.
    NotSmtp,
    /// A device on the path reported that a packet is too large for it.
    PacketTooBig,
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
    /// The server chose a cipher suite that the client had not offered.
    CipherNotOffered,
    /// Alert 50: a message that could not be decoded.
    AlertDecodeError,
    /// One side began TLS where the other expected plain SMTP, or the other way round.
    NotTls,
    /// Schannel's word where cipher suites or versions do not meet.
    AlgorithmMismatch,
    ClientCertificateAsked,
    ClientCertificateSaid,
    /// The destination says that it could not verify the client's certificate.
    ClientCertificateRefused,
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
    /// The message fills many packets, as far as its size is known.
    LargeMessage,
    PolicyRejection,
    AuthenticationRequired,
    /// A login was tried, and refused.
    LoginRefused,
    /// The destination does not relay for this sender: a login may help, or the recipient's domain is not its own.
    RelayDenied,
    MailLoop,
    Expired,
    DaneFailed,
    MtaStsFailed,
    /// RFC 7505, and replies that the domain accepts no mail.
    NullMx,
    /// The sender's address or domain is refused, not the recipient's.
    SenderRejected,
    /// The name in HELO or EHLO is refused.
    HeloRejected,
    /// The connecting address has no name, or one that does not fit.
    ReverseDnsRejected,
    SpfFailed,
    DkimFailed,
    DmarcFailed,
    /// The connecting address is on a blocking list, or has a poor reputation.
    AddressListed,
    SpamFound,
    VirusFound,
    /// The destination failed on its own: a lookup, a proxy, a filter or a database behind it.
    InternalFailure,
    /// Commands that were sent together were answered as if they had come one by one.
    PipeliningBroken,
    // The sender's own faults.
    /// Its software or configuration failed, before the destination could.
    LocalConfiguration,
    /// A process of its own was killed by a signal.
    LocalCrash,
    /// Its own certificate or key cannot be used.
    LocalTlsCredentials,
    /// Its own resolver does not answer, for whatever name.
    LocalResolver,
    // What the sender makes of it.
    /// It tries no more, whatever the reply was.
    GivenUp,
    /// It tries again, though the reply was final.
    TriedAgain,
}

/// A set of signs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Signs(u128);

impl Signs {
    pub fn of(signs: &[Sign]) -> Self {
        signs.iter().fold(Self::default(), |set, sign| set.and(*sign))
    }

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

    pub(crate) fn without(self, sign: Sign) -> Self {
        Self(self.0 & !(1 << sign as u8))
    }

    pub(super) fn without_all(self, signs: &[Sign]) -> Self {
        signs.iter().fold(self, |set, sign| set.without(*sign))
    }

    pub fn and_if(self, is_so: bool, sign: Sign) -> Self {
        if is_so { self.and(sign) } else { self }
    }

    /// True if nothing tells why.
    pub fn are_silent(self) -> bool {
        self.without_all(&[Sign::GivenUp, Sign::TriedAgain]) == Self::default()
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
        assert!((Sign::TriedAgain as u8) < 128);
        let signs = Signs::default().and(Sign::DnsFailed).and(Sign::MtaStsFailed);
        assert!(signs.has(Sign::DnsFailed) && signs.has(Sign::MtaStsFailed) && !signs.has(Sign::TimedOut));
    }
}
