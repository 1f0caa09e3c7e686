//! Attempts from queues, whose row stands for all messages in it.

use trace::{
    ForeignFormat,
    message_trace::{Column, Row, custom_value},
};

use super::trace_rows;
use crate::evidence::Evidence;

/// Messages taken of one queue.
const MESSAGES_MAX: u64 = 10_000;

/// Adds the attempt of a row, once for each message of a queue: they all wait for the same reason. `line` is its number in
/// the file, from 1.
pub fn add_row(evidence: &mut Evidence, format: &'static ForeignFormat, row: &Row, file: &str, line: u64) {
    let queued: Option<u64> =
        custom_value(&row[Column::CustomData], "QueuedMessages").and_then(|count| count.parse().ok());
    let Some(queued) = queued else { return trace_rows::add_row(evidence, format, row, file, line) };
    let queue = &row[Column::NetworkMessageId];
    let mut one = row.clone();
    if queued == 0 {
        // It was tried, and nothing waits.
        one.set(Column::NetworkMessageId, "");
        return trace_rows::add_row(evidence, format, &one, file, line);
    }
    for number in 1..=queued.min(MESSAGES_MAX) {
        let mut one = row.clone();
        one.set(Column::NetworkMessageId, format!("{queue} no. {number}"));
        trace_rows::add_row(evidence, format, &one, file, line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose;

    #[test]
    fn messages_of_a_queue_wait_for_one_reason() {
        for (queued, pending) in [("143", 143), ("0", 0)] {
            let mut row = Row::default();
            row.set(Column::EventId, "DEFER");
            row.set(Column::NetworkMessageId, "EX01\\2231");
            row.set(Column::RecipientAddress, "*@onprem.test");
            row.set(
                Column::RecipientStatus,
                "[{LED=450 4.4.316 Connection refused [Message=Socket error code 10061]};{MSG=};{FQDN=mail.onprem.test};{IP=192.0.2.1}]",
            );
            row.set(Column::CustomData, format!("S:QueuedMessages={queued}"));
            let mut evidence = Evidence::default();
            add_row(&mut evidence, &trace::message_trace::TRACKING_LOG, &row, "queue.txt", 3);
            let findings = diagnose(&evidence);
            assert_eq!(findings[0].messages_pending, pending);
            assert_eq!(findings[0].scope.destination, "mail.onprem.test");
        }
    }
}
