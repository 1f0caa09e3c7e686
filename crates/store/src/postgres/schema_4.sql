-- Limits of connectors that hold for all nodes together: the first slot of the rate that nobody has, and what each node
-- holds. Times are in microseconds since 1970. A row of the first table is locked while shares are given.
CREATE TABLE connector_limit (connector text COLLATE "C" PRIMARY KEY, next_slot bigint NOT NULL) WITH (fillfactor = 50);
CREATE TABLE connector_share (
    connector text COLLATE "C" NOT NULL,
    node text COLLATE "C" NOT NULL,
    epoch bigint NOT NULL,
    connections bigint NOT NULL,
    wanted bigint NOT NULL,
    messages bigint NOT NULL,
    at bigint NOT NULL,
    PRIMARY KEY (connector, node)
) WITH (fillfactor = 50);
-- Which store this is, and where it was last: the server's system identifier and the number of the database there; empty while
-- that is not known. A copy of the database shows another server than the one that it is on.
CREATE TABLE fleet_state (
    id int PRIMARY KEY CHECK (id = 1),
    store uuid NOT NULL,
    server text COLLATE "C" NOT NULL
);
INSERT INTO fleet_state (id, store, server) VALUES (1, gen_random_uuid(), '');
-- Restores that were noticed, and what operators have said. Without an answer, what was waiting then is held.
CREATE TABLE fleet_restore (
    number bigint PRIMARY KEY,
    at bigint NOT NULL,
    -- When a node was heard last, in what was restored.
    state_of bigint,
    -- The node that knows of a later state, and of when; empty if the database is on another server.
    known_by text COLLATE "C",
    known_until bigint,
    held bigint NOT NULL,
    answered bigint,
    answered_by text COLLATE "C",
    -- Empty in an answer: all stays suspended.
    deliver_since bigint
);
-- Counts how often a member was heard. The member remembers the number: a server that shows a lower one has gone back in time.
ALTER TABLE member ADD COLUMN beat bigint NOT NULL DEFAULT 0;
-- The fleet's configuration. Versions are never changed or deleted: nodes and operators name them.
CREATE TABLE configuration (
    version bigint PRIMARY KEY,
    at bigint NOT NULL,
    set_by text COLLATE "C" NOT NULL,
    comment text COLLATE "C",
    -- The version that this one is again, after a rollback.
    repeats bigint,
    -- Version of Gatepost with which it was applied.
    program text COLLATE "C" NOT NULL,
    toml text COLLATE "C" NOT NULL
);
-- Where the bodies are that are not in the table body; one row, if there is such a place. Its folder of this fleet has the
-- name `fleet`. `swept`: when it was last looked at for what belongs to no message.
CREATE TABLE body_place (
    id int PRIMARY KEY CHECK (id = 1),
    fleet uuid NOT NULL,
    place text COLLATE "C" NOT NULL,
    swept bigint NOT NULL DEFAULT 0
);

-- Bodies there. A row is written before the first piece is, and deleted after the last: no piece is without a row, whatever
-- dies meanwhile. `pieces` counts those that were begun. `gone`: no message needs it any more, and a node may delete it from
-- that time on. A node of the version before leaves it empty; the rows of messages that are finished are found later.
CREATE TABLE body_outside (
    message bigint PRIMARY KEY,
    pieces int NOT NULL,
    gone bigint
) WITH (fillfactor = 80, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = -1);
CREATE INDEX body_outside_gone ON body_outside (gone) WHERE gone IS NOT NULL;
-- The move of an embedded store into this database: which store, which copy of it, where it was, and whether the copy is
-- being made (1), complete (2), or undone (3). While it is being made, no node and no command uses the database.
CREATE TABLE migration (
    id int PRIMARY KEY CHECK (id = 1),
    store uuid NOT NULL,
    copy uuid NOT NULL,
    state smallint NOT NULL,
    server text COLLATE "C" NOT NULL,
    host text COLLATE "C" NOT NULL,
    folder text COLLATE "C" NOT NULL
);
-- What one transaction has copied: messages from the first key to the last, the rows of each table, and the digest of all
-- that was read of them. The row 0 has what is of no message.
CREATE TABLE migration_batch (
    last bigint PRIMARY KEY,
    first bigint NOT NULL,
    messages bigint NOT NULL,
    rows bigint[] NOT NULL,
    digest bytea NOT NULL
);
