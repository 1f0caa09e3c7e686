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
