-- Jobs that send past events again, and consumers that fetch events instead of being called.

CREATE TABLE replays (
    id          TEXT PRIMARY KEY,
    tenant      TEXT NOT NULL,
    -- NULL: every active endpoint of the tenant
    endpoint_id TEXT,
    -- JSON array of patterns
    event_types TEXT NOT NULL,
    -- JSON array of the standings that are sent again
    states      TEXT NOT NULL,
    -- Events stored at or after `since` and before `until`
    since       BIGINT NOT NULL,
    until       BIGINT NOT NULL,
    rate_per_s  BIGINT NOT NULL,
    state       TEXT NOT NULL,
    reason      TEXT,
    -- The last event handled, in the order of storing
    place_at    BIGINT NOT NULL,
    place_shard BIGINT NOT NULL,
    place_seq   BIGINT NOT NULL,
    -- When the next delivery of the job may be due
    next_due_at BIGINT NOT NULL,
    n_scanned   BIGINT NOT NULL,
    n_planned   BIGINT NOT NULL,
    n_skipped   BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    started_at  BIGINT,
    updated_at  BIGINT NOT NULL,
    finished_at BIGINT
);
CREATE INDEX replays_by_tenant ON replays (tenant, id);
CREATE INDEX replays_running ON replays (tenant, id) WHERE state = 'running';

CREATE TABLE pollers (
    id         TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,
    name       TEXT NOT NULL,
    -- JSON array of patterns
    events     TEXT NOT NULL,
    -- The position of every shard, as in the cursors that callers get
    position   TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX pollers_by_tenant ON pollers (tenant, id);
