//! Tables, their versions, and how a connection is set up. See docs/decisions/0002-sqlite-settings.md for the settings.

use std::{fs, path::Path, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use super::{
    place::{beside, log_of},
    row::store_error,
};
use crate::{FileError, Result, StoreError, folder};

/// "Gate" in ASCII: tells this file from other programs' (PRAGMA application_id).
const APPLICATION_ID: u32 = 0x4761_7465;

/// Each step brings the schema from version `index` to `index + 1`. Steps are never changed once released.
const MIGRATIONS: [&str; 14] = [
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
    // Nodes are members with an epoch each, which is in the number of each lease and of each upload. Events have ids.
    // Handles take keys of messages (0) and deliveries (1) in blocks.
    "CREATE TABLE member (
        name TEXT PRIMARY KEY,
        epoch INTEGER NOT NULL UNIQUE,
        host TEXT NOT NULL,
        process INTEGER NOT NULL,
        started INTEGER NOT NULL,
        seen INTEGER NOT NULL,
        has_left INTEGER NOT NULL
     );
     ALTER TABLE delivery ADD COLUMN lease INTEGER;
     ALTER TABLE upload ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE event ADD COLUMN uid BLOB;
     CREATE TABLE key_block (kind INTEGER PRIMARY KEY, next INTEGER NOT NULL);
     INSERT INTO key_block VALUES (0, 1 + max(
        (SELECT coalesce(max(id), 0) FROM message), (SELECT coalesce(max(message), 0) FROM upload)
     ));
     INSERT INTO key_block VALUES (1, (SELECT coalesce(max(id), 0) + 1 FROM delivery));",
    // Nodes that an operator has told to take no mail, whether they run or not.
    "CREATE TABLE drained (node TEXT PRIMARY KEY, at INTEGER NOT NULL, set_by TEXT NOT NULL) WITHOUT ROWID;",
    // Which store this is, once it was to be moved to a server; which copy of it was begun there, as long as it is as it was
    // then; and when it was moved, if so: its mail is there then.
    "CREATE TABLE migration (id INTEGER PRIMARY KEY CHECK (id = 1), store BLOB NOT NULL, copy BLOB,
        server TEXT NOT NULL, moved INTEGER);",
    // See tally/mod.rs. Outcomes: accepted (0), delivered (1), deferred (2), bounced (3), removed (4). Empty: none.
    "CREATE TABLE tally (
        span INTEGER NOT NULL,
        minute INTEGER NOT NULL,
        outcome INTEGER NOT NULL,
        connector TEXT NOT NULL,
        node TEXT NOT NULL,
        tls_policy TEXT NOT NULL,
        tls TEXT NOT NULL,
        cause TEXT NOT NULL,
        deliveries INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (span, minute, outcome, connector, node, tls_policy, tls, cause)
     ) WITHOUT ROWID;",
    // What was changed, when, and by whom; without a node, it is about the fleet. And what each node has seen last of each
    // address of a destination, to see what changes there.
    "CREATE TABLE change (
        id BLOB PRIMARY KEY,
        at INTEGER NOT NULL,
        node TEXT,
        who TEXT NOT NULL,
        kind TEXT NOT NULL,
        json TEXT NOT NULL
     ) WITHOUT ROWID;
     CREATE INDEX change_at ON change (at, id);
     CREATE TABLE destination (
        node TEXT NOT NULL,
        host TEXT NOT NULL,
        address TEXT NOT NULL,
        at INTEGER NOT NULL,
        json TEXT NOT NULL,
        PRIMARY KEY (node, host, address)
     ) WITHOUT ROWID;",
    // People who may use the console, and tokens of the HTTP API; see access.rs and tokens.rs. A user without a password is one
    // for whom another system vouches. A change has the address of the operator who made it over HTTP.
    "CREATE TABLE console_user (
        name TEXT PRIMARY KEY,
        role TEXT NOT NULL,
        password TEXT,
        created INTEGER NOT NULL,
        last_log_in INTEGER
     ) WITHOUT ROWID;
     CREATE TABLE invitation (
        token BLOB PRIMARY KEY,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        expires INTEGER NOT NULL,
        invited_by TEXT NOT NULL
     ) WITHOUT ROWID;
     CREATE TABLE console_session (
        token BLOB PRIMARY KEY,
        name TEXT NOT NULL,
        csrf TEXT NOT NULL,
        created INTEGER NOT NULL,
        last_seen INTEGER NOT NULL
     ) WITHOUT ROWID;
     ALTER TABLE change ADD COLUMN client TEXT;
     CREATE TABLE api_token (
        name TEXT PRIMARY KEY,
        sha256 TEXT NOT NULL UNIQUE,
        role TEXT,
        metrics INTEGER NOT NULL,
        created INTEGER NOT NULL,
        created_by TEXT NOT NULL,
        expires INTEGER,
        used INTEGER
     ) WITHOUT ROWID;",
    // What the pictures of an incident are drawn from, and what people have written about it.
    "ALTER TABLE incident ADD COLUMN picture TEXT;
     CREATE TABLE incident_note (
        id BLOB PRIMARY KEY,
        incident BLOB NOT NULL,
        at INTEGER NOT NULL,
        who TEXT NOT NULL,
        text TEXT NOT NULL
     ) WITHOUT ROWID;
     CREATE INDEX incident_note_incident ON incident_note (incident, at);",
];

/// The version that this program writes.
const VERSION: u32 = MIGRATIONS.len() as u32;

pub(super) const PAGE_BYTES: u32 = 8192;

/// Pieces of one body: up to 2^20, 256 GiB.
pub(super) const BODY_PIECES_BITS: u32 = 20;

/// Makes the file of a new store, whole or not at all: it gets its name once all tables are in it.
pub(super) fn create(file: &Path) -> Result<()> {
    let new = beside(file, ".new");
    let remove = || [new.clone(), beside(&new, "-journal"), log_of(&new), beside(&new, "-shm")].map(fs::remove_file);
    let _ = remove();
    let create = || {
        folder::create_private_file(&new)?;
        let mut connection = Connection::open_with_flags(&new, FLAGS).map_err(|error| store_error(&error, file))?;
        prepare_new(&connection).map_err(|error| store_error(&error, file))?;
        migrate(&mut connection, file)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(|error| store_error(&error, file))?;
        connection.close().map_err(|(_, error)| store_error(&error, file))
    };
    create().inspect_err(|_| drop(remove()))?;
    fs::rename(&new, file).map_err(|error| folder::failed("rename", &new, &error))?;
    file.parent().map_or(Ok(()), folder::sync_folder)
}

/// What a file takes only while it is empty; later, setting it again would write to the file at each start.
fn prepare_new(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")
}

const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Opens the file with the settings that hold for every connection that writes. The log is moved into the file when it
/// has grown by `log_bytes`.
pub(super) fn connect(file: &Path, log_bytes: u32) -> Result<Connection> {
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(file, FLAGS)?;
        keep_log(&connection)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -32 * 1024)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "wal_autocheckpoint", log_bytes / PAGE_BYTES)?;
        // A long search keeps it from that; what it grew to meanwhile is given back.
        connection.pragma_update(None, "journal_size_limit", 2 * log_bytes)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    open().map_err(|error| store_error(&error, file))
}

/// The log stays beside the file, so that one that is missing was deleted by others; and who only reads writes nothing
/// when it ends.
fn keep_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(drop)
}

/// A connection that only reads.
pub(super) fn connect_reader(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(file, FLAGS)?;
    keep_log(&connection)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    // The first look opens log and index; both must be made if no node runs.
    match connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())) {
        Ok(()) => configure_reader(connection),
        Err(error) if cannot_write(&error) && fs::metadata(log_of(file)).map_or(true, |log| log.len() == 0) => {
            configure_reader(connect_unchanging(file)?)
        }
        Err(error) => Err(error),
    }
}

/// A connection for one long read, which may write to other files.
pub(super) fn connect_snapshot(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(file, FLAGS)?;
    keep_log(&connection)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    Ok(connection)
}

fn configure_reader(connection: Connection) -> rusqlite::Result<Connection> {
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -4 * 1024)?;
    Ok(connection)
}

fn cannot_write(error: &rusqlite::Error) -> bool {
    use ErrorCode::{CannotOpen, DiskFull, ReadOnly, SystemIoFailure};
    error.sqlite_error_code().is_some_and(|code| matches!(code, CannotOpen | DiskFull | ReadOnly | SystemIoFailure))
}

/// Reads the file alone, where the disk takes no files beside it and no log has anything newer.
fn connect_unchanging(file: &Path) -> rusqlite::Result<Connection> {
    let path = file.display().to_string().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{path}?immutable=1"), flags)
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
        return Err(FileError::Damaged { file: file.display().to_string(), detail }.into());
    }
    if version > VERSION {
        return Err(FileError::Newer { file: file.display().to_string(), found: version, known: VERSION }.into());
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As version 7 left it: keys were counted from the largest one.
    #[test]
    fn keys_go_on_after_those_of_an_older_version() {
        let mut connection = Connection::open_in_memory().unwrap();
        MIGRATIONS[..7].iter().for_each(|step| connection.execute_batch(step).unwrap());
        connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        connection.pragma_update(None, "user_version", 7).unwrap();
        let old = "INSERT INTO message (id, network_message_id, received, sender, eight_bit, smtputf8, size)
                VALUES (41, x'00', 0, '', 0, 0, 0);
             INSERT INTO delivery (id, message, recipient, connector, state, due, review, lease_node)
                VALUES (99, 41, 'a@x.test', 'c', 1, 0, 0, 'n');
             INSERT INTO upload (message) VALUES (57);
             INSERT INTO event (message, json) VALUES (41, '{}');";
        connection.execute_batch(old).unwrap();
        migrate(&mut connection, Path::new("store")).unwrap();
        let next = |kind: u8| -> i64 {
            connection.query_row("SELECT next FROM key_block WHERE kind = ?1", [kind], |row| row.get(0)).unwrap()
        };
        assert_eq!((next(0), next(1)), (58, 100));
        // No result can be for a lease without a number.
        let lease: Option<i64> = connection.query_row("SELECT lease FROM delivery", [], |row| row.get(0)).unwrap();
        assert_eq!(lease, None);
    }
}
