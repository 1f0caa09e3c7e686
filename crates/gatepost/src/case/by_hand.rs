//! One device and one message, started by hand, to test a gateway.

use std::{io::Write, net::SocketAddr, thread, time::Duration};

use anyhow::Context;
use jiff::Timestamp;
use lab::{Device, Message, Options, Server};
use trace::NextStep;

/// Interval between two looks for new messages.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// `gatepost case device`: runs until it is interrupted.
pub(crate) fn device(device: Device, listen: SocketAddr, out: &mut dyn Write) -> anyhow::Result<()> {
    let server = Server::start(device, Options { listen, ..Options::default() })
        .with_context(|| format!("failed to listen on {listen}; choose another address with --listen"))?;
    writeln!(out, "{} listens on {}: it {}. Stop it with Ctrl-C.", device.name(), server.address(), device.does())?;
    out.flush()?;
    let (mut messages, mut notes) = (0, 0);
    loop {
        for message in server.messages().iter().skip(messages) {
            writeln!(out, "{}", accepted(message))?;
            messages += 1;
        }
        for note in server.log().iter().skip(notes) {
            writeln!(out, "{note}")?;
            notes += 1;
        }
        out.flush()?;
        thread::sleep(LOOK_INTERVAL);
    }
}

fn accepted(message: &Message) -> String {
    let tls = message.tls.as_ref().map_or_else(|| "in plaintext".to_owned(), |(version, _)| format!("with {version}"));
    let recipients = message.recipients.join(", ");
    let bytes = message.content.len();
    format!("accepted a message from {} to {recipients}, {bytes} bytes, {tls}", message.sender)
}

/// `gatepost case send`
pub(crate) fn send(server: SocketAddr, sender: &str, recipient: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let content = format!(
        "Date: {}\r\nFrom: <{sender}>\r\nTo: <{recipient}>\r\nMessage-ID: <{}@case.test>\r\nSubject: Test\r\n\r\n\
         A test message from gatepost case send.",
        now.strftime("%a, %d %b %Y %H:%M:%S +0000"),
        now.as_nanosecond(),
    );
    lab::send(server, sender, recipient, &content)
        .with_context(|| format!("failed to send the message to {server}"))?;
    writeln!(out, "{server} accepted the message. Next step: {}", NextStep::TraceRecipient(recipient.to_owned()))?;
    Ok(())
}
