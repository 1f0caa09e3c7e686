//! The tables that a migration moves, with the names that their columns have on both sides.
//!
//! On the server, a message is in the queue until nothing of it can be sent and its sender knows of all; then it is in the
//! history. The embedded store keeps both in one place. Keys stay as they are.

use super::facts::{
    Column,
    Kind::{self, Bytes, Domain, Flag, Id, Large, Medium, Small, Text},
};

/// A table with rows of messages.
#[derive(Debug)]
pub(crate) struct MailTable {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [&'static [Column]],
    /// In the embedded store: tables, and the condition for a message `m`.
    pub(crate) source: &'static str,
    pub(crate) condition: &'static str,
    /// What ascends within a message: in the embedded store, and on the server.
    pub(crate) source_order: &'static str,
    pub(crate) order: &'static str,
    /// Rows that are in memory at a time.
    pub(crate) page: u32,
}

/// Another table, whose rows are of no message.
#[derive(Debug)]
pub(crate) struct OtherTable {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column],
    pub(crate) source_order: &'static str,
    pub(crate) order: &'static str,
}

const fn column(name: &'static str, kind: Kind, source: &'static str) -> Column {
    Column { name, kind, source }
}

const fn same(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, source: name }
}

const MESSAGE: &[Column] = &[
    column("message", Large, "m.id"),
    column("network_message_id", Id, "m.network_message_id"),
    column("received", Large, "m.received"),
    column("sender", Text, "m.sender"),
    column("eight_bit", Flag, "m.eight_bit"),
    column("smtputf8", Flag, "m.smtputf8"),
    column("ret", Small, "m.ret"),
    column("envid", Text, "m.envid"),
    column("message_id", Text, "m.message_id"),
    column("subject", Text, "m.subject"),
    column("size", Large, "m.size"),
    column("client", Text, "m.client"),
    column("withhold", Small, "m.withhold"),
];

const DELIVERY: &[Column] = &[
    column("id", Large, "d.id"),
    column("recipient", Text, "d.recipient"),
    column("notify", Small, "d.notify"),
    column("orcpt", Text, "d.orcpt"),
    column("connector", Text, "d.connector"),
    column("state", Small, "d.state"),
    column("due", Large, "d.due"),
    column("review", Large, "d.review"),
    column("attempts", Medium, "d.attempts"),
    column("delay_notified", Flag, "d.delay_notified"),
    // What a restored folder has suspended: an answer to a restore of the server is not about it.
    column("suspended_by", Text, "replace(d.suspended_by, 'gatepost restore', 'gatepost restore (folder)')"),
    column("failure", Text, "d.failure"),
    column("reply", Text, "d.reply"),
    column("settled", Large, "d.settled"),
    column("node", Text, "d.node"),
    column("tls_policy", Text, "d.tls_policy"),
    column("tls", Text, "d.tls"),
    column("remote", Text, "d.remote"),
    column("code", Text, "d.code"),
];

/// A delivery beside its message.
const WAITING: &[Column] = &[
    column("message", Large, "m.id"),
    column("domain", Domain, "d.recipient"),
    column("owed", Small, "d.owed"),
    column("owed_since", Large, "d.owed_since"),
];

/// Events of versions that gave them no id get one that is theirs alone: 16 digits.
const EVENT: &[Column] = &[
    column("received", Large, "m.received"),
    column("message", Large, "m.id"),
    column("uid", Id, "coalesce(e.uid, CAST(printf('%016d', e.id) AS BLOB))"),
    column("json", Text, "e.json"),
];

const BODY: &[Column] =
    &[column("message", Large, "m.id"), column("piece", Medium, "b.id & 1048575"), column("bytes", Bytes, "b.bytes")];

const WAITS: &str =
    "EXISTS (SELECT 1 FROM delivery AS l WHERE l.message = m.id AND (l.state <= 2 OR l.owed IS NOT NULL))";
const IS_FINISHED: &str =
    "NOT EXISTS (SELECT 1 FROM delivery AS l WHERE l.message = m.id AND (l.state <= 2 OR l.owed IS NOT NULL))";

const PAGE: u32 = 500;
/// Pieces have up to 256 KiB.
const BODY_PAGE: u32 = 16;

/// In this order, and so in the digest.
pub(crate) const MAIL: [MailTable; 5] = [
    MailTable {
        name: "queue_message",
        columns: &[MESSAGE],
        source: "message AS m",
        condition: WAITS,
        source_order: "m.id",
        order: "message",
        page: PAGE,
    },
    MailTable {
        name: "queue_delivery",
        columns: &[DELIVERY, WAITING],
        source: "message AS m CROSS JOIN delivery AS d ON d.message = m.id",
        condition: WAITS,
        source_order: "d.id",
        order: "id",
        page: PAGE,
    },
    MailTable {
        name: "body",
        columns: &[BODY],
        source: "message AS m CROSS JOIN body AS b ON b.id >= m.id << 20 AND b.id < (m.id + 1) << 20",
        condition: WAITS,
        source_order: "b.id",
        order: "piece",
        page: BODY_PAGE,
    },
    MailTable {
        name: "history",
        columns: &[DELIVERY, MESSAGE],
        source: "message AS m CROSS JOIN delivery AS d ON d.message = m.id",
        condition: IS_FINISHED,
        source_order: "d.id",
        order: "id",
        page: PAGE,
    },
    MailTable {
        name: "event",
        columns: &[EVENT],
        source: "message AS m CROSS JOIN event AS e ON e.message = m.id",
        condition: "EXISTS (SELECT 1 FROM delivery AS l WHERE l.message = m.id)",
        source_order: "e.id",
        order: "position",
        page: PAGE,
    },
];

/// Places of [`MAIL`] for what is counted for people.
pub(crate) const DELIVERIES: [usize; 2] = [1, 3];
pub(crate) const EVENTS: usize = 4;

/// Members, their reports and questions to them stay behind, as does the turn to watch: they are of processes that have
/// ended. So does what nodes have seen of destinations: they see it again.
/// Invitations and sessions stay as well: people log in again.
pub(crate) const OTHERS: [OtherTable; 8] = [
    OtherTable {
        name: "plan",
        columns: &[same("version", Large), same("at", Large), same("set_by", Text), same("json", Text)],
        source_order: "version",
        order: "version",
    },
    OtherTable {
        name: "ledger",
        columns: &[
            same("host", Text),
            same("port", Medium),
            same("connector", Text),
            same("tls_policy", Text),
            same("tls", Text),
            same("why", Text),
            same("deliveries", Large),
            same("first", Large),
            same("last", Large),
        ],
        source_order: "host, port, connector, tls_policy, tls, why",
        order: "host, port, connector, tls_policy, tls, why",
    },
    OtherTable {
        name: "incident",
        columns: &[
            same("id", Id),
            same("connector", Text),
            same("destination", Text),
            same("cause", Text),
            same("node", Text),
            same("opened", Large),
            same("last_seen", Large),
            same("closed", Large),
            same("closed_because", Text),
            same("pending", Large),
            same("pending_peak", Large),
            same("oldest", Large),
            same("finding", Text),
            same("picture", Text),
        ],
        source_order: "id",
        order: "id",
    },
    OtherTable {
        name: "incident_note",
        columns: &[same("id", Id), same("incident", Id), same("at", Large), same("who", Text), same("text", Text)],
        source_order: "id",
        order: "id",
    },
    // Calls get new keys, in the order of the old ones.
    OtherTable {
        name: "webhook_call",
        columns: &[
            same("id", Id),
            same("incident", Id),
            same("body", Text),
            same("attempts", Medium),
            same("due", Large),
        ],
        source_order: "key",
        order: "key",
    },
    OtherTable {
        name: "retry_request",
        columns: &[same("connector", Text), same("at", Large)],
        source_order: "connector",
        order: "connector",
    },
    OtherTable {
        name: "notice_sent",
        columns: &[same("address", Text), same("at", Large)],
        source_order: "address, at",
        order: "address, at",
    },
    OtherTable {
        name: "drained",
        columns: &[same("node", Text), same("at", Large), same("set_by", Text)],
        source_order: "node",
        order: "node",
    },
];

/// Tallies, the change log, users and tokens. They are moved, but not compared: a node that starts on the server merges tallies,
/// adds changes and notes the use of tokens, users log in there, and its mail may still go back.
pub(crate) const UNCOMPARED: [OtherTable; 4] = [
    OtherTable {
        name: "tally",
        columns: &[
            same("span", Small),
            same("minute", Large),
            same("outcome", Small),
            same("connector", Text),
            same("node", Text),
            same("tls_policy", Text),
            same("tls", Text),
            same("cause", Text),
            same("deliveries", Large),
            same("bytes", Large),
        ],
        source_order: "span, minute, outcome, connector, node, tls_policy, tls, cause",
        order: "span, minute, outcome, connector, node, tls_policy, tls, cause",
    },
    OtherTable {
        name: "change",
        columns: &[
            same("id", Id),
            same("at", Large),
            same("node", Text),
            same("who", Text),
            same("kind", Text),
            same("json", Text),
            same("client", Text),
        ],
        source_order: "id",
        order: "id",
    },
    OtherTable {
        name: "console_user",
        columns: &[
            same("name", Text),
            same("role", Text),
            same("password", Text),
            same("created", Large),
            same("last_log_in", Large),
        ],
        source_order: "name",
        order: "name",
    },
    OtherTable {
        name: "api_token",
        columns: &[
            same("name", Text),
            same("sha256", Text),
            same("role", Text),
            same("metrics", Flag),
            same("created", Large),
            same("created_by", Text),
            same("expires", Large),
            same("used", Large),
        ],
        source_order: "name",
        order: "name",
    },
];

/// Rows of other tables that are in memory at a time. Each page begins with a walk over those before it, and there may be
/// a hundred thousand tallies.
pub(crate) const OTHER_PAGE: u32 = 1000;

impl MailTable {
    pub(crate) fn columns(&self) -> impl Iterator<Item = &'static Column> + Clone {
        self.columns.iter().copied().flatten()
    }
}
