//! Words that belong to another cause than they seem to, each beside its neighbours.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use gatepost_diagnosis::{Evidence, Sign, Signs, explain, sources::trace_rows};
use trace::{
    ForeignFormat, exim_log,
    message_trace::{Column, CustomData, MESSAGE_TRACE, Row, TRACKING_LOG},
    postfix_log,
};

static POSTFIX: &ForeignFormat = &postfix_log::FORMAT;
static SENDMAIL: &ForeignFormat = &trace::sendmail_log::FORMAT;
static EXIM: &ForeignFormat = &exim_log::FORMAT;
static EXCHANGE: &ForeignFormat = &TRACKING_LOG;
static ONLINE: &ForeignFormat = &MESSAGE_TRACE;

fn row(status: &str) -> Row {
    let mut row = Row::default();
    row.set(Column::EventId, "DEFER");
    row.set(Column::RecipientAddress, "user@onprem.test");
    row.set(Column::MessageId, "<1@a>");
    row.set(Column::RecipientStatus, status);
    row
}

/// The signs that a row of a log comes down to.
fn signs(format: &'static ForeignFormat, row: &Row) -> Signs {
    let mut evidence = Evidence::keeping(1);
    trace_rows::add_row(&mut evidence, format, row, "a.log", 1);
    let explained = explain(&evidence);
    explained[0].failing()[0].failure.as_ref().unwrap().signs
}

fn led(error: &str) -> String {
    format!("[{{LRT=8/19/2025 7:05:58 AM}};{{LED={error}}};{{FQDN=mail.onprem.test}};{{IP=192.0.2.1}}]")
}

fn primary(error: &str) -> String {
    led(&format!(
        "451 4.4.0 Primary target IP address responded with: \"{error}\" Attempted failover to alternate host"
    ))
}

fn online(message: &str) -> String {
    led(&format!(
        "450 4.4.317 Cannot connect to remote server [Message={message}] [LastAttemptedServerName=spf.onprem.test]"
    ))
}

/// Postfix's line about a reply.
fn said(reply: &str, to: &str) -> String {
    format!("4.0.0 host dane.onprem.test[192.0.2.1] said: {reply} (in reply to {to} command)")
}

/// A format, a status, the signs that it must have, and signs that it must not have.
type Case<'a> = (&'static ForeignFormat, String, &'a [Sign], &'a [Sign]);

fn starttls() -> Vec<Case<'static>> {
    use Sign::*;
    vec![
        // The sender demands TLS, and it was not offered; or the destination demands it.
        (
            ONLINE,
            online("451 5.7.3 STARTTLS is required to send mail"),
            &[StartTlsNotOffered, StartTlsRequiredHere],
            &[StartTlsRequiredThere],
        ),
        (
            POSTFIX,
            said("451 5.7.3 STARTTLS is required to send mail", "MAIL FROM"),
            &[StartTlsRequiredThere],
            &[StartTlsNotOffered, StartTlsRequiredHere],
        ),
        (
            POSTFIX,
            said("530 5.7.0 Must issue a STARTTLS command first", "MAIL FROM"),
            &[StartTlsRequiredThere],
            &[AuthenticationRequired],
        ),
        (POSTFIX, said("530 5.7.0 Authentication required", "MAIL FROM"), &[AuthenticationRequired], &[StartTlsRequiredThere]),
        (
            POSTFIX,
            said("454 4.7.0 Failed to establish appropriate TLS channel: Access Denied", "RCPT TO"),
            &[StartTlsRequiredThere],
            &[PolicyRejection, HandshakeFailed],
        ),
        (POSTFIX, said("454 4.7.0 TLS not available due to local problem", "STARTTLS"), &[StartTlsRefused], &[StartTlsRequiredThere]),
        (
            POSTFIX,
            "4.7.4 TLS is required, but was not offered by host dane.onprem.test[192.0.2.1]".to_owned(),
            &[StartTlsNotOffered, StartTlsRequiredHere],
            &[StartTlsRequiredThere],
        ),
        // The connection was open.
        (EXCHANGE, primary("421 4.4.2 Connection dropped due to TimedOut."), &[ConnectionClosed], &[TimedOut]),
        (EXCHANGE, led("421 4.4.1 Connection timed out"), &[TimedOut], &[ConnectionClosed]),
        (EXCHANGE, led("450 4.4.315 Connection timed out [Message=Socket error code 10060]"), &[TimedOut], &[]),
        // It is not TLS at all.
        (
            POSTFIX,
            "4.7.5 Cannot start TLS: handshake failure, error:0A00010B:SSL routines::wrong version number:../ssl/record/ssl3_record.c:354:".to_owned(),
            &[NotTls, HandshakeFailed],
            &[VersionNotSupportedHere],
        ),
        (
            POSTFIX,
            "4.7.5 Cannot start TLS: handshake failure, error:0A000102:SSL routines::unsupported protocol".to_owned(),
            &[VersionNotSupportedHere],
            &[NotTls],
        ),
        (POSTFIX, said("550 5.7.64 TenantAttribution; Relay Access Denied", "RCPT TO"), &[PolicyRejection], &[AuthenticationRequired]),
        (POSTFIX, said("554 5.7.1 <a@b.test>: Relay access denied", "RCPT TO"), &[AuthenticationRequired], &[RecipientUnknown]),
    ]
}

fn certificates() -> Vec<Case<'static>> {
    use Sign::*;
    vec![
        // Whose certificate it is.
        (
            ONLINE,
            online("454 4.7.5 Certificate validation failure"),
            &[ClientCertificateRefused],
            &[CertificateUntrusted],
        ),
        (
            POSTFIX,
            said("454 4.7.5 Certificate validation failure", "MAIL FROM"),
            &[ClientCertificateRefused],
            &[CertificateUntrusted],
        ),
        (
            EXCHANGE,
            primary("454 4.7.5 Certificate validation failure, Reason:UntrustedRoot"),
            &[CertificateUntrusted],
            &[ClientCertificateRefused],
        ),
        (
            EXCHANGE,
            led("454 4.7.5 The certificate specified in TlsCertificateName of the SendConnector could not be found."),
            &[LocalTlsCredentials],
            &[ClientCertificateRefused],
        ),
        (EXCHANGE, led("451 4.4.0 TLS negotiation failed with error NoCredentials"), &[LocalTlsCredentials], &[]),
        (EXCHANGE, led("451 4.4.0 TLS negotiation failed with error UnknownCredentials"), &[LocalTlsCredentials], &[]),
        (
            EXCHANGE,
            led("451 4.4.0 TLS negotiation failed with error SocketError"),
            &[HandshakeFailed, ConnectionClosed],
            &[LocalTlsCredentials],
        ),
    ]
}

fn alerts() -> Vec<Case<'static>> {
    use Sign::*;
    vec![
        (
            POSTFIX,
            "4.7.5 Cannot start TLS: error:0A000415:SSL routines::sslv3 alert certificate expired:SSL alert number 45"
                .to_owned(),
            &[LocalTlsCredentials],
            &[CertificateExpired, AlertAboutCertificate],
        ),
        (
            EXCHANGE,
            said("454 4.7.5 Client certificate has expired", "MAIL FROM"),
            &[LocalTlsCredentials],
            &[CertificateExpired],
        ),
        (
            POSTFIX,
            "4.7.5 Cannot start TLS: error:0A000418:SSL routines::tlsv1 alert unknown ca:SSL alert number 48"
                .to_owned(),
            &[AlertAboutCertificate],
            &[LocalTlsCredentials],
        ),
        (
            POSTFIX,
            "4.7.5 Cannot start TLS: error:0A000086:SSL routines::certificate verify failed, certificate has expired"
                .to_owned(),
            &[CertificateExpired],
            &[AlertAboutCertificate],
        ),
        (
            POSTFIX,
            "4.7.5 error:1409441A:SSL routines:ssl3_read_bytes:tlsv1 alert decode error:SSL alert number 50:"
                .to_owned(),
            &[AlertDecodeError],
            &[AlertHandshakeFailure],
        ),
    ]
}

fn senders() -> Vec<Case<'static>> {
    use Sign::*;
    vec![
        // The name in HELO, not the one in a certificate.
        (POSTFIX, said("550 invalid helo", "MAIL FROM"), &[HeloRejected, PolicyRejection], &[RecipientUnknown]),
        (
            POSTFIX,
            said("550 5.7.1 HELO name does not match reverse DNS", "RCPT TO"),
            &[HeloRejected, ReverseDnsRejected, PolicyRejection],
            &[CertificateNameMismatch],
        ),
        (
            POSTFIX,
            said("504 5.5.2 <quota>: Helo command rejected: need fully-qualified hostname", "RCPT TO"),
            &[HeloRejected],
            &[MailboxFull],
        ),
        // Whose address it is.
        (
            POSTFIX,
            said("553 5.1.8 <a@b.test>: Domain of sender address does not exist", "MAIL FROM"),
            &[SenderRejected],
            &[RecipientUnknown],
        ),
        (
            POSTFIX,
            said("450 4.1.8 <a@b.test>: Sender address rejected: Domain not found", "RCPT TO"),
            &[SenderRejected],
            &[HostNotFound, DnsFailed],
        ),
        (
            POSTFIX,
            said("550-The domain in the email address 'k@b.test' does not 550 exist. Sorry.", "RCPT TO"),
            &[RecipientUnknown],
            &[SenderRejected],
        ),
        (
            POSTFIX,
            said("550 5.1.1 <a@b.test>: Sender verify failed", "RCPT TO"),
            &[SenderRejected],
            &[RecipientUnknown],
        ),
        (
            POSTFIX,
            said("556 5.1.10 <a@b.test>: Recipient address has null MX", "RCPT TO"),
            &[NullMx],
            &[RecipientUnknown],
        ),
        (
            POSTFIX,
            said("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found", "RCPT TO"),
            &[RecipientUnknown],
            &[NullMx],
        ),
    ]
}

fn content() -> Vec<Case<'static>> {
    use Sign::*;
    vec![
        // What is in the message.
        (
            POSTFIX,
            said("554 5.7.1 Message contains a virus: Eicar", "end of DATA"),
            &[VirusFound, PolicyRejection],
            &[SpamFound],
        ),
        (
            POSTFIX,
            said("554 5.7.1 Message rejected as spam", "end of DATA"),
            &[SpamFound, PolicyRejection],
            &[VirusFound],
        ),
        (POSTFIX, said("550 5.7.23 SPF validation failed", "MAIL FROM"), &[SpfFailed, PolicyRejection], &[DmarcFailed]),
        (
            POSTFIX,
            said("550 5.7.26 Unauthenticated email is not accepted due to domain's DMARC policy", "end of DATA"),
            &[DmarcFailed],
            &[],
        ),
        (
            POSTFIX,
            said("554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", "RCPT TO"),
            &[AddressListed, PolicyRejection],
            &[Overloaded],
        ),
        // The destination's own faults.
        (
            POSTFIX,
            said("451 4.3.0 <jordane@b.example>: Temporary lookup failure", "RCPT TO"),
            &[InternalFailure],
            &[DaneFailed, DnsFailed],
        ),
        (
            POSTFIX,
            said("451 4.7.0 Temporary server error. Please try again later. PRX2", "end of DATA"),
            &[InternalFailure],
            &[Greylisted, Overloaded],
        ),
        (
            POSTFIX,
            said("451 4.4.1 Connection refused by content filter", "end of DATA"),
            &[InternalFailure],
            &[ConnectionRefused],
        ),
        (POSTFIX, said("452 4.3.1 Insufficient system resources", "MAIL FROM"), &[Overloaded], &[MailboxFull]),
        (POSTFIX, said("452 4.2.2 Mailbox full", "RCPT TO"), &[MailboxFull], &[Overloaded]),
    ]
}

/// Of files and settings that cannot be used.
fn own_files() -> Vec<Case<'static>> {
    use Sign::*;
    vec![
        (EXIM, "TLS session: (gnutls_priority_init(NOSUCH) failed at offset 0, \"NOSUCH..\"): The request is invalid.".to_owned(), &[LocalConfiguration], &[LocalTlsCredentials]),
        (EXIM, "TLS session: NULL".to_owned(), &[LocalConfiguration], &[]),
        (EXIM, "Cannot assign requested address".to_owned(), &[LocalConfiguration], &[]),
        (
            EXIM,
            "TLS session: (cert/key setup: cert=/x.pem key=/x.key): Error while reading file.".to_owned(),
            &[LocalTlsCredentials],
            &[LocalConfiguration],
        ),
        (
            POSTFIX,
            "4.3.0 unknown mail transport error (fatal: smtp_connect_addr: bad smtp_bind_address parameter: x)".to_owned(),
            &[LocalConfiguration],
            &[InternalFailure],
        ),
        (POSTFIX, "Cannot start TLS: handshake failure: error setting cipher grade: \"high\", TLS library problem: error:0A0000B9:SSL routines::no cipher match:".to_owned(), &[LocalConfiguration], &[NoSharedCipherSaid]),
    ]
}

fn exchange() -> Vec<Case<'static>> {
    use Sign::*;
    vec![
        // Exchange between its own servers, and its store driver.
        (
            EXCHANGE,
            primary("454 4.7.0 Temporary authentication failure."),
            &[AuthenticationRequired],
            &[StartTlsRefused, InternalFailure],
        ),
        (
            EXCHANGE,
            led(
                "432 4.2.0 STOREDRV.Deliver.Exception:MailboxOfflineException; Failed to process message: the mailbox database is offline",
            ),
            &[InternalFailure],
            &[MailboxFull],
        ),
    ]
}

fn own() -> Vec<Case<'static>> {
    use Sign::*;
    vec![
        // This side's own.
        (POSTFIX, "4.7.5 client TLS configuration problem".to_owned(), &[LocalConfiguration], &[HandshakeFailed]),
        (POSTFIX, "4.3.0 unknown mail transport error".to_owned(), &[LocalConfiguration], &[InternalFailure]),
        (
            POSTFIX,
            "4.7.0 SASL authentication failed; server a.test offered no compatible authentication mechanisms for this type of connection security".to_owned(),
            &[LocalConfiguration],
            &[],
        ),
        (
            POSTFIX,
            "4.7.8 SASL authentication failed; server a.test[192.0.2.1] said: 535 5.7.8 Error: authentication failed".to_owned(),
            &[AuthenticationRequired],
            &[LocalConfiguration],
        ),
        (EXIM, "failed to expand \"interface\" option for remote_smtp transport".to_owned(), &[LocalConfiguration], &[]),
        (POSTFIX, said("451 4.7.1 Service unavailable - try again later", "end of DATA"), &[InternalFailure], &[]),
        (
            POSTFIX,
            "4.4.1 connect to mail.corp.test[private/dovecot-lmtp]: No such file or directory".to_owned(),
            &[LocalConfiguration],
            &[ConnectionRefused],
        ),
        (POSTFIX, "4.3.0 address resolver failure".to_owned(), &[LocalConfiguration], &[DnsFailed]),
        (SENDMAIL, "4.0.0 Deferred: Name server: dest.test.: host name lookup failure".to_owned(), &[DnsFailed], &[]),
        // Sendmail's word for a certificate that it could not verify, and a login that a server refused.
        (
            SENDMAIL,
            "4.7.1 Deferred: 403 4.7.0 authentication failed".to_owned(),
            &[CertificateUntrusted],
            &[AuthenticationRequired],
        ),
        (SENDMAIL, "5.0.0 Deferred: 535 5.7.8 authentication failed".to_owned(), &[AuthenticationRequired], &[CertificateUntrusted]),
        (EXIM, "lowest numbered MX record points to local host".to_owned(), &[MailLoop], &[HostNotFound]),
        // Gmail uses one number for a full inbox and for an account that is closed.
        (
            POSTFIX,
            said("550 5.2.1 The email account that you tried to reach is disabled. https://support.google.com/mail/?p=DisabledUser x - gsmtp", "RCPT TO"),
            &[RecipientUnknown],
            &[TooFast],
        ),
        (
            POSTFIX,
            said("450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages x - gsmtp", "RCPT TO"),
            &[TooFast],
            &[RecipientUnknown],
        ),
        (
            POSTFIX,
            said("451 Internal resource temporarily unavailable - https://community.mimecast.com/docs/DOC-1369#451", "RCPT TO"),
            &[Greylisted],
            &[InternalFailure],
        ),
        (POSTFIX, said("550 5.7.510 Access denied, onprem.test does not accept email over IPv6", "RCPT TO"), &[PolicyRejection], &[RecipientUnknown]),
        // Other languages are understood by their codes.
        (POSTFIX, said("550 5.1.1 Utilisateur inconnu", "RCPT TO"), &[RecipientUnknown], &[]),
        (POSTFIX, said("552 5.2.2 Postfach voll", "RCPT TO"), &[MailboxFull], &[]),
        (POSTFIX, said("554 5.7.1 Nachricht abgelehnt", "end of DATA"), &[PolicyRejection], &[]),
        (POSTFIX, said("421 mwinf5c42 ME Trop de connexions. OFR004_104 [104]", "MAIL FROM"), &[TooManyConnections], &[]),
    ]
}

#[test]
fn words_are_understood_by_who_says_them_when() {
    let table = [starttls(), certificates(), alerts(), senders(), content(), exchange(), own(), own_files()].concat();
    let is_wrong = |(format, status, wanted, unwanted): &&Case| {
        let signs = signs(format, &row(status));
        !wanted.iter().all(|sign| signs.has(*sign)) || signs.any(unwanted)
    };
    let wrong: Vec<String> = table.iter().filter(is_wrong).map(|(_, status, ..)| status.clone()).collect();
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn lines_about_a_handshake_go_with_the_attempt() {
    let mut row = row("4.7.5 Cannot start TLS: handshake failure");
    let mut data = CustomData::default();
    data.add("TlsHandshake", "SSL_connect error to spf.onprem.test[192.0.2.1]:25: Connection timed out");
    row.set(Column::CustomData, data);
    let signs = signs(POSTFIX, &row);
    assert!(signs.has(Sign::TimedOut) && signs.has(Sign::HandshakeFailed) && !signs.has(Sign::SpfFailed));
}

/// Postfix says that the certificate is not trusted, and which check it failed.
#[test]
fn a_certificate_that_dane_refuses_lacks_no_authority() {
    let cause = |trouble: &str| {
        let mut row = row("4.7.5 Server certificate not trusted");
        let mut data = CustomData::default();
        data.add("TlsHandshake", trouble);
        row.set(Column::CustomData, data);
        let mut evidence = Evidence::default();
        trace_rows::add_row(&mut evidence, POSTFIX, &row, "a.log", 1);
        explain(&evidence)[0].finding.cause.as_str()
    };
    let of =
        |why: &str| cause(&format!("server certificate verification failed for mx.onprem.test[192.0.2.1]:25: {why}"));
    assert_eq!(of("num=65:no matching DANE TLSA records"), "dane-failed");
    assert_eq!(of("untrusted issuer /CN=x"), "certificate-untrusted");
}

/// A protocol log, and a trace, of this gateway has the handshake in words.
#[test]
fn this_gateways_own_words_are_read_back() {
    use Sign::*;
    let offered = "TLS handshake failed (x): offered TLS 1.2-1.3 with 14 suites";
    for (rest, wanted, unwanted) in [
        (
            "server sent alert 40 handshake_failure (fatal); server closed (FIN) after 1 ms",
            &[AlertHandshakeFailure, NoServerHello, ConnectionClosed][..],
            &[ServerHelloSeen][..],
        ),
        (
            "server sent alert 0 close_notify (warning); server reset the connection (RST) after 1 ms",
            &[ConnectionReset, NoServerHello],
            &[AlertEncrypted],
        ),
        (
            "server chose TLS 1.2, TLS_RSA, key exchange DHE 512 bits; client sent alert 71 insufficient_security (fatal)",
            &[WeakDh, ServerHelloSeen, AlertHere],
            &[NoServerHello],
        ),
        (
            "server chose TLS 1.2, TLS_RSA, not offered; client sent alert 47 illegal_parameter (fatal); the certificate is self-signed",
            &[CipherNotOffered, ServerHelloSeen, AlertHere],
            &[CertificateUntrusted],
        ),
        (
            "server chose TLS 1.2, TLS_RSA; client sent alert 45 certificate_expired (fatal); the certificate has expired",
            &[CertificateExpired],
            &[],
        ),
        (
            "server chose TLS 1.2, TLS_RSA; server sent alert 40 handshake_failure (fatal); the certificate has expired",
            &[AlertHandshakeFailure],
            &[CertificateExpired],
        ),
    ] {
        let signs = Signs::of_text(&format!("{offered}; {rest}"));
        assert!(wanted.iter().all(|sign| signs.has(*sign)) && !signs.any(unwanted), "{rest}: {signs:?}");
    }
}
