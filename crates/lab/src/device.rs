//! The devices: what each is called, what it does, and the cause that an operator should be told.

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
}

impl Device {
    pub const ALL: [Self; 20] = [
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

    /// Id of the cause that makes mail wait before it, from the cause catalogue; `None` where mail goes through, or
    /// where nothing but the device itself knows why.
    pub fn cause(self) -> Option<&'static str> {
        self.about().2
    }

    fn about(self) -> (&'static str, &'static str, Option<&'static str>) {
        match self {
            Self::Healthy => {
                ("healthy", "takes mail, with TLS 1.2 and 1.3 and a certificate from the lab's authority", None)
            }
            Self::Rc4Only => ("rc4-only", "speaks TLS 1.0 with RC4 and nothing else", Some("no-shared-cipher")),
            Self::AesThenSilence => (
                "aes-then-silence",
                "agrees on TLS 1.0 with AES, and never says another word",
                Some("hang-after-handshake"),
            ),
            Self::HandshakeReset => {
                ("handshake-reset", "resets the connection when the TLS handshake begins", Some("handshake-reset"))
            }
            Self::HandshakeSwallowed => {
                ("handshake-swallowed", "takes the TLS handshake and never answers it", Some("handshake-timeout"))
            }
            Self::StartTlsMasked => (
                "starttls-masked",
                "overwrites STARTTLS with XXXXXXXA, as inspecting firewalls do",
                Some("starttls-masked"),
            ),
            Self::StartTlsNotOffered => {
                ("starttls-not-offered", "takes mail, and does not know STARTTLS", Some("starttls-not-offered"))
            }
            Self::StartTlsRefused => {
                ("starttls-refused", "offers STARTTLS and refuses it with 454", Some("starttls-refused"))
            }
            Self::Tls10Only => {
                ("tls10-only", "speaks TLS 1.0 with AES, and no later version", Some("no-shared-tls-version"))
            }
            Self::CertificateExpired => {
                ("certificate-expired", "shows a certificate that expired", Some("certificate-expired"))
            }
            Self::CertificateSelfSigned => {
                ("certificate-self-signed", "shows a self-signed certificate", Some("certificate-untrusted"))
            }
            Self::CertificateWrongName => {
                ("certificate-wrong-name", "shows a certificate for another host", Some("certificate-name-mismatch"))
            }
            Self::CertificateSha1 => {
                ("certificate-sha1", "shows a certificate signed with SHA-1", Some("certificate-weak"))
            }
            Self::ClientCertificateRequired => (
                "client-certificate-required",
                "demands a client certificate from the lab's authority",
                Some("client-certificate-required"),
            ),
            Self::WeakDh => ("weak-dh", "exchanges keys by Diffie-Hellman with 512 bits", Some("weak-dh")),
            Self::Greylisting => {
                ("greylisting", "defers each sender and recipient at first, with 451", Some("greylisted"))
            }
            Self::TooManyConnections => {
                ("too-many-connections", "answers 421 above a number of connections", Some("rate-limited"))
            }
            Self::SlowBanner => ("slow-banner", "says its banner late", Some("banner-timeout")),
            Self::DropAfterData => ("drop-after-data", "drops the connection after the message, without a reply", None),
            Self::LargeMessagesStall => (
                "large-messages-stall",
                "takes small messages, and falls silent within large ones",
                Some("size-dependent-stall"),
            ),
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
