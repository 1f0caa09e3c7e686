//! Signs and phases in the words of mail systems: Exchange, Postfix, Exim, Sendmail, and this gateway.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use protocol::smtp::Phase;

use super::{
    handshake::{DH_BITS_MIN, is_about_certificate, signs_of_own_alert},
    sign::{Sign, Signs},
};

impl Signs {
    /// What mail systems say of a failure, in replies and logs: Exchange, Postfix, Exim, Sendmail, and this gateway.
    pub fn of_text(text: &str) -> Self {
        let mut signs = Self::default();
        for found in PHRASES.1.find_overlapping_iter(text) {
            signs.add(PHRASES.0[found.pattern().as_usize()]);
        }
        signs.of_handshake_in_words(text)
    }

    /// Where a text has a failed handshake's facts in this gateway's words, as its logs and traces do, it tells as much as
    /// the facts themselves ([`Self::of_handshake`]).
    fn of_handshake_in_words(mut self, text: &str) -> Self {
        if !text.contains("offered TLS ") && !text.contains("offered up to ") {
            return self;
        }
        if text.contains("server sent an encrypted alert") {
            self.add(Sign::AlertEncrypted);
        }
        let Some((_, chosen)) = text.split_once("server chose ") else { return self.and(Sign::NoServerHello) };
        let prime = chosen.split_once("key exchange DHE ").and_then(|(_, bits)| bits.split(' ').next()?.parse().ok());
        if prime.is_some_and(|bits: u32| bits < DH_BITS_MIN) {
            self.add(Sign::WeakDh);
        }
        // A fault that nobody took offence at is told as well.
        let alert =
            text.split_once("client sent alert ").and_then(|(_, number)| number.split(' ').next()?.parse().ok());
        if !alert.is_some_and(is_about_certificate) && !text.contains("verify failed") {
            self = CERTIFICATE_FAULTS.into_iter().fold(self, Self::without);
        }
        if alert.is_some() || text.contains("client sent an encrypted alert") {
            self = self.union(signs_of_own_alert(alert));
        }
        self.and(Sign::ServerHelloSeen)
    }

    /// Where a conversation stood, for sources that tell it in words of their own.
    pub fn phase_of_text(text: &str) -> Option<Phase> {
        let ours = Phase::ALL.into_iter().find(|phase| text.contains(phase.doing()));
        ours.or_else(|| PHASES.into_iter().find(|(words, _)| text.contains(words)).map(|(_, phase)| phase))
    }
}

/// Phases in the words of Postfix and Exim.
const PHASES: [(&str, Phase); 18] = [
    ("receiving the initial server greeting", Phase::Banner),
    ("performing the EHLO handshake", Phase::Ehlo),
    ("performing the HELO handshake", Phase::Ehlo),
    ("Cannot start TLS", Phase::Handshake),
    ("TLS session:", Phase::Handshake),
    ("(in reply to RCPT TO", Phase::Rcpt),
    ("(in reply to MAIL FROM", Phase::Mail),
    ("sending RCPT TO", Phase::Rcpt),
    ("sending end of data", Phase::EndOfData),
    ("sending message body", Phase::Data),
    ("after initial connection", Phase::Banner),
    ("in response to initial connection", Phase::Banner),
    ("in response to EHLO", Phase::Ehlo),
    ("after MAIL FROM", Phase::Mail),
    ("after pipelined MAIL FROM", Phase::Mail),
    ("after RCPT TO", Phase::Rcpt),
    ("after end of data", Phase::EndOfData),
    ("in response to end of data", Phase::EndOfData),
];

const CERTIFICATE_FAULTS: [Sign; 5] = [
    Sign::CertificateExpired,
    Sign::CertificateNotYetValid,
    Sign::CertificateUntrusted,
    Sign::CertificateNameMismatch,
    Sign::CertificateWeak,
];

/// Phrases as servers and logs have them; letter case does not matter.
const TEXTS: [(Sign, &[&str]); 39] = [
    (
        Sign::DnsFailed,
        &[
            "dns query failed",
            "dns failure",
            "name service error",
            "host lookup did not complete",
            "type=mx: host not found, try again",
        ],
    ),
    (
        Sign::HostNotFound,
        &[
            "host not found",
            "nonexistent domain",
            "nonexistentdomain",
            "infonorecords",
            "infodomainnonexistent",
            "all relevant mx records point to non-existent hosts",
            "unrouteable address",
        ],
    ),
    (
        Sign::ConnectionRefused,
        &["connection refused", "socketconnectionrefused", "error code 10061", "error code: 10061"],
    ),
    (
        Sign::TimedOut,
        &["timed out", "no answer within", "timedout", "error code 10060", "error code: 10060", "fell silent"],
    ),
    (Sign::Unreachable, &["unreachable", "no route to host", "error code 10051", "error code: 10051"]),
    (
        Sign::ConnectionReset,
        &[
            // GnuTLS, of a read that failed.
            "error in the pull function",
            "connection reset",
            "connectionreset",
            "reset the connection",
            "error code 10054",
            "error code: 10054",
            "errno=104",
        ],
    ),
    (
        Sign::ConnectionClosed,
        &[
            "connection closed",
            "closed connection",
            "lost connection",
            "dropped connection",
            "disconnected abruptly",
            "closed abruptly",
            "server closed",
            "unexpected eof",
            "connection dropped",
            "socketerror",
            "peer did not send any tls",
        ],
    ),
    (
        Sign::StartTlsRequiredThere,
        &[
            "must issue a starttls",
            "starttls is required to send mail",
            "requires tls",
            "tls required",
            "encryption required",
            "starttls first",
        ],
    ),
    (
        Sign::StartTlsRequiredHere,
        &[
            "starttls is required and not offered",
            "tls is required, but was not offered",
            "a tls session is required, but the server did not offer",
        ],
    ),
    (
        Sign::StartTlsNotOffered,
        &[
            "starttls is required and not offered",
            "tls is required, but was not offered",
            "did not offer tls",
            "starttls-not-supported",
            "starttls not offered",
            "a tls session is required, but the server did not offer",
        ],
    ),
    (Sign::StartTlsMasked, &["xxxxxxxa"]),
    (Sign::LeftWithoutStartTls, &["the client left where no starttls was offered"]),
    (
        Sign::StartTlsRefused,
        &[
            "tls not available due to",
            "tls currently unavailable",
            "refused starttls",
            "an attempt to start tls failed",
        ],
    ),
    (
        Sign::HandshakeFailed,
        &[
            "tls negotiation failed",
            "handshake failed",
            "cannot start tls",
            "ssl_connect error",
            "(gnutls_handshake)",
            "(ssl_connect)",
            "tls error on connection",
            "handshake failure",
            "failed to establish appropriate tls channel",
        ],
    ),
    // The last of each is Exim's, of an alert by the name that GnuTLS gives it.
    (
        Sign::AlertHandshakeFailure,
        &[
            "alert handshake failure",
            "handshake_failure",
            "alert number 40",
            "alert 40",
            "(gnutls_handshake): handshake failed",
        ],
    ),
    (
        Sign::AlertProtocolVersion,
        &[
            "alert protocol version",
            "protocol_version",
            "alert number 70",
            "alert 70",
            "(gnutls_handshake): error in protocol version",
        ],
    ),
    (Sign::AlertInsufficientSecurity, &["insufficient_security", "alert insufficient security", "alert number 71"]),
    (
        Sign::VersionNotSupportedHere,
        &["unsupported protocol", "wrong version number", "version too low", "unsupported version packet"],
    ),
    (
        Sign::NoSharedCipherSaid,
        &["no shared cipher", "no ciphers available", "no supported cipher suites", "no cipher match"],
    ),
    (
        Sign::ClientCertificateSaid,
        &["peer did not return a certificate", "certificate_required", "certificate required", "client certificate"],
    ),
    (Sign::WeakDh, &["dh key too small", "prime of the server is not acceptable", "diffie-hellman prime"]),
    (
        Sign::CertificateExpired,
        &[
            "certificate has expired",
            "certificateexpired",
            "certificate-expired",
            "certificate is expired",
            "certificate expired",
        ],
    ),
    (
        Sign::CertificateUntrusted,
        &[
            "untrustedroot",
            "is self-signed",
            "self-signed certificate",
            "self signed certificate",
            "not from a trusted issuer",
            "certificate-not-trusted",
            "unable to get local issuer",
            "unable to verify",
            "untrusted issuer",
        ],
    ),
    (
        Sign::CertificateNameMismatch,
        &[
            "subjectmismatch",
            "certificate-host-mismatch",
            "hostname mismatch",
            "the certificate is for another name",
            "is for another name",
            "does not match",
            "certificate name mismatch",
        ],
    ),
    (
        Sign::CertificateWeak,
        &["the certificate is weak", "ca md too weak", "ee key too small", "ca signature digest algorithm too weak"],
    ),
    (
        Sign::Greylisted,
        &["greylist", "graylist", "grey-list", "gray-list", "postgrey", "try again in", "first time sender"],
    ),
    (
        Sign::TooManyConnections,
        &[
            "too many connections",
            "too many concurrent",
            "connection limit",
            "maximum number of connections",
            "too many sessions",
            "concurrency limit",
            "connections from your",
        ],
    ),
    (
        Sign::TooFast,
        &[
            "rate limit",
            "rate-limit",
            "ratelimit",
            "too many messages",
            "too fast",
            "throttl",
            "sending rate",
            "too much mail",
        ],
    ),
    (
        Sign::Overloaded,
        &[
            "insufficient system resources",
            "insufficient system storage",
            "server busy",
            "service not active",
            "service not available",
            "system resources",
            "load too high",
            "out of memory",
            "resources temporarily unavailable",
            "server too busy",
            "try again later, load",
        ],
    ),
    (
        Sign::RecipientUnknown,
        &[
            "user unknown",
            "unknown user",
            "no such user",
            "no such person",
            "recipientnotfound",
            "recipient not found",
            "user not found",
            "mailbox not found",
            "does not exist",
            "unknown recipient",
            "no mailbox here",
            "mailbox unavailable",
            "recipient address rejected: access denied",
            "recipient unknown",
            "no such recipient",
            "invalid recipient",
        ],
    ),
    (
        Sign::MailboxFull,
        &[
            "mailbox full",
            "mailbox is full",
            "quota exceeded",
            "over quota",
            "overquota",
            "quotaexceeded",
            "storage limit",
        ],
    ),
    (
        Sign::TooLarge,
        &[
            "message size exceeds",
            "message too large",
            "size limit",
            "exceeds fixed maximum",
            "bytes are more than the",
        ],
    ),
    (
        Sign::PolicyRejection,
        &[
            "spam",
            "blocked using",
            "blacklist",
            "blocklist",
            "denylist",
            "banned sending ip",
            "mismatches client ip",
            "poor reputation",
            "policy reject",
            "rejected by policy",
            "content rejected",
            "access denied",
            "spf",
            "dmarc",
        ],
    ),
    (
        Sign::AuthenticationRequired,
        &[
            "authentication required",
            "authentication unsuccessful",
            "cannot achieve exchange server authentication",
            "client was not authenticated",
            "relay access denied",
            "relaying denied",
            "unable to relay",
            "not permitted to relay",
        ],
    ),
    (Sign::MailLoop, &["hop count exceeded", "too many hops", "mail loop", "loops back to myself"]),
    (Sign::AlgorithmMismatch, &["algorithmmismatch", "do not possess a common algorithm"]),
    (
        Sign::Expired,
        &[
            "message expired",
            "queue.expired",
            "retry timeout exceeded",
            "expired in the queue",
            "retry time not reached for any host after a long failure period",
        ],
    ),
    (Sign::DaneFailed, &["tlsa-invalid", "dnssec-invalid", "failed dane validation", "dane", "tlsa record"]),
    (Sign::MtaStsFailed, &["mta-sts validation", "mta-sts policy", "sts-policy", "sts-webpki"]),
];

static PHRASES: LazyLock<(Vec<Sign>, AhoCorasick)> = LazyLock::new(|| {
    let all = || TEXTS.iter().flat_map(|(sign, texts)| texts.iter().map(move |text| (*sign, *text)));
    let searcher = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .build(all().map(|(_, text)| text));
    // The phrases are few and fixed: a test has built them.
    let searcher = searcher.unwrap_or_else(|error| unreachable!("{error}"));
    (all().map(|(sign, _)| sign).collect(), searcher)
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_real_systems_are_understood() {
        use Sign::*;
        let table: &[(&str, &[Sign])] = &[
            ("450 4.4.316 Connection refused [Message=Socket error code 10061]", &[ConnectionRefused]),
            ("451 4.4.0 TLS negotiation failed with error SocketError", &[ConnectionClosed, HandshakeFailed]),
            (
                "SMTPSEND.SuspiciousRemoteServerError; remote server disconnected abruptly; retry will be delayed",
                &[ConnectionClosed],
            ),
            ("451 4.7.1 Greylisted, please try again later", &[Greylisted]),
            ("421 4.7.0 mx Too many connections, try again later", &[TooManyConnections]),
            ("Cannot start TLS: handshake failure", &[HandshakeFailed]),
            ("TLS session: (gnutls_handshake): A TLS fatal alert has been received.", &[HandshakeFailed]),
            ("550 5.1.1 <a@b>: Recipient address rejected: User unknown in local recipient table", &[RecipientUnknown]),
            ("Recipient Not Found MSEXCH:IMC:A:B:C", &[RecipientUnknown]),
            ("550 domain [example.com] mismatches client ip 192.0.2.225.", &[PolicyRejection]),
            ("host mx[192.0.2.1] said: 452 4.2.2 Mailbox full (in reply to RCPT TO command)", &[MailboxFull]),
            ("250 2.0.0 Ok: queued as 12345", &[]),
        ];
        for (text, expected) in table {
            let expected = expected.iter().fold(Signs::default(), |signs, sign| signs.and(*sign));
            assert_eq!(Signs::of_text(text), expected, "{text}");
        }
    }
}
