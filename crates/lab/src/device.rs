//! The devices: their names, what they do, and the cause that Gatepost should report.

/// A kind of mail server, healthy or faulty.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Device {
    Healthy,
    Rc4Only,
    AesThenSilence,
    HandshakeReset,
    HandshakeSwallowed,
    StartTlsMasked,
    StartTlsNotOffered,
    StartTlsRefused,
    Tls10Only,
    CertificateExpired,
    CertificateSelfSigned,
    CertificateWrongName,
    CertificateSha1,
    ClientCertificateRequired,
    WeakDh,
    Greylisting,
    TooManyConnections,
    SlowBanner,
    DropAfterData,
    LargeMessagesStall,
    DropBeforeBanner,
    StartTlsDemanded,
    AuthenticationDemanded,
    Overloaded,
    BlockList,
    RecipientUnknown,
    MailboxFull,
    MessageTooLarge,
    MailLoop,
    InternalFailure,
    DomainTakesNoMail,
    HangAfterData,
    PipeliningBroken,
    ImplicitTls,
    TicketsRefused,
}

impl Device {
    pub const ALL: [Self; 35] = [
        Self::Healthy,
        Self::Rc4Only,
        Self::AesThenSilence,
        Self::HandshakeReset,
        Self::HandshakeSwallowed,
        Self::StartTlsMasked,
        Self::StartTlsNotOffered,
        Self::StartTlsRefused,
        Self::Tls10Only,
        Self::CertificateExpired,
        Self::CertificateSelfSigned,
        Self::CertificateWrongName,
        Self::CertificateSha1,
        Self::ClientCertificateRequired,
        Self::WeakDh,
        Self::Greylisting,
        Self::TooManyConnections,
        Self::SlowBanner,
        Self::DropAfterData,
        Self::LargeMessagesStall,
        Self::DropBeforeBanner,
        Self::StartTlsDemanded,
        Self::AuthenticationDemanded,
        Self::Overloaded,
        Self::BlockList,
        Self::RecipientUnknown,
        Self::MailboxFull,
        Self::MessageTooLarge,
        Self::MailLoop,
        Self::InternalFailure,
        Self::DomainTakesNoMail,
        Self::HangAfterData,
        Self::PipeliningBroken,
        Self::ImplicitTls,
        Self::TicketsRefused,
    ];

    pub fn name(self) -> &'static str {
        self.about().0
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|device| device.name() == name)
    }

    /// What it does, in one line for people.
    pub fn does(self) -> &'static str {
        self.about().1
    }

    /// Id of the cause in the cause catalogue that makes mail wait for it. `None` if mail is delivered, or if only the
    /// device itself shows the reason.
    pub fn cause(self) -> Option<&'static str> {
        self.about().2
    }

    fn about(self) -> (&'static str, &'static str, Option<&'static str>) {
        match self {
            Self::Healthy => {
                ("healthy", "accepts mail, with TLS 1.2 and 1.3 and a certificate from the lab's authority", None)
            }
            Self::Rc4Only => ("rc4-only", "supports only TLS 1.0 with RC4", Some("no-shared-cipher")),
            Self::AesThenSilence => (
                "aes-then-silence",
                "completes a handshake with TLS 1.0 and AES, then never answers",
                Some("hang-after-handshake"),
            ),
            Self::HandshakeReset => {
                ("handshake-reset", "resets the connection when the TLS handshake begins", Some("handshake-reset"))
            }
            Self::HandshakeSwallowed => {
                ("handshake-swallowed", "accepts the TLS handshake but never answers it", Some("handshake-timeout"))
            }
            Self::StartTlsMasked => (
                "starttls-masked",
                "overwrites STARTTLS with XXXXXXXA, as firewalls that inspect SMTP do",
                Some("starttls-masked"),
            ),
            Self::StartTlsNotOffered => {
                ("starttls-not-offered", "accepts mail, but does not offer STARTTLS", Some("starttls-not-offered"))
            }
            Self::StartTlsRefused => {
                ("starttls-refused", "offers STARTTLS but rejects it with 454", Some("starttls-refused"))
            }
            Self::Tls10Only => {
                ("tls10-only", "supports TLS 1.0 with AES, but no newer version", Some("no-shared-tls-version"))
            }
            Self::CertificateExpired => {
                ("certificate-expired", "has an expired certificate", Some("certificate-expired"))
            }
            Self::CertificateSelfSigned => {
                ("certificate-self-signed", "has a self-signed certificate", Some("certificate-untrusted"))
            }
            Self::CertificateWrongName => {
                ("certificate-wrong-name", "has a certificate for another host", Some("certificate-name-mismatch"))
            }
            Self::CertificateSha1 => {
                ("certificate-sha1", "has a certificate signed with SHA-1", Some("certificate-weak"))
            }
            Self::ClientCertificateRequired => (
                "client-certificate-required",
                "requires a client certificate from the lab's authority",
                Some("client-certificate-required"),
            ),
            Self::WeakDh => ("weak-dh", "uses Diffie-Hellman with 512 bits", Some("weak-dh")),
            Self::Greylisting => ("greylisting", "defers each new sender and recipient with 451", Some("greylisted")),
            Self::TooManyConnections => {
                ("too-many-connections", "answers 421 when it has too many connections", Some("rate-limited"))
            }
            Self::SlowBanner => ("slow-banner", "sends its greeting late", Some("banner-timeout")),
            Self::DropAfterData => (
                "drop-after-data",
                "closes the connection after the message without a reply",
                Some("no-reply-to-message"),
            ),
            Self::LargeMessagesStall => (
                "large-messages-stall",
                "accepts small messages, but does not answer large ones",
                Some("size-dependent-stall"),
            ),
            Self::DropBeforeBanner => (
                "drop-before-banner",
                "closes connections before the greeting",
                Some("connection-dropped-before-banner"),
            ),
            Self::StartTlsDemanded => {
                ("starttls-demanded", "rejects mail in plaintext with 530", Some("starttls-required"))
            }
            Self::AuthenticationDemanded => (
                "authentication-demanded",
                "rejects mail without authentication with 530",
                Some("authentication-required"),
            ),
            Self::Overloaded => ("overloaded", "has no free space and answers 452", Some("destination-overloaded")),
            Self::BlockList => {
                ("block-list", "rejects this client because of a block list", Some("rejected-by-policy"))
            }
            Self::RecipientUnknown => {
                ("recipient-unknown", "rejects all recipients as unknown", Some("recipient-unknown"))
            }
            Self::MailboxFull => ("mailbox-full", "defers mail because the mailbox is full", Some("mailbox-full")),
            Self::MessageTooLarge => {
                ("message-too-large", "rejects messages larger than 1,000 bytes", Some("message-too-large"))
            }
            Self::MailLoop => ("mail-loop", "rejects each message because of a mail loop", Some("mail-loop")),
            Self::InternalFailure => (
                "internal-failure",
                "defers mail because a lookup behind it fails",
                Some("destination-internal-failure"),
            ),
            Self::DomainTakesNoMail => (
                "domain-takes-no-mail",
                "rejects recipients because their domain accepts no mail",
                Some("domain-takes-no-mail"),
            ),
            Self::HangAfterData => {
                ("hang-after-data", "never replies to the end of a message", Some("no-reply-to-message"))
            }
            Self::PipeliningBroken => (
                "pipelining-broken",
                "announces PIPELINING but rejects commands that arrive together",
                Some("pipelining-broken"),
            ),
            Self::ImplicitTls => {
                ("implicit-tls", "begins TLS at once, as servers on port 465 do", Some("implicit-tls-mismatch"))
            }
            Self::TicketsRefused => (
                "tickets-refused",
                "fails TLS handshakes that resume an earlier session",
                Some("tls-session-ticket-interop"),
            ),
        }
    }

    /// True if it refuses mail permanently.
    pub fn refuses_for_good(self) -> bool {
        let refusals = ["MAIL", "RCPT", "."].iter().filter_map(|verb| self.refusal(verb, false));
        self == Self::PipeliningBroken || refusals.into_iter().any(|reply| reply.starts_with('5'))
    }

    /// The reply with which it refuses a command.
    pub(crate) fn refusal(self, verb: &str, is_encrypted: bool) -> Option<&'static str> {
        match (self, verb) {
            (Self::StartTlsDemanded, "MAIL") if !is_encrypted => Some("530 5.7.0 Must issue a STARTTLS command first"),
            (Self::AuthenticationDemanded, "MAIL") => Some("530 5.7.0 Authentication required"),
            (Self::Overloaded, "MAIL") => Some("452 4.3.1 Insufficient system storage"),
            (Self::MessageTooLarge, "MAIL") => Some("552 5.3.4 Message size exceeds fixed maximum message size"),
            (Self::BlockList, "RCPT") => {
                Some("554 5.7.1 Service unavailable; client host blocked using zen.example, see https://zen.example/q")
            }
            (Self::RecipientUnknown, "RCPT") => Some("550 5.1.1 User unknown in local recipient table"),
            (Self::MailboxFull, "RCPT") => Some("452 4.2.2 The mailbox is over its quota"),
            (Self::InternalFailure, "RCPT") => Some("451 4.3.0 Temporary lookup failure"),
            (Self::DomainTakesNoMail, "RCPT") => Some("556 5.1.10 Recipient address has null MX"),
            (Self::MailLoop, ".") => Some("554 5.4.6 Too many hops: this message is in a mail loop"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_read_back() {
        for device in Device::ALL {
            assert_eq!(Device::from_name(device.name()), Some(device));
            assert!(!device.does().is_empty());
        }
        assert_eq!(Device::from_name("rc4"), None);
    }
}
