-- How many deliveries were accepted (0), delivered (1), deferred (2), bounced (3) or removed (4), and the bytes of their messages,
-- counted for `span` minutes (1 or 60) from `minute` on, in milliseconds since 1970. An empty text says that there was none. A
-- node of the version before counts nothing. The numbers come first and side by side: an update then writes little more
-- than these to the log.
CREATE TABLE tally (
    deliveries bigint NOT NULL,
    bytes bigint NOT NULL,
    minute bigint NOT NULL,
    span smallint NOT NULL,
    outcome smallint NOT NULL,
    connector text COLLATE "C" NOT NULL,
    node text COLLATE "C" NOT NULL,
    tls_policy text COLLATE "C" NOT NULL,
    tls text COLLATE "C" NOT NULL,
    cause text COLLATE "C" NOT NULL,
    PRIMARY KEY (span, minute, outcome, connector, node, tls_policy, tls, cause)
) WITH (fillfactor = 70, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0);

-- What was changed, when, and by whom. Rows are kept for 400 days. `json` has the kind's facts; `kind` is its name.
CREATE TABLE change (
    id uuid PRIMARY KEY,
    at bigint NOT NULL,
    -- Empty: it is about the fleet.
    node text COLLATE "C",
    who text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    json text COLLATE "C" NOT NULL
);
CREATE INDEX change_at ON change (at, id);
-- What each node has seen last of each address of a destination, to see what changes there.
CREATE TABLE destination (
    node text COLLATE "C" NOT NULL,
    host text COLLATE "C" NOT NULL,
    address text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    json text COLLATE "C" NOT NULL,
    PRIMARY KEY (node, host, address)
);
