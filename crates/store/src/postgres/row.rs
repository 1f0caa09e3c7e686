//! Between rows and types.

use std::{borrow::Cow, net::IpAddr};

use jiff::Timestamp;
use protocol::smtp::{BodyType, Envelope};
use serde::{Serialize, de::DeserializeOwned};
use tokio_postgres::{Row, types::FromSql};
use trace::Event;
use uuid::Uuid;

use crate::{
    Delivery, DeliveryKey, DeliveryRecord, LastAttempt, Lease, MEMBER_VALID, Message, MessageKey, Result, State,
    StoreError,
    clock::after,
    restoration::RESTORE,
    stored::{failure, notify_from_bits, ret_from_number, state_from_number, time_from_millis},
};

/// Text as PostgreSQL takes it: it has no NUL.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// JSON, in which NUL is written as an escape.
pub(super) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Other(format!("failed to write JSON: {error}")))
}

/// For [`MessageKey`]s in parameters.
pub(super) fn numbers(keys: &[MessageKey]) -> Vec<i64> {
    keys.iter().map(|key| key.0).collect()
}

fn unreadable(what: &str) -> StoreError {
    StoreError::Other(format!("a row cannot be read: {what}"))
}

/// Milliseconds as a parameter; a duration that is too long lasts for a thousand years.
pub(super) fn millis(duration: std::time::Duration) -> i64 {
    duration.as_millis().min(1000 * 365 * 24 * 3600 * 1000) as i64
}

/// A row from its first column to its last.
pub(super) struct Columns<'a> {
    row: &'a Row,
    next: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn of(row: &'a Row) -> Self {
        Self { row, next: 0 }
    }

    pub(super) fn take<T: FromSql<'a>>(&mut self) -> Result<T> {
        self.next += 1;
        Ok(self.row.try_get(self.next - 1)?)
    }

    pub(super) fn time(&mut self) -> Result<Timestamp> {
        self.take().map(time_from_millis)
    }

    pub(super) fn time_if_any(&mut self) -> Result<Option<Timestamp>> {
        Ok(self.take::<Option<i64>>()?.map(time_from_millis))
    }

    pub(super) fn state(&mut self) -> Result<State> {
        let number: i16 = self.take()?;
        state_from_number(number.into()).ok_or_else(|| unreadable("state"))
    }

    pub(super) fn json<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let text: Option<&str> = self.take()?;
        let parsed = text.map(serde_json::from_str).transpose();
        parsed.map_err(|error| unreadable(&error.to_string()))
    }

    fn parsed<T: std::str::FromStr>(&mut self, what: &str) -> Result<Option<T>> {
        let text: Option<&str> = self.take()?;
        text.map(|text| text.parse().map_err(|_| unreadable(what))).transpose()
    }
}

/// The columns that [`message`] reads.
pub(super) const MESSAGE_COLUMNS: &str =
    "message, network_message_id, received, sender, eight_bit, smtputf8, ret, envid, message_id, subject, size, client";

pub(super) fn message(columns: &mut Columns<'_>) -> Result<Message> {
    let (key, network_message_id, received) = (MessageKey(columns.take()?), columns.take::<Uuid>()?, columns.time()?);
    let sender: String = columns.take()?;
    let eight_bit: bool = columns.take()?;
    let envelope = Envelope {
        sender: sender.try_into().map_err(|_| unreadable("sender"))?,
        body_type: if eight_bit { BodyType::EightBitMime } else { BodyType::SevenBit },
        smtputf8: columns.take()?,
        ret: columns.take::<Option<i16>>()?.map(|ret| ret_from_number(ret as u8)),
        envid: columns.take()?,
    };
    Ok(Message {
        key,
        network_message_id,
        received,
        envelope,
        message_id: columns.take()?,
        subject: columns.take()?,
        size_bytes: columns.take::<i64>()? as u64,
        client: columns.parsed::<IpAddr>("client")?,
    })
}

/// The columns that [`delivery`] reads.
pub(super) const DELIVERY_COLUMNS: &str = "id, recipient, notify, orcpt, connector, attempts, delay_notified, failure";

pub(super) fn delivery(columns: &mut Columns<'_>) -> Result<Delivery> {
    let key = DeliveryKey(columns.take()?);
    let recipient: String = columns.take()?;
    Ok(Delivery {
        key,
        recipient: recipient.try_into().map_err(|_| unreadable("recipient"))?,
        notify: columns.take::<Option<i16>>()?.map(|bits| notify_from_bits(bits as u8)),
        orcpt: columns.take()?,
        connector: columns.take()?,
        attempts: columns.take::<i32>()? as u32,
        delay_notified: columns.take()?,
        failure: columns.take::<Option<&str>>()?.map(failure),
    })
}

/// The other columns that [`record`] reads.
const STANDING_COLUMNS: &str =
    "state, due, review, lease_node, CASE WHEN state = 1 THEN (SELECT seen FROM member WHERE name = lease_node) END,
     suspended_by, reply, settled, node, tls_policy, tls, remote";

/// The columns that [`record`] reads, from the queue or from the history.
pub(super) fn record_columns() -> String {
    format!("{MESSAGE_COLUMNS}, {DELIVERY_COLUMNS}, {STANDING_COLUMNS}")
}

/// Where the columns of what waits come from.
pub(super) const QUEUE: &str = "queue_message JOIN queue_delivery USING (message)";

pub(super) fn record(row: &Row) -> Result<DeliveryRecord> {
    record_from(&mut Columns::of(row))
}

pub(super) fn record_from(columns: &mut Columns<'_>) -> Result<DeliveryRecord> {
    let (message, delivery, state) = (message(columns)?, delivery(columns)?, columns.state()?);
    let (due, review) = (columns.time()?, columns.time()?);
    let (lease_node, heard): (Option<String>, _) = (columns.take()?, columns.time_if_any()?);
    let lease = match (state, lease_node, heard) {
        (State::Leased, Some(node), Some(heard)) => Some(Lease { node, until: after(heard, MEMBER_VALID) }),
        _ => None,
    };
    let suspended_by: Option<String> = columns.take()?;
    Ok(DeliveryRecord {
        message,
        delivery,
        state,
        due,
        review,
        lease,
        is_held: state == State::Suspended && suspended_by.as_deref() == Some(RESTORE),
        suspended_by,
        reply: columns.json()?,
        settled: columns.time_if_any()?,
        last_attempt: last_attempt(columns)?,
    })
}

fn last_attempt(columns: &mut Columns<'_>) -> Result<Option<LastAttempt>> {
    let (node, tls_policy, tls): (Option<String>, Option<String>, Option<String>) =
        (columns.take()?, columns.take()?, columns.take()?);
    let to_ip = columns.parsed::<IpAddr>("remote")?;
    Ok(node.map(|node| LastAttempt::read(node, tls_policy, tls, to_ip)))
}

/// Events in JSON, in order. One that cannot be read at all is left out.
pub(super) fn events<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<Event> {
    let read = |text: &str| Event::read(text).inspect_err(|error| tracing::debug!(%error, "left out an event")).ok();
    texts.filter_map(read).collect()
}

/// Leaves out rows that cannot be read, because a newer version wrote them.
pub(super) fn readable<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T>) -> Vec<T> {
    let read = |row| read(row).inspect_err(|error| tracing::debug!(%error, "left out a row that cannot be read")).ok();
    rows.iter().filter_map(read).collect()
}
