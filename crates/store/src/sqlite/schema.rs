//! Tables, their versions, and how a connection is set up. See docs/decisions/0002-sqlite-settings.md for the settings.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

use super::row::store_error;
use crate::{Result, StoreError};

/// "Gate" in ASCII: tells this file from other programs' (PRAGMA application_id).
const APPLICATION_ID: u32 = 0x4761_7465;

/// Each step brings the schema from version `index` to `index + 1`. Steps are never changed once released.
const MIGRATIONS: [&str; 7] = [
    // A body's key is its message's, shifted to leave room for its pieces (BODY_PIECES_BITS).
    "CREATE TABLE message (
        id INTEGER PRIMARY KEY,
        network_message_id BLOB NOT NULL,
        received INTEGER NOT NULL,
        sender TEXT NOT NULL,
        eight_bit INTEGER NOT NULL,
        smtputf8 INTEGER NOT NULL,
        ret INTEGER,
        envid TEXT,
        message_id TEXT,
        subject TEXT,
        size INTEGER NOT NULL,
        client TEXT
     );
     CREATE UNIQUE INDEX message_network_message_id ON message (network_message_id);
     CREATE TABLE delivery (
        id INTEGER PRIMARY KEY,
        message INTEGER NOT NULL,
        recipient TEXT NOT NULL,
        notify INTEGER,
        orcpt TEXT,
        connector TEXT NOT NULL,
        state INTEGER NOT NULL,
        due INTEGER NOT NULL,
        review INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        delay_notified INTEGER NOT NULL DEFAULT 0,
        lease_node TEXT,
        lease_until INTEGER,
        suspended_by TEXT,
        failure TEXT,
        reply TEXT,
        settled INTEGER
     );
     CREATE INDEX delivery_message ON delivery (message);
     CREATE INDEX delivery_due ON delivery (connector, due) WHERE state = 0;
     CREATE INDEX delivery_leased ON delivery (lease_until) WHERE state = 1;
     CREATE INDEX delivery_suspended ON delivery (due) WHERE state = 2;
     CREATE INDEX delivery_review ON delivery (review) WHERE state = 0;
     CREATE TABLE body (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
     CREATE TABLE upload (message INTEGER PRIMARY KEY);
     CREATE TABLE event (id INTEGER PRIMARY KEY, message INTEGER NOT NULL, json TEXT NOT NULL);
     CREATE INDEX event_message ON event (message);
     CREATE TABLE node_report (node TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
     CREATE TABLE retry_request (connector TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;",
    // Plans are never deleted: attempts name their version. In the ledger, tls is '' for plaintext.
    "CREATE TABLE plan (version INTEGER PRIMARY KEY, at INTEGER NOT NULL, set_by TEXT NOT NULL, json TEXT NOT NULL);
     CREATE TABLE ledger (
        host TEXT NOT NULL,
        port INTEGER NOT NULL,
        connector TEXT NOT NULL,
        tls_policy TEXT NOT NULL,
        tls TEXT NOT NULL,
        why TEXT NOT NULL,
        deliveries INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        PRIMARY KEY (host, port, connector, tls_policy, tls, why)
     ) WITHOUT ROWID;",
    // For searches: a delivery's row says when its message was received, and what its last attempt was; tls is '' where
    // there was none, code is such as ' 451 4.7.1 '.
    "ALTER TABLE delivery ADD COLUMN received INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE delivery ADD COLUMN node TEXT;
     ALTER TABLE delivery ADD COLUMN tls_policy TEXT;
     ALTER TABLE delivery ADD COLUMN tls TEXT;
     ALTER TABLE delivery ADD COLUMN remote TEXT;
     ALTER TABLE delivery ADD COLUMN code TEXT;
     UPDATE delivery SET received = (SELECT received FROM message WHERE message.id = delivery.message);
     CREATE INDEX delivery_received ON delivery (received);
     CREATE INDEX delivery_recipient ON delivery (recipient COLLATE NOCASE, received);
     CREATE INDEX message_sender ON message (sender COLLATE NOCASE, received);
     CREATE INDEX message_message_id ON message (message_id) WHERE message_id IS NOT NULL;",
    // 1: its addresses are to be withheld once it has come to rest; 2: they are.
    "ALTER TABLE message ADD COLUMN withhold INTEGER NOT NULL DEFAULT 0;
     CREATE INDEX message_to_withhold ON message (withhold) WHERE withhold = 1;",
    // The watch has one row: whose turn it was last. Calls are made in the order of their keys.
    "CREATE TABLE incident (
        id BLOB PRIMARY KEY,
        connector TEXT NOT NULL,
        destination TEXT NOT NULL,
        cause TEXT NOT NULL,
        node TEXT NOT NULL,
        opened INTEGER NOT NULL,
        last_seen INTEGER NOT NULL,
        closed INTEGER,
        closed_because TEXT,
        pending INTEGER NOT NULL,
        pending_peak INTEGER NOT NULL,
        oldest INTEGER,
        finding TEXT NOT NULL
     );
     CREATE UNIQUE INDEX incident_open ON incident (connector, cause) WHERE closed IS NULL;
     CREATE INDEX incident_closed ON incident (closed);
     CREATE TABLE webhook_call (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        id BLOB NOT NULL UNIQUE,
        incident BLOB NOT NULL,
        body TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        due INTEGER NOT NULL
     );
     CREATE TABLE watch (id INTEGER PRIMARY KEY CHECK (id = 1), turn INTEGER NOT NULL, at INTEGER NOT NULL,
        node TEXT NOT NULL);",
    // What nodes are asked to find out; rows of the past hour.
    "CREATE TABLE inquiry (
        id BLOB PRIMARY KEY,
        node TEXT NOT NULL,
        at INTEGER NOT NULL,
        question TEXT NOT NULL,
        is_taken INTEGER NOT NULL DEFAULT 0,
        answer TEXT
     ) WITHOUT ROWID;",
    // What the sender is to be told of a delivery, and since when. Notices of the past hour are counted by address.
    "ALTER TABLE delivery ADD COLUMN owed INTEGER;
     ALTER TABLE delivery ADD COLUMN owed_since INTEGER;
     CREATE INDEX delivery_owed ON delivery (message, owed_since) WHERE owed IS NOT NULL;
     CREATE TABLE notice_sent (address TEXT NOT NULL, at INTEGER NOT NULL);
     CREATE INDEX notice_sent_address ON notice_sent (address, at);
     CREATE INDEX notice_sent_at ON notice_sent (at);",
];

/// The version that this program writes.
const VERSION: u32 = MIGRATIONS.len() as u32;

/// The log's length is cut to this when it begins anew.
const WAL_BYTES_KEPT: u32 = 64 * 1024 * 1024;

/// Pieces of one body: up to 2^20, 256 GiB.
pub(super) const BODY_PIECES_BITS: u32 = 20;

/// Opens the file with the settings that hold for every connection that writes.
pub(super) fn connect(file: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(file, flags)?;
        // Before anything else: a new file takes these only while it is empty.
        connection.pragma_update(None, "page_size", 8192)?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -32 * 1024)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        // In pages: the log is moved into the file when it has grown by 32 MiB.
        connection.pragma_update(None, "wal_autocheckpoint", 4096)?;
        // A long search keeps it from that; what it grew to meanwhile is given back.
        connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    open().map_err(|error| store_error(&error, file))
}

/// A connection that only reads.
pub(super) fn connect_reader(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -4 * 1024)?;
    Ok(connection)
}

/// The file's version, once it is known to be ours and not from the future.
fn version(connection: &Connection, file: &Path) -> Result<u32> {
    let pragma = |name: &str| {
        let read = connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
        read.map_err(|error| store_error(&error, file))
    };
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    let tables: u32 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| store_error(&error, file))?;
    let is_new = application == 0 && version == 0 && tables == 0;
    if application != APPLICATION_ID && !is_new {
        let detail = "it is another program's database".to_owned();
        return Err(StoreError::Damaged { file: file.display().to_string(), detail });
    }
    if version > VERSION {
        return Err(StoreError::Newer { file: file.display().to_string(), found: version, known: VERSION });
    }
    Ok(version)
}

/// Brings the file forward to this program's version, each step in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection, file: &Path) -> Result<()> {
    let from = version(connection, file)?;
    for (index, step) in MIGRATIONS.iter().enumerate().skip(from as usize) {
        let mut apply = || -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", index as u32 + 1)?;
            transaction.commit()
        };
        apply().map_err(|error| store_error(&error, file))?;
    }
    Ok(())
}

/// For commands: the file must be at this program's version already.
pub(super) fn check(connection: &Connection, file: &Path) -> Result<()> {
    match version(connection, file)? {
        VERSION => Ok(()),
        older => Err(StoreError::Other(format!(
            "{} has schema version {older}; start the node once to bring it to version {VERSION}",
            file.display()
        ))),
    }
}

/// Deletes what large messages had left behind that were never accepted.
pub(super) fn sweep_uploads(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "DELETE FROM body WHERE id IN (
             SELECT body.id FROM upload JOIN body
             ON body.id >= upload.message << {BODY_PIECES_BITS} AND body.id < (upload.message + 1) << {BODY_PIECES_BITS}
         );
         DELETE FROM upload;"
    ))
}
