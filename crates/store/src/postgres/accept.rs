//! Into the queue: all messages that wait to be accepted, with their deliveries, bodies and events, in one statement.

use std::{borrow::Cow, collections::HashSet};

use jiff::Timestamp;
use protocol::smtp::BodyType;
use uuid::Uuid;

use super::{
    events::{Events, Of},
    lane::SERVER_TIME,
    row::{millis, text},
    session::Session,
    tally,
};
use crate::{
    Accepted, Content, DeliveryKey, Member, MessageKey, NewEvent, NewMessage, Result,
    lease::LEASE_COUNT_BITS,
    stored::{notify_bits, ret_number},
    withhold::Withhold,
};

/// A message on its way into the queue. The keys are for what is new; their lease is the holder's.
pub(super) struct New<'a> {
    pub(super) message: &'a NewMessage,
    pub(super) keys: &'a Accepted,
    pub(super) holder: Option<&'a Member>,
    /// The node for which it is counted.
    pub(super) node: &'a str,
    pub(super) events: &'a [NewEvent],
}

/// Only what is new is counted. A message is inserted once, however often it is tried: finished mail is looked for where its day of receipt is. An upload that
/// is not there any more was swept.
const INSERT: &str = "
    WITH clock AS MATERIALIZED (SELECT coalesce($1::bigint, {now}) AS now),
    uploaded AS (DELETE FROM upload WHERE message = ANY($2::bigint[]) RETURNING message),
    m AS (
        INSERT INTO queue_message (message, network_message_id, received, sender, eight_bit, smtputf8, ret, envid,
            message_id, subject, size, client, withhold)
        SELECT n.* FROM unnest($3::bigint[], $4::uuid[], $5::bigint[], $6::text[], $7::boolean[], $8::boolean[],
                $9::smallint[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::text[], $15::smallint[])
            AS n (message, network_message_id, received, sender, eight_bit, smtputf8, ret, envid, message_id, subject,
                size, client, withhold)
        WHERE (n.message <> ALL($2::bigint[]) OR n.message IN (SELECT message FROM uploaded))
            AND NOT EXISTS (SELECT 1 FROM history AS h WHERE h.network_message_id = n.network_message_id
                AND h.received BETWEEN $16::bigint AND $17::bigint)
        ON CONFLICT (network_message_id) DO NOTHING RETURNING message, size
    ),
    b AS (
        INSERT INTO body (message, piece, bytes) SELECT n.message, 0, n.bytes
        FROM unnest($18::bigint[], $19::bytea[]) AS n (message, bytes) JOIN m USING (message)
    ),
    e AS (
        INSERT INTO event (received, message, uid, json) SELECT n.received, n.message, n.uid, n.json
        FROM unnest($20::bigint[], $21::bigint[], $22::uuid[], $23::text[]) AS n (received, message, uid, json)
            JOIN m USING (message)
    ),
    d AS (
        INSERT INTO queue_delivery (id, message, recipient, domain, notify, orcpt, connector, due, review, state,
            lease_node, lease)
        SELECT n.id, n.message, n.recipient, n.domain, n.notify, n.orcpt, n.connector, clock.now + n.due,
            clock.now + n.review, CASE WHEN n.lease IS NULL THEN 0 ELSE 1 END, n.lease_node, n.lease
        FROM unnest($24::bigint[], $25::bigint[], $26::text[], $27::text[], $28::smallint[], $29::text[], $30::text[],
                $31::bigint[], $32::bigint[], $33::text[], $34::bigint[])
            AS n (id, message, recipient, domain, notify, orcpt, connector, due, review, lease_node, lease)
            JOIN m USING (message) CROSS JOIN clock
    ),
    counted AS (
        INSERT INTO tally AS t (span, minute, outcome, connector, node, tls_policy, tls, cause, deliveries, bytes)
        SELECT 1, clock.now - clock.now % 60000, 0, n.connector, n.node, '', '', '', count(*), sum(m.size)::bigint
        FROM unnest($25::bigint[], $30::text[], $35::text[]) AS n (message, connector, node)
            JOIN m USING (message) CROSS JOIN clock
        GROUP BY clock.now, n.connector, n.node ORDER BY n.connector, n.node
        {add}
    )
    SELECT message FROM m";

#[derive(Default)]
struct Messages<'a> {
    stored: Vec<i64>,
    key: Vec<i64>,
    network_message_id: Vec<Uuid>,
    received: Vec<i64>,
    sender: Vec<Cow<'a, str>>,
    eight_bit: Vec<bool>,
    smtputf8: Vec<bool>,
    ret: Vec<Option<i16>>,
    envid: Vec<Option<Cow<'a, str>>>,
    message_id: Vec<Option<Cow<'a, str>>>,
    subject: Vec<Option<Cow<'a, str>>>,
    size: Vec<i64>,
    client: Vec<Option<String>>,
    withhold: Vec<i16>,
    body_message: Vec<i64>,
    body: Vec<&'a [u8]>,
}

impl<'a> Messages<'a> {
    fn push(&mut self, new: &New<'a>) {
        let New { message, keys, .. } = new;
        let envelope = &message.envelope;
        let withhold = if message.withhold_addresses { Withhold::WhenFinished } else { Withhold::Never };
        self.key.push(keys.message.0);
        self.network_message_id.push(message.network_message_id);
        self.received.push(message.received.as_millisecond());
        self.sender.push(text(envelope.sender.as_str()));
        self.eight_bit.push(envelope.body_type == BodyType::EightBitMime);
        self.smtputf8.push(envelope.smtputf8);
        self.ret.push(envelope.ret.map(ret_number).map(i16::from));
        self.envid.push(envelope.envid.as_deref().map(text));
        self.message_id.push(message.message_id.as_deref().map(text));
        self.subject.push(message.subject.as_deref().map(text));
        self.size.push(message.size_bytes as i64);
        self.client.push(message.client.map(|client| client.to_string()));
        self.withhold.push(withhold.number().into());
        match &message.content {
            Content::Stored(_) => self.stored.push(keys.message.0),
            Content::Inline(bytes) => {
                self.body_message.push(keys.message.0);
                self.body.push(bytes);
            }
        }
    }
}

#[derive(Default)]
struct Deliveries<'a> {
    id: Vec<i64>,
    message: Vec<i64>,
    recipient: Vec<Cow<'a, str>>,
    domain: Vec<String>,
    notify: Vec<Option<i16>>,
    orcpt: Vec<Option<Cow<'a, str>>>,
    connector: Vec<Cow<'a, str>>,
    due: Vec<i64>,
    review: Vec<i64>,
    lease_node: Vec<Option<&'a str>>,
    lease: Vec<Option<i64>>,
    node: Vec<&'a str>,
}

impl<'a> Deliveries<'a> {
    fn push(&mut self, new: &New<'a>) {
        let New { message, keys, holder, node, .. } = new;
        for (delivery, key) in message.deliveries.iter().zip(&keys.deliveries) {
            self.id.push(key.0);
            self.message.push(keys.message.0);
            self.recipient.push(text(delivery.recipient.as_str()));
            self.domain.push(text(&delivery.recipient.domain_key()).into_owned());
            self.notify.push(delivery.notify.map(notify_bits).map(i16::from));
            self.orcpt.push(delivery.orcpt.as_deref().map(text));
            self.connector.push(text(&delivery.connector));
            self.due.push(millis(delivery.due_in));
            self.review.push(millis(delivery.review_in));
            self.lease_node.push(holder.map(Member::name));
            self.lease.push(holder.and(keys.lease).map(|number| number.0));
            self.node.push(node);
        }
    }
}

/// Returns the keys of what is in the queue now. What is missing was accepted before, or has lost its body.
pub(super) async fn insert(
    session: &Session,
    clock: Option<Timestamp>,
    batch: &[New<'_>],
) -> Result<HashSet<MessageKey>> {
    let (mut m, mut d, mut e) = (Messages::default(), Deliveries::default(), Events::default());
    for new in batch {
        m.push(new);
        d.push(new);
        for event in new.events {
            let received = new.message.received.as_millisecond();
            e.push(Of { message: new.keys.message.0, received }, event)?;
        }
    }
    let clock = clock.map(|now| now.as_millisecond());
    let (first, last) = (m.received.iter().min().copied(), m.received.iter().max().copied());
    let sql = INSERT.replace("{now}", SERVER_TIME).replace("{add}", tally::ADD);
    let rows = session
        .query(
            &sql,
            &[
                &clock,
                &m.stored,
                &m.key,
                &m.network_message_id,
                &m.received,
                &m.sender,
                &m.eight_bit,
                &m.smtputf8,
                &m.ret,
                &m.envid,
                &m.message_id,
                &m.subject,
                &m.size,
                &m.client,
                &m.withhold,
                &first,
                &last,
                &m.body_message,
                &m.body,
                &e.received,
                &e.message,
                &e.uid,
                &e.json,
                &d.id,
                &d.message,
                &d.recipient,
                &d.domain,
                &d.notify,
                &d.orcpt,
                &d.connector,
                &d.due,
                &d.review,
                &d.lease_node,
                &d.lease,
                &d.node,
            ],
        )
        .await?;
    rows.iter().map(|row| Ok(MessageKey(row.try_get(0)?))).collect()
}

/// What an earlier call made, if there was one. Its caller may not know the lease that it was given, and gets another.
pub(super) async fn accepted_before(session: &Session, new: &New<'_>) -> Result<Option<Accepted>> {
    let (id, received) = (new.message.network_message_id, new.message.received.as_millisecond());
    let rows = session
        .query(
            "SELECT message, id FROM queue_message JOIN queue_delivery USING (message) WHERE network_message_id = $1
         UNION ALL SELECT message, id FROM history WHERE network_message_id = $1 AND received = $2 ORDER BY id",
            &[&id, &received],
        )
        .await?;

    let Some(first) = rows.first() else { return Ok(None) };
    let message: i64 = first.try_get(0)?;
    let deliveries = rows.iter().map(|row| Ok(DeliveryKey(row.try_get(1)?))).collect::<Result<Vec<_>>>()?;
    let mut held = 0;
    if let Some(number) = new.holder.and(new.keys.lease) {
        let sql = format!(
            "UPDATE queue_delivery SET lease = $2 WHERE message = $1 AND state = 1 AND lease >> {LEASE_COUNT_BITS} = $3"
        );
        held = session.execute(&sql, &[&message, &number.0, &number.epoch().0]).await?;
    }
    let lease = new.keys.lease.filter(|_| held as usize == deliveries.len());
    Ok(Some(Accepted { message: MessageKey(message), deliveries, lease }))
}
