//! What waits in a queue, as `mailq` and `postqueue` list it: Postfix, sendmail and Exim. A listing has states, not
//! attempts: the reason of a message that waits is its last failed attempt.

mod json;
mod mailq;

pub use json::FORMAT as POSTQUEUE;
pub use mailq::FORMAT as MAILQ;

use jiff::Timestamp;

use crate::{
    letter::{Event, Letter, Server},
    message_trace::{Column, CustomData, Row},
};

/// The rows of one recipient: the receipt, and the last failure where the listing has one.
fn rows(letter: &mut Letter, recipient: &str, reason: &str, tried_at: Option<Timestamp>) -> Vec<Row> {
    let event = if reason.is_empty() { Event::Receive } else { Event::Defer };
    let at = if event == Event::Receive { letter.since } else { tried_at };
    let (received, mut row) = letter.rows(event, at, recipient);
    row.set(Column::RecipientStatus, reason);
    let (server, mut data) = (server(reason), CustomData::default());
    server.set(&mut row);
    server.add_port(&mut data);
    row.set(Column::CustomData, data);
    received.into_iter().chain([row]).collect()
}

/// Postfix names a server with its address, sendmail at the end: `Deferred: Connection refused by mx.dest.example.`
fn server(reason: &str) -> Server<'_> {
    let server = Server::in_words(reason);
    if server != Server::default() || !reason.starts_with("Deferred") {
        return server;
    }
    let host = [" with ", " by "].iter().find_map(|words| reason.rsplit_once(words)).map_or("", |(_, host)| host);
    Server::read(host)
}
