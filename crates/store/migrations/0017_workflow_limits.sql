-- Limits of workflows and their tasks, promises about time, and undoing.

-- Who waits for a place or a start, or holds a place. A lane is what shares one limit. Instances only add rows and mark
-- them as gone; the owner of the lane's shard does everything else, so that nobody waits for anybody.
CREATE TABLE workflow_tickets (
    instance_id TEXT NOT NULL,
    ticket_id   BIGINT NOT NULL,
    lane        TEXT NOT NULL,
    -- of the lane
    shard       BIGINT NOT NULL,
    tenant      TEXT NOT NULL,
    -- what is limited, for people: definition, task, kind, key
    about       TEXT NOT NULL,
    -- new, waiting, held, leaving, gone
    state       TEXT NOT NULL,
    -- queue, skip, fail, cancel-running
    policy      TEXT NOT NULL,
    n_most      BIGINT NOT NULL,
    -- the time in which so many may start; NULL where so many may be at it
    per_us      BIGINT,
    priority    BIGINT NOT NULL,
    asked_at    BIGINT NOT NULL,
    PRIMARY KEY (instance_id, ticket_id)
) WITHOUT ROWID --@sqlite
) --@postgres
;
CREATE INDEX workflow_tickets_stirred ON workflow_tickets (shard, lane) WHERE state IN ('new', 'gone');
CREATE INDEX workflow_tickets_by_priority ON workflow_tickets (lane, priority DESC, asked_at, instance_id, ticket_id)
    WHERE state IN ('new', 'waiting');
CREATE INDEX workflow_tickets_by_age ON workflow_tickets (lane, asked_at, instance_id, ticket_id)
    WHERE state IN ('new', 'waiting');
CREATE INDEX workflow_tickets_held ON workflow_tickets (lane, asked_at, instance_id, ticket_id)
    WHERE state IN ('held', 'leaving');

-- What a lane has to remember. There is a row for as long as there is something.
CREATE TABLE workflow_lanes (
    lane       TEXT PRIMARY KEY,
    shard      BIGINT NOT NULL,
    -- how often somebody was let in: now and then whoever has waited longest comes first
    n_admitted BIGINT NOT NULL,
    -- JSON: who started lately
    recent     TEXT NOT NULL,
    wake_at    BIGINT
);
CREATE INDEX workflow_lanes_by_wake ON workflow_lanes (wake_at, lane) WHERE wake_at IS NOT NULL;

-- What has not begun is taken up by priority.
DROP INDEX workflow_instances_active;
CREATE INDEX workflow_instances_running ON workflow_instances (shard, id) WHERE phase = 'running';
CREATE INDEX workflow_instances_pending ON workflow_instances (shard, priority DESC, id) WHERE phase = 'pending';
CREATE INDEX workflow_instances_pending_by_age ON workflow_instances (shard, id) WHERE phase = 'pending';

-- How promises about time stand, by definition; one row a shard, as with the counts.
CREATE TABLE workflow_promises (
    tenant    TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    -- workflow, task
    scope     TEXT NOT NULL,
    -- within, warned, breached while it runs; met, missed afterwards
    standing  TEXT NOT NULL,
    shard     BIGINT NOT NULL,
    n         BIGINT NOT NULL,
    PRIMARY KEY (tenant, namespace, name, scope, standing, shard)
);
CREATE INDEX workflow_instances_by_sla ON workflow_instances (tenant, sla, id) WHERE sla IS NOT NULL;
-- When the promise ends.
ALTER TABLE workflow_instances ADD COLUMN sla_due_at BIGINT;

-- running, done, incomplete; NULL where nothing had to be undone
ALTER TABLE workflow_instances ADD COLUMN compensation TEXT;
