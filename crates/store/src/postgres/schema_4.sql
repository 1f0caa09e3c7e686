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
