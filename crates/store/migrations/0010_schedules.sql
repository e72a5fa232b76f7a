-- Workflows that time starts, and events that start a workflow together.

-- One row for each definition whose highest active version has a schedule by time. Only the owner of the shard moves
-- it; callers and ends of instances ask for a look by `wake_at`.
CREATE TABLE workflow_schedules (
    tenant           TEXT NOT NULL,
    namespace        TEXT NOT NULL,
    name             TEXT NOT NULL,
    version          TEXT NOT NULL,
    hash             TEXT NOT NULL,
    shard            BIGINT NOT NULL,
    -- the next time it starts an instance
    next_at          BIGINT,
    -- when the owner has to look at it
    wake_at          BIGINT,
    -- the last time that was started for, with the instance, and when that one ended
    last_at          BIGINT,
    last_instance_id TEXT,
    ended_at         BIGINT,
    -- JSON: times that wait for the end of an instance
    queue            TEXT NOT NULL,
    is_paused        BIGINT NOT NULL,
    n_started        BIGINT NOT NULL,
    n_skipped        BIGINT NOT NULL,
    -- grows with every change: the optimistic lock
    revision         BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL,
    PRIMARY KEY (tenant, namespace, name)
);
CREATE INDEX workflow_schedules_by_wake ON workflow_schedules (wake_at, tenant, namespace, name) WHERE wake_at IS NOT NULL;

-- Events that wait for others to start a workflow with. Rows leave with the start.
CREATE TABLE workflow_gathered (
    tenant      TEXT NOT NULL,
    namespace   TEXT NOT NULL,
    name        TEXT NOT NULL,
    -- digest of the definition that wants them
    hash        TEXT NOT NULL,
    -- digest of the values that tie them together; empty for none
    correlation TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    -- source and id of the event
    key         TEXT NOT NULL,
    shard       BIGINT NOT NULL,
    -- JSON: the CloudEvent
    event       TEXT NOT NULL,
    -- whether its owner has not looked at it yet
    is_new      BIGINT NOT NULL,
    PRIMARY KEY (tenant, namespace, name, correlation, recorded_at, key)
);
CREATE INDEX workflow_gathered_new ON workflow_gathered (shard) WHERE is_new = 1;

-- How long instances took that ended in an hour, by how they ended; buckets are powers of two of microseconds in
-- quarters. One row a shard, as with the counts.
CREATE TABLE workflow_durations (
    tenant    TEXT NOT NULL,
    hour_at   BIGINT NOT NULL,
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    status    TEXT NOT NULL,
    bucket    BIGINT NOT NULL,
    shard     BIGINT NOT NULL,
    n         BIGINT NOT NULL,
    sum_us    BIGINT NOT NULL,
    PRIMARY KEY (tenant, hour_at, namespace, name, status, bucket, shard)
) WITHOUT ROWID --@sqlite
) --@postgres
;

-- What retention looks for.
CREATE INDEX workflow_instances_by_end ON workflow_instances (shard, finished_at) WHERE finished_at IS NOT NULL;

-- Which instances need a blob. One that was used again lately is kept, whatever this table says at that moment.
ALTER TABLE workflow_blobs ADD COLUMN used_at BIGINT NOT NULL DEFAULT 0;
CREATE TABLE workflow_blob_refs (
    instance_id TEXT NOT NULL,
    hash        TEXT NOT NULL,
    PRIMARY KEY (instance_id, hash)
) WITHOUT ROWID --@sqlite
) --@postgres
;
CREATE INDEX workflow_blob_refs_by_hash ON workflow_blob_refs (hash);
