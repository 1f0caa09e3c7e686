-- A lease lasts as long as its member is heard; `lease_until` stays empty, so that no older node ends one.
DROP INDEX queue_delivery_leased;
CREATE INDEX queue_delivery_leased ON queue_delivery (lease_node) WHERE state = 1;
