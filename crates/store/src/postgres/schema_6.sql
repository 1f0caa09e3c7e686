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
