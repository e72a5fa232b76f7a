-- Workflows: definitions, instances and what drives them.
--
-- An instance is a snapshot and the records behind it; everything else here says what has to reach it, and when.

-- Texts of definitions by content, shared by all tenants and kept as long as an instance may need them.
CREATE TABLE workflow_sources (
    hash   TEXT PRIMARY KEY,
    source TEXT NOT NULL
);

CREATE TABLE workflow_definitions (
    tenant     TEXT NOT NULL,
    namespace  TEXT NOT NULL,
    name       TEXT NOT NULL,
    version    TEXT NOT NULL,
    hash       TEXT NOT NULL,
    -- draft, active, retired
    state      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, namespace, name, version)
);
CREATE INDEX workflow_definitions_by_change ON workflow_definitions (updated_at);

CREATE TABLE workflow_instances (
    id             TEXT PRIMARY KEY,
    tenant         TEXT NOT NULL,
    shard          BIGINT NOT NULL,
    namespace      TEXT NOT NULL,
    name           TEXT NOT NULL,
    version        TEXT NOT NULL,
    hash           TEXT NOT NULL,
    document_id    TEXT,
    -- in_progress, completed, cancelled, failed
    status         TEXT NOT NULL,
    -- pending, running, waiting, suspended, and the three ends
    phase          TEXT NOT NULL,
    current_step   BIGINT NOT NULL,
    total_steps    BIGINT NOT NULL,
    priority       BIGINT NOT NULL,
    parent_id      TEXT,
    -- what the parent calls this child
    parent_key     TEXT,
    correlation_id TEXT NOT NULL,
    causation_id   TEXT,
    -- what must start no second instance
    start_key      TEXT,
    n_records      BIGINT NOT NULL,
    n_crashes      BIGINT NOT NULL,
    -- JSON
    input          TEXT NOT NULL,
    output         TEXT,
    error          TEXT,
    created_at     BIGINT NOT NULL,
    started_at     BIGINT,
    updated_at     BIGINT NOT NULL,
    finished_at    BIGINT
);
CREATE UNIQUE INDEX workflow_instances_by_start ON workflow_instances (tenant, start_key) WHERE start_key IS NOT NULL;
CREATE INDEX workflow_instances_by_tenant ON workflow_instances (tenant, id);
CREATE INDEX workflow_instances_by_status ON workflow_instances (tenant, status, id);
CREATE INDEX workflow_instances_by_document ON workflow_instances (tenant, document_id, id)
    WHERE document_id IS NOT NULL;
CREATE INDEX workflow_instances_active ON workflow_instances (shard, id) WHERE phase IN ('pending', 'running');

-- How many instances of a definition stand where; one row a shard, so that owners do not wait for each other.
CREATE TABLE workflow_counts (
    tenant    TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    status    TEXT NOT NULL,
    shard     BIGINT NOT NULL,
    n         BIGINT NOT NULL,
    -- from creation to end, of those that have ended
    sum_us    BIGINT NOT NULL,
    PRIMARY KEY (tenant, namespace, name, status, shard)
);

CREATE TABLE workflow_records (
    instance_id TEXT NOT NULL,
    seq         BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    kind        TEXT NOT NULL,
    -- JSON
    body        TEXT NOT NULL,
    PRIMARY KEY (instance_id, seq)
) WITHOUT ROWID --@sqlite
) --@postgres
;

CREATE TABLE workflow_snapshots (
    instance_id TEXT PRIMARY KEY,
    -- the last record that the state holds
    seq         BIGINT NOT NULL,
    -- JSON
    state       TEXT NOT NULL
) WITHOUT ROWID --@sqlite
) --@postgres
;

-- Values that are too long for a record, by content.
CREATE TABLE workflow_blobs (
    hash  TEXT PRIMARY KEY,
    bytes BLOB NOT NULL
);

CREATE TABLE workflow_timers (
    shard       BIGINT NOT NULL,
    fire_at     BIGINT NOT NULL,
    instance_id TEXT NOT NULL,
    timer_id    BIGINT NOT NULL,
    -- wait, retry, timeout
    kind        TEXT NOT NULL,
    PRIMARY KEY (shard, fire_at, instance_id, timer_id)
) WITHOUT ROWID --@sqlite
) --@postgres
;

-- What reached an instance from outside and is not in its records yet; the key keeps it from coming twice.
CREATE TABLE workflow_inbox (
    instance_id TEXT NOT NULL,
    key         TEXT NOT NULL,
    shard       BIGINT NOT NULL,
    kind        TEXT NOT NULL,
    -- JSON
    body        TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (instance_id, key)
);
CREATE INDEX workflow_inbox_by_shard ON workflow_inbox (shard, created_at, instance_id, key);

-- Instances that listen. The site is the place in a definition that they listen at.
CREATE TABLE workflow_subscriptions (
    tenant      TEXT NOT NULL,
    event_type  TEXT NOT NULL,
    site        TEXT NOT NULL,
    -- digest of the values that the event has to carry; empty for none
    correlation TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    -- of the instance: which of its waits this is
    number      BIGINT NOT NULL,
    shard       BIGINT NOT NULL,
    -- events stored before are of no concern
    since       BIGINT NOT NULL,
    PRIMARY KEY (tenant, event_type, site, correlation, instance_id, number)
) WITHOUT ROWID --@sqlite
) --@postgres
;

-- The sites at which instances of a tenant have listened to a type: few, however many instances there are.
CREATE TABLE workflow_sites (
    tenant     TEXT NOT NULL,
    event_type TEXT NOT NULL,
    site       TEXT NOT NULL,
    PRIMARY KEY (tenant, event_type, site)
) WITHOUT ROWID --@sqlite
) --@postgres
;
