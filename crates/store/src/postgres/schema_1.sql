-- Times are milliseconds since 1970, states and parameters are numbers, facts are JSON as text (never jsonb, which
-- refuses \u0000). Text is compared byte by byte; lower() then folds ASCII only.
--
-- The queue tables change with each message. Space is left in their pages, and they are vacuumed after so many dead rows,
-- however large they are: with PostgreSQL's defaults, their indexes grow without end.

CREATE TABLE queue_message (
    message bigint PRIMARY KEY,
    network_message_id uuid NOT NULL UNIQUE,
    received bigint NOT NULL,
    sender text COLLATE "C" NOT NULL,
    eight_bit boolean NOT NULL,
    smtputf8 boolean NOT NULL,
    ret smallint,
    envid text COLLATE "C",
    message_id text COLLATE "C",
    subject text COLLATE "C",
    size bigint NOT NULL,
    client text COLLATE "C",
    withhold smallint NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE queue_delivery (
    id bigint PRIMARY KEY,
    message bigint NOT NULL,
    recipient text COLLATE "C" NOT NULL,
    domain text COLLATE "C" NOT NULL,
    notify smallint,
    orcpt text COLLATE "C",
    connector text COLLATE "C" NOT NULL,
    state smallint NOT NULL,
    due bigint NOT NULL,
    review bigint NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    delay_notified boolean NOT NULL DEFAULT false,
    lease_node text COLLATE "C",
    lease_until bigint,
    lease bigint,
    -- The lease under which it was settled last: a settlement that is repeated recognises its own work.
    last_lease bigint,
    suspended_by text COLLATE "C",
    failure text COLLATE "C",
    reply text COLLATE "C",
    settled bigint,
    node text COLLATE "C",
    tls_policy text COLLATE "C",
    tls text COLLATE "C",
    remote text COLLATE "C",
    code text COLLATE "C",
    owed smallint,
    owed_since bigint
) WITH (fillfactor = 80, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX queue_delivery_message ON queue_delivery (message);
CREATE INDEX queue_delivery_due ON queue_delivery (connector, due, id) WHERE state = 0;
CREATE INDEX queue_delivery_leased ON queue_delivery (lease_until) WHERE state = 1;
CREATE INDEX queue_delivery_review ON queue_delivery (review) WHERE state = 0;
CREATE INDEX queue_delivery_owed ON queue_delivery (message, owed_since) WHERE owed IS NOT NULL;

-- Content in pieces. Compressing mail costs more than it saves.
CREATE TABLE body (
    message bigint NOT NULL,
    piece int NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (message, piece)
) WITH (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0,
    toast.autovacuum_vacuum_threshold = 20000, toast.autovacuum_vacuum_scale_factor = 0);
ALTER TABLE body ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- Bodies that are not accepted yet.
CREATE TABLE upload (message bigint PRIMARY KEY, epoch bigint NOT NULL);

-- One row for each delivery of a message that is finished, by the day of receipt.
CREATE TABLE history (
    id bigint NOT NULL,
    message bigint NOT NULL,
    network_message_id uuid NOT NULL,
    received bigint NOT NULL,
    sender text COLLATE "C" NOT NULL,
    eight_bit boolean NOT NULL,
    smtputf8 boolean NOT NULL,
    ret smallint,
    envid text COLLATE "C",
    message_id text COLLATE "C",
    subject text COLLATE "C",
    size bigint NOT NULL,
    client text COLLATE "C",
    withhold smallint NOT NULL,
    recipient text COLLATE "C" NOT NULL,
    notify smallint,
    orcpt text COLLATE "C",
    connector text COLLATE "C" NOT NULL,
    state smallint NOT NULL,
    due bigint NOT NULL,
    review bigint NOT NULL,
    attempts int NOT NULL,
    delay_notified boolean NOT NULL,
    lease_node text COLLATE "C",
    lease_until bigint,
    last_lease bigint,
    suspended_by text COLLATE "C",
    failure text COLLATE "C",
    reply text COLLATE "C",
    settled bigint,
    node text COLLATE "C",
    tls_policy text COLLATE "C",
    tls text COLLATE "C",
    remote text COLLATE "C",
    code text COLLATE "C"
) PARTITION BY RANGE (received);
CREATE INDEX history_network_message_id ON history (network_message_id);
CREATE INDEX history_message ON history (message);
CREATE INDEX history_received ON history (received, id);
-- Long values are found by a hash.
CREATE INDEX history_recipient ON history (hashtextextended(lower(recipient), 0), received);
CREATE INDEX history_sender ON history (hashtextextended(lower(sender), 0), received);
CREATE INDEX history_message_id ON history (hashtextextended(message_id, 0)) WHERE message_id IS NOT NULL;

CREATE SEQUENCE event_position;
CREATE TABLE event (
    received bigint NOT NULL,
    message bigint NOT NULL,
    position bigint NOT NULL DEFAULT nextval('event_position'),
    uid uuid NOT NULL,
    json text COLLATE "C" NOT NULL
) PARTITION BY RANGE (received);
CREATE INDEX event_message ON event (message, position);

-- What falls on a day without a partition. A node whose clock is wrong loses nothing.
CREATE TABLE history_other PARTITION OF history DEFAULT;
CREATE TABLE event_other PARTITION OF event DEFAULT;

CREATE SEQUENCE member_epoch;
CREATE TABLE member (
    name text COLLATE "C" PRIMARY KEY,
    epoch bigint NOT NULL UNIQUE,
    host text COLLATE "C" NOT NULL,
    process bigint NOT NULL,
    -- The kernel and the namespace in which the process has its number.
    machine text COLLATE "C" NOT NULL,
    started bigint NOT NULL,
    seen bigint NOT NULL,
    has_left boolean NOT NULL
) WITH (fillfactor = 50);
-- In the keys of each handle that gives out keys.
CREATE SEQUENCE key_giver MINVALUE 0 MAXVALUE 4095 CYCLE;

CREATE TABLE node_report (node text COLLATE "C" PRIMARY KEY, json text COLLATE "C" NOT NULL) WITH (fillfactor = 50);
CREATE TABLE retry_request (connector text COLLATE "C" PRIMARY KEY, at bigint NOT NULL);
CREATE TABLE plan (
    version bigint PRIMARY KEY,
    at bigint NOT NULL,
    set_by text COLLATE "C" NOT NULL,
    json text COLLATE "C" NOT NULL
);
CREATE TABLE ledger (
    host text COLLATE "C" NOT NULL,
    port int NOT NULL,
    connector text COLLATE "C" NOT NULL,
    tls_policy text COLLATE "C" NOT NULL,
    tls text COLLATE "C" NOT NULL,
    why text COLLATE "C" NOT NULL,
    deliveries bigint NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    PRIMARY KEY (host, port, connector, tls_policy, tls, why)
);
CREATE TABLE incident (
    id uuid PRIMARY KEY,
    connector text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    cause text COLLATE "C" NOT NULL,
    node text COLLATE "C" NOT NULL,
    opened bigint NOT NULL,
    last_seen bigint NOT NULL,
    closed bigint,
    closed_because text COLLATE "C",
    pending bigint NOT NULL,
    pending_peak bigint NOT NULL,
    oldest bigint,
    finding text COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX incident_open ON incident (connector, cause) WHERE closed IS NULL;
CREATE INDEX incident_closed ON incident (closed);
CREATE TABLE webhook_call (
    key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    incident uuid NOT NULL,
    body text COLLATE "C" NOT NULL,
    attempts int NOT NULL,
    due bigint NOT NULL
);
-- One row: whose turn it was last.
CREATE TABLE watch (
    id int PRIMARY KEY CHECK (id = 1),
    turn bigint NOT NULL,
    at bigint NOT NULL,
    node text COLLATE "C" NOT NULL
);
-- What nodes are asked to find out; rows of the past hour.
CREATE TABLE inquiry (
    id uuid PRIMARY KEY,
    node text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    question text COLLATE "C" NOT NULL,
    is_taken boolean NOT NULL DEFAULT false,
    answer text COLLATE "C"
);
CREATE TABLE notice_sent (address text COLLATE "C" NOT NULL, at bigint NOT NULL);
CREATE INDEX notice_sent_address ON notice_sent (hashtextextended(address, 0), at);
CREATE INDEX notice_sent_at ON notice_sent (at);
