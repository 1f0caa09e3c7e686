-- People who may use the console. Passwords and tokens are here as hashes only. Without a password, another system vouches for
-- the user. Rows are few.
CREATE TABLE console_user (
    name text COLLATE "C" PRIMARY KEY,
    role text COLLATE "C" NOT NULL,
    password text COLLATE "C",
    created bigint NOT NULL,
    last_log_in bigint
);
CREATE TABLE invitation (
    token bytea PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL,
    expires bigint NOT NULL,
    invited_by text COLLATE "C" NOT NULL
);
CREATE TABLE console_session (
    token bytea PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    csrf text COLLATE "C" NOT NULL,
    created bigint NOT NULL,
    last_seen bigint NOT NULL
);

-- The address of the operator who made the change over HTTP.
ALTER TABLE change ADD COLUMN client text COLLATE "C";
-- What the pictures of an incident are drawn from, in JSON. A node of the version before keeps none.
ALTER TABLE incident ADD COLUMN picture text COLLATE "C";
-- What people have written about an incident. Notes are deleted with it; a node of the version before leaves them behind.
CREATE TABLE incident_note (
    id uuid PRIMARY KEY,
    incident uuid NOT NULL,
    at bigint NOT NULL,
    who text COLLATE "C" NOT NULL,
    text text COLLATE "C" NOT NULL
);
CREATE INDEX incident_note_incident ON incident_note (incident, at);

-- Tokens of the HTTP API. A node of the version before does not know them. `role` is the name of a right, and times are in
-- milliseconds since 1970.
CREATE TABLE api_token (
    name text COLLATE "C" PRIMARY KEY,
    sha256 text COLLATE "C" NOT NULL UNIQUE,
    role text COLLATE "C",
    metrics boolean NOT NULL,
    created bigint NOT NULL,
    created_by text COLLATE "C" NOT NULL,
    expires bigint,
    -- The last time; not updated at each use.
    used bigint
);
