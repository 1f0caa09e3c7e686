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
