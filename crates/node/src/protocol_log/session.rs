//! The rows of one connection.

use std::{borrow::Cow, fmt::Write, net::SocketAddr, sync::Arc};

use jiff::Timestamp;
use net::{Disconnected, Line, Transcript};
use protocol::{
    text::steers,
    tls::{Certificate, HandshakeFacts, Side, schannel},
};
use trace::protocol_log::{RowKind, RowWriter};

use super::writer::Buffer;

/// Maximum length of a line. The rest is cut off.
const LINE_CHARACTERS_MAX: usize = 1000;

/// Context of a row with a certificate, as Exchange writes it.
const CERTIFICATE: &str = "Subject Issuer name Serial number Thumbprint Not before Not after Subject alternate names";

pub(super) struct SessionLog {
    buffer: Arc<Buffer>,
    side: Side,
    row: RowWriter,
}

impl SessionLog {
    pub(super) fn sending(buffer: Arc<Buffer>, connector: &str, session: u64, remote: SocketAddr) -> Self {
        Self { buffer, side: Side::Client, row: RowWriter::new(connector, session, &remote.to_string()) }
    }

    pub(super) fn receiving(buffer: Arc<Buffer>, connector: &str, session: u64, client: SocketAddr) -> Self {
        Self { buffer, side: Side::Server, row: RowWriter::new(connector, session, &client.to_string()) }
    }

    fn put(&mut self, kind: RowKind, data: &str, context: &str) {
        let row = &mut self.row;
        self.buffer.append(|output| row.write(Timestamp::now(), kind, data, context, output));
    }

    fn note(&mut self, context: &str) {
        self.put(RowKind::Information, "", context);
    }

    fn certificate(&mut self, facts: &HandshakeFacts) {
        if let Some(leaf) = facts.certificates.first() {
            let whose = match self.side {
                Side::Client => "Remote certificate",
                Side::Server => "Sending certificate",
            };
            let data = certificate_data(leaf);
            self.put(RowKind::Information, &said(data.as_bytes()), &format!("{whose} {CERTIFICATE}"));
        }
    }
}

impl Transcript for SessionLog {
    fn write(&mut self, line: Line<'_>) {
        match line {
            Line::Connecting => self.note("attempting to connect"),
            Line::Connected { local } => {
                self.row.set_local(&local.to_string());
                self.put(RowKind::Connect, "", "");
            }
            Line::ConnectFailed(reason) => self.note(&format!("Failed to connect. {reason}")),
            Line::GivenUp(reason) => self.note(reason),
            Line::Sent(bytes) => self.put(RowKind::Sent, &said(bytes), ""),
            Line::Received(bytes) if self.side == Side::Server => self.put(RowKind::Received, &command(bytes), ""),
            Line::Received(bytes) => self.put(RowKind::Received, &said(bytes), ""),
            Line::Omitted { lines } => self.note(&format!("{lines} lines of the reply are not shown")),
            Line::TlsStarted(facts) => {
                self.certificate(facts);
                let succeeded = schannel::negotiation_succeeded(self.side, facts);
                self.note(&succeeded.unwrap_or_else(|| format!("TLS negotiation succeeded: {facts}")));
            }
            Line::TlsFailed { facts, reason } => {
                self.certificate(facts);
                self.note(&schannel::negotiation_failed(facts));
                self.note(&format!("{facts}; {reason}"));
            }
            Line::Disconnected(how) => self.put(
                RowKind::Disconnect,
                "",
                match how {
                    Disconnected::Local => "Local",
                    Disconnected::Remote => "Remote",
                    Disconnected::RemoteReset => "Remote(ConnectionReset)",
                },
            ),
        }
    }
}

/// A line for the log, without characters that control a terminal.
fn said(bytes: &[u8]) -> Cow<'_, str> {
    if bytes.len() <= LINE_CHARACTERS_MAX
        && bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return Cow::Borrowed(text);
    }
    let text = String::from_utf8_lossy(bytes);
    text.chars().take(LINE_CHARACTERS_MAX).map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// Commands that are logged in full. AUTH is not one of them, because credentials follow it.
const VERBS: [&str; 13] =
    ["EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP", "STARTTLS"];

/// A client's line. A line that is not a command is credentials or content, sent without waiting for the reply that
/// would have stopped the client. The log has only its length.
fn command(bytes: &[u8]) -> Cow<'_, str> {
    let verb = bytes.split(|byte| !byte.is_ascii_alphabetic()).next().unwrap_or_default();
    match VERBS.iter().any(|known| verb.eq_ignore_ascii_case(known.as_bytes())) {
        true => said(bytes),
        false if verb.eq_ignore_ascii_case(b"AUTH") => "AUTH <authentication response>".into(),
        false => format!("<unrecognized, {} bytes>", bytes.len()).into(),
    }
}

fn certificate_data(certificate: &Certificate) -> String {
    let time = |seconds: i64| {
        let at = Timestamp::from_second(seconds).unwrap_or_default();
        format!("{at:.3}")
    };
    let mut data = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        data,
        "{} {} {} {} {} {} {}",
        certificate.subject,
        certificate.issuer,
        certificate.serial,
        certificate.thumbprint,
        time(certificate.not_before_s),
        time(certificate.not_after_s),
        certificate.names.join(";")
    );
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stands_in_a_log_as_it_was_unless_it_could_steer_a_terminal() {
        let long = "x".repeat(LINE_CHARACTERS_MAX + 1);
        let table = [
            ("250 2.1.0 OK", "250 2.1.0 OK"),
            ("250 gr\u{fc}n", "250 gr\u{fc}n"),
            ("250 \u{1b}[2J", "250 \u{fffd}[2J"),
            (&long, &long[..LINE_CHARACTERS_MAX]),
        ];
        for (line, expected) in table {
            assert_eq!(said(line.as_bytes()), expected);
        }
        assert_eq!(said(b"250 \xff"), "250 \u{fffd}");
        assert_eq!(command(b"AUTH PLAIN c2VjcmV0"), "AUTH <authentication response>");
        assert_eq!(command(b"c2VjcmV0"), "<unrecognized, 8 bytes>");
    }
}
