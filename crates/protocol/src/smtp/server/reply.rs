//! The replies that every session hears, ready to be written.

use std::io::Write;

pub(super) const OK: &[u8] = b"250 2.0.0 OK\r\n";
pub(super) const RESET: &[u8] = b"250 2.0.0 Resetting\r\n";
pub(super) const SENDER_OK: &[u8] = b"250 2.1.0 Sender OK\r\n";
pub(super) const RECIPIENT_OK: &[u8] = b"250 2.1.5 Recipient OK\r\n";
pub(super) const SEND_CONTENT: &[u8] = b"354 Start mail input, end with <CRLF>.<CRLF>\r\n";
pub(super) const READY_FOR_TLS: &[u8] = b"220 2.0.0 Ready to start TLS\r\n";
pub(super) const BYE: &[u8] = b"221 2.0.0 Closing connection\r\n";
pub(super) const CANNOT_VERIFY: &[u8] =
    b"252 2.5.0 Cannot verify, but will take the message if the domain is accepted\r\n";
pub(super) const HELP: &[u8] =
    b"214 2.0.0 EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT STARTTLS (RFC 5321)\r\n";

/// Appends the reply to EHLO.
pub(super) fn write_ehlo(hostname: &str, client: &str, size_max: u64, starttls: bool, output: &mut Vec<u8>) {
    let starttls = if starttls { "250-STARTTLS\r\n" } else { "" };
    // Writing to a vector cannot fail.
    let _ = write!(
        output,
        "250-{hostname} Hello {client}\r\n250-PIPELINING\r\n250-SIZE {size_max}\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n\
         250-ENHANCEDSTATUSCODES\r\n{starttls}250-DSN\r\n250 CHUNKING\r\n"
    );
}
