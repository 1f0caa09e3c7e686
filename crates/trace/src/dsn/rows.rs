//! A bounce as rows of a message trace: one for each recipient.

use jiff::{Timestamp, fmt::rfc2822};

use super::{Action, Dsn, Recipient, Typed};
use crate::message_trace::{Column, Row};

impl Dsn {
    /// One row for each recipient that something became of.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        self.recipients.iter().map(|recipient| self.row(recipient))
    }

    fn row(&self, recipient: &Recipient) -> Row {
        let event = match recipient.action {
            Some(Action::Delivered) => "DELIVER",
            Some(Action::Relayed) => "SEND",
            Some(Action::Expanded) => "EXPAND",
            Some(Action::Delayed) => "DEFER",
            Some(Action::Failed) | None => "FAIL",
        };
        let text = |typed: &Option<Typed>| typed.as_ref().map(|typed| typed.text.clone()).unwrap_or_default();
        let mut row = Row::default();
        row.at = recipient.last_attempt_date.as_deref().or(self.arrival_date.as_deref()).and_then(time);
        row.set(Column::Source, "DSN");
        row.set(Column::EventId, event);
        row.set(Column::MessageId, self.original_message_id.as_deref().map(|id| format!("<{id}>")).unwrap_or_default());
        // A delay without any id is told apart by its envelope or by nothing.
        let envelope = self.original_envelope_id.as_deref().or(recipient.final_log_id.as_deref());
        row.set(Column::NetworkMessageId, envelope.or((event == "DEFER").then_some("-")).unwrap_or_default());
        let address = if recipient.final_recipient.is_some() {
            &recipient.final_recipient
        } else {
            &recipient.original_recipient
        };
        row.set(Column::RecipientAddress, text(address));
        row.set(Column::ServerHostname, text(&recipient.remote_mta));
        row.set(Column::ClientHostname, text(&self.reporting_mta));
        row.set(Column::RecipientStatus, text(&recipient.diagnostic_code));
        row
    }
}

fn time(date: &str) -> Option<Timestamp> {
    rfc2822::parse(date).ok().map(|zoned| zoned.timestamp())
}
