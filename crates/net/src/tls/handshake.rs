//! Makes a TLS handshake as client or server, and returns the observed facts, whether it worked or not.

use std::{net::SocketAddr, pin::Pin, time::Duration};

use openssl::{
    error::ErrorStack,
    ssl::{Ssl, SslRef},
    x509::X509VerifyResult,
};
use protocol::{
    smtp::TlsSummary,
    tls::{Alert, Certificate, CertificateFault, HandshakeFacts, Side},
};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};
use tokio_openssl::SslStream;

use super::{Acceptor, connector::Connector, reason, summary, tap::Tap};

/// Why the handshake failed.
#[derive(Debug)]
pub(crate) enum HandshakeError {
    TimedOut,
    /// OpenSSL's reason, or the socket's.
    Failed(String),
}

/// The result of a handshake, and the observed facts.
pub(crate) struct Handshake {
    pub(crate) facts: HandshakeFacts,
    pub(crate) result: Result<(SslStream<Tap>, TlsSummary), HandshakeError>,
}

/// How long to wait for the remote host to close the connection after an alert. It closes at once, or never.
const CLOSE_PATIENCE: Duration = Duration::from_millis(250);

/// Makes the handshake as client.
pub(crate) async fn connect(
    connector: &Connector,
    host: &str,
    address: SocketAddr,
    socket: TcpStream,
    limit: Duration,
) -> Handshake {
    let tap = Tap::new(socket, Side::Client);
    let mut stream = match connector.open(host, address).and_then(|ssl| SslStream::new(ssl, tap)) {
        Ok(stream) => stream,
        Err(error) => return Handshake::not_begun(&error),
    };
    let result = timeout(limit, Pin::new(&mut stream).connect()).await;
    let mut handshake = conclude(stream, result, Side::Client).await;
    if handshake.result.is_err() {
        connector.forget(host, address);
    }
    if let Ok((stream, _)) = &handshake.result {
        let ssl = stream.ssl();
        if handshake.facts.certificates.is_empty() && !handshake.facts.resumed {
            handshake.facts.certificates = chain(ssl);
        }
        handshake.facts.certificate_fault = certificate_fault(ssl.verify_result());
    }
    handshake
}

/// Makes the handshake as server.
pub(crate) async fn accept(acceptor: &Acceptor, socket: TcpStream, limit: Duration) -> Handshake {
    let open = || SslStream::new(Ssl::new(acceptor.context())?, Tap::new(socket, Side::Server));
    let mut stream = match open() {
        Ok(stream) => stream,
        Err(error) => return Handshake::not_begun(&error),
    };
    let result = timeout(limit, Pin::new(&mut stream).accept()).await;
    conclude(stream, result, Side::Server).await
}

/// Makes the handshake as server without recording facts, for connections that carry no mail.
pub async fn accept_unobserved(
    acceptor: &Acceptor,
    socket: TcpStream,
    limit: Duration,
) -> Result<SslStream<TcpStream>, String> {
    let open = || SslStream::new(Ssl::new(acceptor.context())?, socket);
    let mut stream = open().map_err(|error| reason(&error))?;
    match timeout(limit, Pin::new(&mut stream).accept()).await {
        Ok(Ok(())) => Ok(stream),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("timed out".to_owned()),
    }
}

impl Handshake {
    fn not_begun(error: &ErrorStack) -> Self {
        Self { facts: HandshakeFacts::default(), result: Err(HandshakeError::Failed(reason(error))) }
    }
}

async fn conclude(
    mut stream: SslStream<Tap>,
    result: Result<Result<(), openssl::ssl::Error>, tokio::time::error::Elapsed>,
    here: Side,
) -> Handshake {
    let error = match result {
        Ok(Ok(())) => {
            let facts = HandshakeFacts { completed: true, ..stream.get_mut().take_facts() };
            let summary = summary(stream.ssl());
            return Handshake { facts, result: Ok((stream, summary)) };
        }
        Ok(Err(error)) => error,
        Err(_) => {
            stream.get_mut().silent();
            return Handshake { facts: stream.get_mut().take_facts(), result: Err(HandshakeError::TimedOut) };
        }
    };
    let verified = stream.ssl().verify_result();
    let tap = stream.get_mut();
    wait_for_close(tap).await;
    tap.closing();
    let mut facts = tap.take_facts();
    if let Some(number) = error.ssl_error().and_then(alert_number) {
        note_alert(&mut facts, here.other(), number);
    }
    if here == Side::Client && verified != X509VerifyResult::OK {
        facts.certificate_fault = certificate_fault(verified);
        if facts.certificates.is_empty() {
            facts.certificates = chain(stream.ssl());
        }
    }
    Handshake { facts, result: Err(HandshakeError::Failed(error_text(&error, verified))) }
}

/// Reads the remaining bytes, so that the tap sees how the remote host closes the connection. Closing with unread bytes
/// would reset the connection, and the remote host might lose our alert.
async fn wait_for_close(tap: &mut Tap) {
    let mut ignored = [0; 512];
    let drain = async { while tap.read(&mut ignored).await.is_ok_and(|count| count > 0) {} };
    let _ = timeout(CLOSE_PATIENCE, drain).await;
}

fn error_text(error: &openssl::ssl::Error, verified: X509VerifyResult) -> String {
    match (error.ssl_error(), error.io_error()) {
        (Some(stack), _) if verified != X509VerifyResult::OK && reason(stack) == "certificate verify failed" => {
            format!("certificate verify failed: {}", verified.error_string())
        }
        (Some(stack), _) => reason(stack),
        (None, Some(io)) => io.to_string(),
        (None, None) => "the remote host closed the connection".to_owned(),
    }
}

/// The alert of an OpenSSL error: reasons from 1000 on are received alerts.
fn alert_number(stack: &ErrorStack) -> Option<u8> {
    let codes = stack.errors().iter().map(openssl::error::Error::reason_code);
    codes.filter_map(|code| u8::try_from(code - 1000).ok()).next()
}

/// Adds an alert that was encrypted on the wire.
fn note_alert(facts: &mut HandshakeFacts, by: Side, number: u8) {
    let same = |alert: &&mut Alert| alert.by == by && alert.description.is_none_or(|known| known == number);
    match facts.alerts.iter_mut().rev().find(same) {
        Some(alert) => alert.description = Some(number),
        None => facts.alerts.push(Alert { by, description: Some(number), fatal: true }),
    }
}

/// In TLS 1.3 a client finishes before the server has checked its certificate, so a refusal comes as an alert instead
/// of the first reply. Adds the alert to the facts, and returns OpenSSL's reason.
pub(crate) fn late_alert(facts: &mut HandshakeFacts, error: &std::io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<openssl::ssl::Error>()?;
    let stack = error.ssl_error()?;
    let number = alert_number(stack)?;
    note_alert(facts, Side::Server, number);
    facts.completed = false;
    Some(reason(stack))
}

fn chain(ssl: &SslRef) -> Vec<Certificate> {
    let certificates = ssl.peer_cert_chain().into_iter().flatten();
    Certificate::parse_chain(certificates.filter_map(|certificate| certificate.to_der().ok()))
}

/// The codes are those of X509_STORE_CTX_get_error(3).
fn certificate_fault(result: X509VerifyResult) -> Option<CertificateFault> {
    match result.as_raw() {
        0 => None,
        10 => Some(CertificateFault::Expired),
        9 => Some(CertificateFault::NotYetValid),
        18 => Some(CertificateFault::SelfSigned),
        2 | 19 | 20 | 21 | 27 | 28 => Some(CertificateFault::Untrusted),
        62 | 64 => Some(CertificateFault::NameMismatch),
        66..=68 => Some(CertificateFault::Weak),
        _ => Some(CertificateFault::Invalid),
    }
}
