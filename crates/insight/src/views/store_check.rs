//! The view of a fleet's store: how its PostgreSQL server does, and what asks for attention.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{BodiesHealth, Restoration, ServerHealth, Standby, TableHealth};

use super::{NodeView, RestorationView};
use crate::restoration;

/// How the store does, as in `store check`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StoreCheckView {
    /// Of PostgreSQL.
    pub version: String,
    /// Of the tables.
    pub schema: u32,
    pub tables: Vec<TableView>,
    /// False: transactions of other users, and standbys, are not visible to the user of the store.
    pub sees_all: bool,
    /// Age of the oldest open transaction on the database, in seconds; null if none is seen.
    pub oldest_transaction_seconds: Option<u64>,
    /// Write-ahead log, in bytes per second.
    pub wal_bytes_per_second: u64,
    pub standbys: Vec<StandbyView>,
    pub connections: u64,
    pub connections_max: u64,
    /// The last restore that a node noticed; null if none ever has.
    pub restored: Option<RestorationView>,
    /// The nodes that run.
    pub nodes: Vec<NodeSchemaView>,
    pub next_schema: NextSchemaView,
    /// Where the bodies of large messages are; null: in the database.
    pub bodies: Option<BodiesView>,
    /// What asks for attention; empty if nothing does.
    pub warnings: Vec<WarningView>,
}

/// A table that changes with each message.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TableView {
    pub table: String,
    pub rows: u64,
    pub dead_rows: u64,
    /// With its indexes.
    pub bytes: u64,
}

/// A standby. Null: the user of the store may not see it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StandbyView {
    pub name: String,
    pub synchronous: Option<bool>,
    pub behind_bytes: Option<u64>,
}

/// A node that runs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NodeSchemaView {
    pub node: String,
    /// Of Gatepost; null before its first report.
    pub version: Option<String>,
    /// The version of the tables that its program knows; null: an older program, which does not say.
    pub schema: Option<u32>,
}

/// Whether a newer Gatepost may bring the tables forward: all nodes that run must know the version that they have now.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NextSchemaView {
    /// The version after this one.
    pub version: u32,
    pub allowed: bool,
    /// Nodes that do not know the version of now.
    pub behind: Vec<String>,
}

impl NextSchemaView {
    fn new(schema: u32, nodes: &[NodeSchemaView]) -> Self {
        let behind = nodes.iter().filter(|node| node.schema.is_none_or(|known| known < schema));
        let behind: Vec<String> = behind.map(|node| node.node.clone()).collect();
        Self { version: schema + 1, allowed: behind.is_empty(), behind }
    }
}

/// The place of the bodies of large messages.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BodiesView {
    /// As [store] bodies had it on the node that was first.
    pub place: String,
    /// Bodies there that a message needs.
    pub needed: u64,
    /// Bodies there that are still to be deleted.
    pub gone: u64,
}

/// Something that asks for attention.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WarningView {
    /// `dead-rows`, `old-transaction`, `no-standby`, `standby-behind`, `connections`, `versions-differ`, `nodes-behind`,
    /// `restored`, `bodies-unavailable` or `bodies-not-deleted`.
    pub warning: String,
    /// What it is and what to do, for people.
    pub what: String,
}

/// Autovacuum comes by after 5,000 dead rows of a table (schema_1.sql); many more of them show that it cannot remove them.
const DEAD_ROWS_MAX: u64 = 100_000;
const TRANSACTION_SECONDS_MAX: u64 = 300;
const BEHIND_BYTES_MAX: u64 = 256 << 20;
/// In percent.
const CONNECTIONS_MAX: u64 = 90;
/// Nodes delete them within seconds.
const GONE_BODIES_MAX: u64 = 10_000;

impl StoreCheckView {
    /// With the fleet's nodes, whose versions count while they run.
    pub fn new(health: &ServerHealth, nodes: &[NodeView], restored: Option<&Restoration>) -> Self {
        let running = nodes.iter().filter(|node| node.state.runs());
        let schemas = running.map(|NodeView { node, version, schema, .. }| NodeSchemaView {
            node: node.clone(),
            version: version.clone(),
            schema: *schema,
        });
        let schemas: Vec<NodeSchemaView> = schemas.collect();
        Self {
            version: health.version.clone(),
            schema: health.schema,
            tables: health.tables.iter().map(TableView::from).collect(),
            sees_all: health.sees_all,
            oldest_transaction_seconds: health.oldest_transaction.map(|age| age.as_secs()),
            wal_bytes_per_second: health.wal_bytes_per_second,
            standbys: health.standbys.iter().map(StandbyView::from).collect(),
            connections: health.connections,
            connections_max: health.connections_max,
            restored: restored.map(RestorationView::from),
            next_schema: NextSchemaView::new(health.schema, &schemas),
            nodes: schemas,
            bodies: health.bodies.as_ref().map(BodiesView::from),
            warnings: warnings(health, nodes, restored),
        }
    }
}

fn warnings(health: &ServerHealth, nodes: &[NodeView], restored: Option<&Restoration>) -> Vec<WarningView> {
    let mut warnings = Vec::new();
    let mut warn = |warning: &str, what: String| warnings.push(WarningView { warning: warning.to_owned(), what });
    if let Some(restored) = restored.filter(|restored| restored.answer.is_none()) {
        warn("restored", restoration::in_words(restored));
    }
    for table in health.tables.iter().filter(|table| table.dead_rows > DEAD_ROWS_MAX && table.dead_rows > table.rows) {
        let TableHealth { name, dead_rows, .. } = table;
        warn(
            "dead-rows",
            format!(
                "{name} has {dead_rows} dead rows: autovacuum is off, or cannot remove them because of an open transaction"
            ),
        );
    }
    if let Some(age) = health.oldest_transaction.filter(|age| age.as_secs() > TRANSACTION_SECONDS_MAX) {
        warn(
            "old-transaction",
            format!(
                "a transaction has been open for {} s: dead rows of the queue stay until it ends (pg_stat_activity shows whose it is)",
                age.as_secs()
            ),
        );
    }
    let confirm = health.standbys.iter().filter(|standby| standby.is_synchronous == Some(true)).count() as u64;
    if health.sees_all && confirm < health.standbys_needed {
        let needed = health.standbys_needed;
        warn(
            "no-standby",
            format!(
                "standbys that must confirm each commit: {needed}; that can: {confirm}. Nodes answer new mail with 451 until enough can"
            ),
        );
    }
    for standby in health.standbys.iter().filter(|standby| standby.behind_bytes > Some(BEHIND_BYTES_MAX)) {
        let mebibytes = standby.behind_bytes.unwrap_or_default() >> 20;
        warn("standby-behind", format!("the standby {} is {mebibytes} MiB behind", standby.name));
    }
    if health.connections * 100 > health.connections_max * CONNECTIONS_MAX {
        warn(
            "connections",
            format!(
                "{} of {} connections are used: raise max_connections, or the next node cannot connect",
                health.connections, health.connections_max
            ),
        );
    }
    if let Some(bodies) = &health.bodies {
        warn_of_bodies(bodies, &mut warn);
    }
    warn_of_nodes(health.schema, nodes, &mut warn);
    warnings
}

fn warn_of_nodes(schema: u32, nodes: &[NodeView], warn: &mut impl FnMut(&str, String)) {
    // A node that has not reported yet may know them.
    let running = || nodes.iter().filter(|node| node.state.runs() && node.version.is_some());
    let behind: Vec<&NodeView> = running().filter(|node| node.schema.is_none_or(|known| known < schema)).collect();
    if !behind.is_empty() {
        warn("nodes-behind", not_known(schema, &behind));
    }
    let mut versions: Vec<&str> = running().filter_map(|node| node.version.as_deref()).collect();
    versions.sort_unstable();
    versions.dedup();
    if versions.len() > 1 {
        warn(
            "versions-differ",
            format!(
                "nodes run the versions {}: two that follow each other work side by side; finish the upgrade before the next one",
                versions.join(", ")
            ),
        );
    }
}

fn not_known(schema: u32, behind: &[&NodeView]) -> String {
    let names = |nodes: &[&NodeView]| nodes.iter().map(|node| node.node.as_str()).collect::<Vec<_>>().join(", ");
    let what = format!("nodes that do not know the tables of version {schema}: {}. Update them soon", names(behind));
    // Only these notice a restore.
    let blind: Vec<&NodeView> = behind.iter().filter(|node| node.schema.is_none()).copied().collect();
    if blind.is_empty() {
        return what;
    }
    format!(
        "{what}. If the database is restored, {} would not notice it, and deliver what was waiting in the backup once more: \
         stop them before",
        names(&blind)
    )
}

fn warn_of_bodies(bodies: &BodiesHealth, warn: &mut impl FnMut(&str, String)) {
    let BodiesHealth { place, needed, gone, trouble } = bodies;
    if let Some(trouble) = trouble {
        let what = format!(
            "{place} cannot be read from here ({trouble}): until nodes can, they answer large messages with 451, and defer {needed} that are in the queue"
        );
        warn("bodies-unavailable", what);
    }
    if *gone > GONE_BODIES_MAX {
        let what =
            format!("{gone} bodies in {place} are to be deleted: the nodes' logs say why that fails, or it is slow");
        warn("bodies-not-deleted", what);
    }
}

impl From<&BodiesHealth> for BodiesView {
    fn from(bodies: &BodiesHealth) -> Self {
        Self { place: bodies.place.clone(), needed: bodies.needed, gone: bodies.gone }
    }
}

impl From<&TableHealth> for TableView {
    fn from(table: &TableHealth) -> Self {
        let TableHealth { name, rows, dead_rows, bytes } = table.clone();
        Self { table: name, rows, dead_rows, bytes }
    }
}

impl From<&Standby> for StandbyView {
    fn from(standby: &Standby) -> Self {
        let Standby { name, is_synchronous, behind_bytes } = standby.clone();
        Self { name, synchronous: is_synchronous, behind_bytes }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::views::NodeStateView;

    fn healthy() -> ServerHealth {
        ServerHealth {
            version: "15.20".to_owned(),
            schema: 3,
            tables: vec![TableHealth { name: "queue_delivery".to_owned(), rows: 10, dead_rows: 9000, bytes: 1 }],
            oldest_transaction: Some(Duration::from_secs(2)),
            wal_bytes_per_second: 0,
            standbys: vec![Standby { name: "db2".to_owned(), is_synchronous: Some(true), behind_bytes: Some(0) }],
            standbys_needed: 1,
            sees_all: true,
            connections: 16,
            connections_max: 100,
            bodies: None,
        }
    }

    #[test]
    fn what_asks_for_attention_is_named() {
        let named = |change: fn(&mut ServerHealth)| {
            let mut health = healthy();
            change(&mut health);
            warnings(&health, &[], None).into_iter().map(|warning| warning.warning).collect::<Vec<_>>()
        };
        assert_eq!(named(|_| {}), Vec::<String>::new());
        assert_eq!(named(|health| health.tables[0].dead_rows = 200_000), ["dead-rows"]);
        assert_eq!(named(|health| health.oldest_transaction = Some(Duration::from_secs(301))), ["old-transaction"]);
        assert_eq!(named(|health| health.standbys[0].is_synchronous = Some(false)), ["no-standby"]);
        assert_eq!(named(|health| health.standbys_needed = 2), ["no-standby"]);
        // Without the right to see it, nothing is claimed.
        let unseen = |health: &mut ServerHealth| (health.sees_all, health.standbys) = (false, vec![]);
        assert_eq!(named(unseen), Vec::<String>::new());
        assert_eq!(named(|health| health.standbys[0].behind_bytes = Some(1 << 30)), ["standby-behind"]);
        assert_eq!(named(|health| health.connections = 95), ["connections"]);
        let bodies = |gone, trouble: Option<&str>| {
            let place = "/mnt/bodies".to_owned();
            Some(BodiesHealth { place, needed: 3, gone, trouble: trouble.map(str::to_owned) })
        };
        let of_bodies = |bodies| {
            let health = ServerHealth { bodies, ..healthy() };
            warnings(&health, &[], None).into_iter().map(|warning| warning.warning).collect::<Vec<_>>()
        };
        assert_eq!(of_bodies(bodies(9, None)), Vec::<String>::new());
        assert_eq!(of_bodies(bodies(10_001, Some("it hangs"))), ["bodies-unavailable", "bodies-not-deleted"]);
    }

    #[test]
    fn nodes_that_do_not_know_the_tables_ask_for_attention() {
        let node = |name: &str, schema| NodeView {
            node: name.to_owned(),
            state: NodeStateView::Running,
            epoch: 1,
            host: "mail1".to_owned(),
            process: 1,
            version: Some("1.2.3".to_owned()),
            addresses: vec![],
            deliveries: 0,
            connections: 0,
            plan_version: None,
            config_version: None,
            config_applied: None,
            config_refused: None,
            schema,
            started: jiff::Timestamp::UNIX_EPOCH,
            last_seen: jiff::Timestamp::UNIX_EPOCH,
            drained: None,
            drained_by: None,
        };
        let warned = |nodes: &[NodeView]| {
            let health = ServerHealth { schema: 5, ..healthy() };
            warnings(&health, nodes, None)
                .into_iter()
                .map(|warning| (warning.warning, warning.what))
                .collect::<Vec<_>>()
        };
        let current = node("a", Some(5));
        let stopped = NodeView { state: NodeStateView::Stopped, ..node("b", None) };
        let unheard = NodeView { version: None, ..node("c", None) };
        assert_eq!(warned(&[current.clone(), node("d", Some(6)), stopped, unheard]), []);
        let older = warned(&[current.clone(), node("e", Some(4))]);
        assert_eq!(older.len(), 1, "{older:?}");
        assert!(older[0].0 == "nodes-behind" && older[0].1.contains("tables of version 5: e."), "{older:?}");
        assert!(!older[0].1.contains("restored"), "{older:?}");
        // Programs before version 4 do not say what they know.
        let blind = warned(&[current, node("e", Some(4)), node("f", None)]);
        assert!(blind[0].1.contains("restored, f would not notice it"), "{blind:?}");
    }

    #[test]
    fn a_restore_asks_for_attention_until_it_is_answered() {
        let at = |second| jiff::Timestamp::from_second(second).unwrap();
        let mut restored = Restoration {
            number: 1,
            at: at(200),
            state_of: Some(at(50)),
            known: Some(("edge-1".to_owned(), at(100))),
            held: 12,
            answer: None,
        };
        let warned = warnings(&healthy(), &[], Some(&restored));
        assert_eq!(warned.len(), 1, "{warned:?}");
        for part in ["of 1970-01-01T00:00:50Z", "edge-1", "12 deliveries", "gatepost store restored --hold"] {
            assert!(warned[0].what.contains(part), "{part}: {}", warned[0].what);
        }
        restored.known = None;
        assert!(warnings(&healthy(), &[], Some(&restored))[0].what.contains("a copy on another server"));
        let decision = store::RestorationDecision::Hold;
        restored.answer = Some(store::RestorationAnswer { at: at(300), by: "eve".to_owned(), decision });
        assert_eq!(warnings(&healthy(), &[], Some(&restored)), []);
    }

    #[test]
    fn the_next_step_waits_for_the_last_node() {
        let node = |name: &str, schema| NodeSchemaView { node: name.to_owned(), version: None, schema };
        for (nodes, behind) in [
            (vec![], vec![]),
            (vec![node("a", Some(4)), node("b", Some(5))], vec![]),
            (vec![node("a", Some(4)), node("b", Some(3)), node("c", None)], vec!["b", "c"]),
        ] {
            let next = NextSchemaView::new(4, &nodes);
            assert_eq!((next.version, next.allowed), (5, behind.is_empty()));
            assert_eq!(next.behind, behind);
        }
    }
}
