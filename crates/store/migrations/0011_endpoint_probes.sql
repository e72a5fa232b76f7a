-- How often endpoints were added, changed or removed, so that whoever keeps them in memory need not look at all of them.
CREATE TABLE endpoint_changes (
    n BIGINT NOT NULL
);
INSERT INTO endpoint_changes (n) VALUES (0);
CREATE TRIGGER endpoints_added AFTER INSERT ON endpoints BEGIN UPDATE endpoint_changes SET n = n + 1; END; --@sqlite
CREATE TRIGGER endpoints_changed AFTER UPDATE ON endpoints BEGIN UPDATE endpoint_changes SET n = n + 1; END; --@sqlite
CREATE TRIGGER endpoints_removed AFTER DELETE ON endpoints BEGIN UPDATE endpoint_changes SET n = n + 1; END; --@sqlite
CREATE FUNCTION count_endpoint_changes() RETURNS trigger LANGUAGE plpgsql AS $$ --@postgres
    BEGIN UPDATE endpoint_changes SET n = n + 1; RETURN NULL; END $$; --@postgres
CREATE TRIGGER endpoints_changed AFTER INSERT OR UPDATE OR DELETE ON endpoints --@postgres
    FOR EACH STATEMENT EXECUTE FUNCTION count_endpoint_changes(); --@postgres

-- The version of the endpoint that the hub made when it switched it off; another one was made by somebody else.
ALTER TABLE endpoint_health ADD COLUMN disabled_version BIGINT;
-- When an endpoint that failed for too long is tried again, and how often it was; NULL for all others.
ALTER TABLE endpoint_health ADD COLUMN probe_at BIGINT;
ALTER TABLE endpoint_health ADD COLUMN n_probes BIGINT NOT NULL DEFAULT 0;
CREATE INDEX endpoint_health_probes ON endpoint_health (probe_at) WHERE probe_at IS NOT NULL;
