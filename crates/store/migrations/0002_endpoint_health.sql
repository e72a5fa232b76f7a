-- How endpoints that failed are doing. An endpoint that never failed for longer than a few seconds has no row.
CREATE TABLE endpoint_health (
    endpoint_id     TEXT PRIMARY KEY,
    tenant          TEXT NOT NULL,
    -- since when every attempt has failed; NULL after a success
    failing_since   BIGINT,
    last_success_at BIGINT,
    -- failed attempts since then
    n_failures      BIGINT NOT NULL,
    last_error      TEXT,
    -- when and why the hub itself switched the endpoint off; NULL again after the next attempt
    disabled_at     BIGINT,
    disabled_reason TEXT,
    -- grows with every change
    updated_at      BIGINT NOT NULL
);
CREATE INDEX endpoint_health_failing ON endpoint_health (endpoint_id) WHERE failing_since IS NOT NULL;
