//! Events on their way into the history, by the day on which their message was received.

use jiff::Timestamp;
use uuid::Uuid;

use super::{row::json, session::Session};
use crate::{NewEvent, Result};

/// Events of several messages, in order.
#[derive(Default)]
pub(super) struct Events {
    pub(super) received: Vec<i64>,
    pub(super) message: Vec<i64>,
    pub(super) uid: Vec<Uuid>,
    pub(super) json: Vec<String>,
}

/// The message that an event is about.
#[derive(Clone, Copy)]
pub(super) struct Of {
    pub(super) message: i64,
    pub(super) received: i64,
}

pub(super) const INSERT: &str = "INSERT INTO event (received, message, uid, json)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::text[])";

impl Events {
    pub(super) fn push(&mut self, of: Of, event: &NewEvent) -> Result<()> {
        self.push_as(of, event.id, &event.event)
    }

    /// Where the event is kept in another form than it came in.
    pub(super) fn push_as(&mut self, of: Of, id: Uuid, form: &impl serde::Serialize) -> Result<()> {
        self.json.push(json(form)?);
        self.received.push(of.received);
        self.message.push(of.message);
        self.uid.push(id);
        Ok(())
    }

    pub(super) async fn insert(&self, session: &Session) -> Result<()> {
        if self.message.is_empty() {
            return Ok(());
        }
        session.execute(INSERT, &[&self.received, &self.message, &self.uid, &self.json]).await.map(drop)
    }

    /// Leaves out those that are there already.
    pub(super) async fn insert_missing(&self, session: &Session) -> Result<()> {
        if self.message.is_empty() {
            return Ok(());
        }
        let sql = "INSERT INTO event (received, message, uid, json) SELECT n.*
                   FROM unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::text[]) AS n (received, message, uid, json)
                   WHERE NOT EXISTS (SELECT 1 FROM event AS known WHERE known.message = n.message
                       AND known.received = n.received AND known.uid = n.uid)";
        session.execute(sql, &[&self.received, &self.message, &self.uid, &self.json]).await.map(drop)
    }
}

/// For events that the store writes by itself.
pub(super) fn own(at: Timestamp, node: &str, message: Uuid, recipient: &str, kind: trace::EventKind) -> NewEvent {
    let recipient = protocol::smtp::Address::parse(recipient).ok();
    trace::Event { at, node: node.to_owned(), message, recipient, kind }.into()
}
