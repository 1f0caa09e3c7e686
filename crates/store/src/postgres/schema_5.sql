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
