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
