//! `gatepost queue show`: shows everything about one message.

use std::io::{self, Write};

use insight::{Status, WaitReasons};
use protocol::smtp::{BodyType, Failure};
use store::{DeliveryRecord, MessageRecord};
use trace::Event;

use super::{
    event,
    screen::{Colour, Screen, clean, size, wrapped},
    waiting,
};

pub(crate) fn write(
    record: &MessageRecord,
    events: &[Event],
    reasons: &WaitReasons<'_>,
    screen: &Screen,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut sheet = Sheet { screen, out };
    sheet.envelope(record)?;
    for delivery in &record.deliveries {
        sheet.delivery(delivery, reasons)?;
    }
    sheet.title("Events")?;
    for event in events {
        event::write(event, screen, sheet.out)?;
    }
    Ok(())
}

struct Sheet<'a> {
    screen: &'a Screen,
    out: &'a mut dyn Write,
}

impl Sheet<'_> {
    fn title(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", self.screen.paint(&clean(text), Some(Colour::Bold)))
    }

    /// Writes nothing for an empty value.
    fn field(&mut self, name: &str, value: &str) -> io::Result<()> {
        if value.is_empty() {
            return Ok(());
        }
        wrapped(value, &format!("  {name:<14}"), &" ".repeat(16), self.screen, self.out)
    }

    fn envelope(&mut self, record: &MessageRecord) -> io::Result<()> {
        let message = &record.message;
        let received = format!("{} ({} ago)", self.screen.time(message.received), self.screen.age(message.received));
        let client = message.client.map_or("the gateway itself".to_owned(), |client| client.to_string());
        let body_type = match message.envelope.body_type {
            BodyType::SevenBit => "",
            BodyType::EightBitMime => ", 8BITMIME",
        };
        let utf8 = if message.envelope.smtputf8 { ", SMTPUTF8" } else { "" };
        let content =
            if record.body_present { "in the queue" } else { "deleted, because no delivery needs it any more" };
        self.title(&format!("Message {}", message.network_message_id))?;
        self.field("Received", &format!("{received} from {client}"))?;
        self.field("Sender", message.envelope.sender.address().map_or("<>", |address| address.as_str()))?;
        self.field("Subject", message.subject.as_deref().unwrap_or_default())?;
        self.field("Message-ID", message.message_id.as_deref().unwrap_or_default())?;
        self.field("Size", &format!("{}{body_type}{utf8}", size(message.size_bytes)))?;
        self.field("Content", content)?;
        writeln!(self.out)
    }

    fn delivery(&mut self, record: &DeliveryRecord, reasons: &WaitReasons<'_>) -> io::Result<()> {
        let status = Status::from(record.state);
        self.title(&format!("Delivery to {}", record.delivery.recipient))?;
        let (name, state) = (status.name(), insight::state_name(record.state));
        let status_text = if status == Status::Pending { format!("{name} ({state})") } else { name.to_owned() };
        self.field("Status", &status_text)?;
        self.field("Connector", &record.delivery.connector)?;
        self.field("Attempts", &record.delivery.attempts.to_string())?;
        if let Some(waiting) = reasons.waiting(record) {
            let at = waiting::time_named(&waiting);
            self.field("Waits", &self.screen.with_local_time(&waiting.to_string(), at))?;
            self.field("Unblocked by", &self.screen.with_local_time(&waiting.unblocked_by(), at))?;
            let step = waiting.next_step(record.message.network_message_id, &record.delivery.connector);
            if let Some(step) = step {
                // Put the command on its own line near the left edge, so that it can be pasted.
                self.field("Act now", "with this command:")?;
                writeln!(self.out, "    {}", clean(&step.to_string()))?;
            }
            self.field("Due", &format!("{} ({})", self.screen.time(record.due), self.screen.until(record.due)))?;
        }
        if let Some(settled) = record.settled {
            self.field("Finished", &self.screen.time(settled))?;
        }
        if let Some(reply) = &record.reply {
            self.field("Reply", &reply.to_string())?;
        }
        if let Some(failure) = reasons.cause(record) {
            self.failure(failure)?;
        }
        writeln!(self.out)
    }

    fn failure(&mut self, failure: &Failure) -> io::Result<()> {
        self.field("Cause", &failure.kind.to_string())?;
        self.field("Phase", &format!("{} ({})", failure.phase, failure.phase.doing()))?;
        if let Some(destination) = &failure.destination {
            self.field("Destination", &destination.to_string())?;
        }
        if let Some(reply) = &failure.reply {
            self.field("Reply code", &reply.code.to_string())?;
            self.field("Enhanced code", &reply.enhanced.map(|code| code.to_string()).unwrap_or_default())?;
            for line in reply.text.lines() {
                self.field("Reply text", line)?;
            }
        }
        Ok(())
    }
}
