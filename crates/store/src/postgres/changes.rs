//! What settlements change in deliveries, as arrays for one statement.

use std::sync::LazyLock;

use tokio_postgres::types::ToSql;

use super::{row::json, row::text, session::Session};
use crate::{DeliveryKey, Result, State, last_attempt::Note, state::Change, stored::state_number};

/// One delivery each. `None` leaves a value as it was.
#[derive(Default)]
pub(super) struct Changes {
    id: Vec<i64>,
    state: Vec<i16>,
    settled: Vec<Option<i64>>,
    reply: Vec<Option<String>>,
    failure: Vec<Option<String>>,
    keeps_failure: Vec<bool>,
    due: Vec<Option<i64>>,
    review: Vec<Option<i64>>,
    delay_notified: Vec<Option<bool>>,
    attempts: Vec<i32>,
    last_lease: Vec<i64>,
    has_owed: Vec<bool>,
    owed: Vec<Option<i16>>,
    owed_since: Vec<Option<i64>>,
    node: Vec<Option<String>>,
    tls_policy: Vec<Option<String>>,
    tls: Vec<Option<String>>,
    remote: Vec<Option<String>>,
    code: Vec<Option<String>>,
}

/// What one settlement changes beside the outcome.
pub(super) struct Settled<'a> {
    pub(super) delivery: DeliveryKey,
    pub(super) state: State,
    pub(super) lease: i64,
    pub(super) change: Change<'a>,
    pub(super) due: Option<i64>,
    pub(super) review: Option<i64>,
    /// `Some`: the notice that is owed from now on, if any.
    pub(super) owed: Option<Option<(i16, i64)>>,
    pub(super) note: Option<Note<'a>>,
}

/// The arrays as rows of `n`; their parameters are the first of a statement.
const ROWS: &str = "unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::text[], $5::text[], $6::boolean[],
        $7::bigint[], $8::bigint[], $9::boolean[], $10::int[], $11::bigint[], $12::boolean[], $13::smallint[],
        $14::bigint[], $15::text[], $16::text[], $17::text[], $18::text[], $19::text[])
    AS n (id, state, settled, reply, failure, keeps_failure, due, review, delay_notified, attempts, last_lease,
        has_owed, owed, owed_since, node, tls_policy, tls, remote, code)";

/// Of deliveries that stay in the queue.
pub(super) static UPDATE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE queue_delivery AS d SET state = n.state, settled = n.settled, reply = coalesce(n.reply, d.reply),
         failure = CASE WHEN n.keeps_failure THEN coalesce(d.failure, n.failure)
             ELSE coalesce(n.failure, d.failure) END,
         due = coalesce(n.due, d.due), review = coalesce(n.review, d.review),
         delay_notified = coalesce(n.delay_notified, d.delay_notified), attempts = d.attempts + n.attempts,
         lease_node = NULL, lease_until = NULL, lease = NULL, last_lease = n.last_lease,
         owed = CASE WHEN n.has_owed THEN n.owed ELSE d.owed END,
         owed_since = CASE WHEN n.has_owed THEN n.owed_since ELSE d.owed_since END,
         node = coalesce(n.node, d.node), tls_policy = coalesce(n.tls_policy, d.tls_policy),
         tls = coalesce(n.tls, d.tls),
         remote = CASE WHEN n.node IS NULL THEN d.remote ELSE n.remote END,
         code = CASE WHEN n.node IS NULL THEN d.code ELSE n.code END
     FROM {ROWS} WHERE d.id = n.id AND d.id = ANY($1)"
    )
});

/// Of whole messages, from the queue to the history.
pub(super) static MOVE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH d AS (DELETE FROM queue_delivery WHERE message = ANY($20::bigint[]) RETURNING *),
     m AS (DELETE FROM queue_message WHERE message = ANY($20) RETURNING *),
     b AS (DELETE FROM body WHERE message = ANY($20)),
     o AS (UPDATE body_outside SET gone = 0 WHERE message = ANY($20))
     INSERT INTO history (id, message, network_message_id, received, sender, eight_bit, smtputf8, ret, envid,
         message_id, subject, size, client, withhold, recipient, notify, orcpt, connector, state, due, review,
         attempts, delay_notified, last_lease, suspended_by, failure, reply, settled, node, tls_policy, tls,
         remote, code)
     SELECT d.id, d.message, m.network_message_id, m.received, m.sender, m.eight_bit, m.smtputf8, m.ret, m.envid,
         m.message_id, m.subject, m.size, m.client, m.withhold, d.recipient, d.notify, d.orcpt, d.connector,
         coalesce(n.state, d.state), coalesce(n.due, d.due), coalesce(n.review, d.review),
         d.attempts + coalesce(n.attempts, 0), coalesce(n.delay_notified, d.delay_notified),
         coalesce(n.last_lease, d.last_lease), d.suspended_by, coalesce(n.failure, d.failure),
         coalesce(n.reply, d.reply), coalesce(n.settled, d.settled), coalesce(n.node, d.node),
         coalesce(n.tls_policy, d.tls_policy), coalesce(n.tls, d.tls),
         CASE WHEN n.node IS NULL THEN d.remote ELSE n.remote END,
         CASE WHEN n.node IS NULL THEN d.code ELSE n.code END
     FROM d JOIN m USING (message) LEFT JOIN {ROWS} ON n.id = d.id"
    )
});

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.id.is_empty()
    }

    pub(super) fn push(&mut self, settled: &Settled<'_>) -> Result<()> {
        let Settled { change, note, owed, .. } = settled;
        self.id.push(settled.delivery.0);
        self.state.push(state_number(settled.state).into());
        self.settled.push(change.end.map(|(_, at)| at.as_millisecond()));
        self.reply.push(change.reply.map(json).transpose()?);
        self.failure.push(change.failure.map(json).transpose()?);
        self.keeps_failure.push(change.keeps_failure);
        self.due.push(settled.due);
        self.review.push(settled.review);
        self.delay_notified.push(change.delay_notified);
        self.attempts.push(change.is_attempt.into());
        self.last_lease.push(settled.lease);
        self.has_owed.push(owed.is_some());
        self.owed.push(owed.flatten().map(|(action, _)| action));
        self.owed_since.push(owed.flatten().map(|(_, since)| since));
        let note = note.as_ref();
        self.node.push(note.map(|note| text(note.node).into_owned()));
        self.tls_policy.push(note.map(|note| text(note.tls_policy).into_owned()));
        self.tls.push(note.map(|note| text(&note.tls).into_owned()));
        self.remote.push(note.and_then(|note| note.to_ip).map(|ip| ip.to_string()));
        self.code.push(note.and_then(|note| note.codes.clone()));
        Ok(())
    }

    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.id,
            &self.state,
            &self.settled,
            &self.reply,
            &self.failure,
            &self.keeps_failure,
            &self.due,
            &self.review,
            &self.delay_notified,
            &self.attempts,
            &self.last_lease,
            &self.has_owed,
            &self.owed,
            &self.owed_since,
            &self.node,
            &self.tls_policy,
            &self.tls,
            &self.remote,
            &self.code,
        ]
    }

    /// In the queue.
    pub(super) async fn update(&self, session: &Session) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        session.execute(&UPDATE, &self.parameters()).await.map(drop)
    }

    /// Moves whole messages from the queue to the history, where these are the changes of their last deliveries.
    pub(super) async fn move_to_history(&self, session: &Session, messages: &[i64]) -> Result<()> {
        if messages.is_empty() {
            return Ok(());
        }
        let mut parameters = self.parameters();
        parameters.push(&messages);
        session.execute(&MOVE, &parameters).await.map(drop)
    }
}
