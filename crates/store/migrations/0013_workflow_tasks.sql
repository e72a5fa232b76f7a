-- Tasks of people, who may do them, and whose token it is that does.

-- The person whose token it is, and their groups as a JSON array.
ALTER TABLE tokens ADD COLUMN person TEXT;
ALTER TABLE tokens ADD COLUMN person_groups TEXT;

-- Who started it: the person, or the id of the token.
ALTER TABLE workflow_instances ADD COLUMN started_by TEXT;
-- within, warned, breached; NULL where nothing was promised
ALTER TABLE workflow_instances ADD COLUMN sla TEXT;

-- Written in the commits of the instance, whose state they show.
CREATE TABLE workflow_tasks (
    id           TEXT PRIMARY KEY,
    tenant       TEXT NOT NULL,
    instance_id  TEXT NOT NULL,
    namespace    TEXT NOT NULL,
    name         TEXT NOT NULL,
    document_id  TEXT,
    -- JSON pointer to the task in the definition
    reference    TEXT NOT NULL,
    -- approval, step
    kind         TEXT NOT NULL,
    -- this activation of the task and no other
    nonce        TEXT NOT NULL,
    title        TEXT NOT NULL,
    description  TEXT,
    -- JSON Schema of what has to be filled in
    form         TEXT,
    -- JSON arrays
    assignees    TEXT NOT NULL,
    groups       TEXT NOT NULL,
    escalated_to TEXT NOT NULL,
    quorum       BIGINT NOT NULL,
    priority     BIGINT NOT NULL,
    -- open, claimed, and the ends: completed, expired, cancelled
    status       TEXT NOT NULL,
    -- approved, rejected, done, timeout
    outcome      TEXT,
    claimed_by   TEXT,
    -- JSON array of what was done, decisions included
    history      TEXT NOT NULL,
    due_at       BIGINT,
    escalate_at  BIGINT,
    version      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    closed_at    BIGINT
);
CREATE INDEX workflow_tasks_by_tenant ON workflow_tasks (tenant, id);
CREATE INDEX workflow_tasks_by_status ON workflow_tasks (tenant, status, id);
CREATE INDEX workflow_tasks_by_document ON workflow_tasks (tenant, document_id, id) WHERE document_id IS NOT NULL;
CREATE INDEX workflow_tasks_by_instance ON workflow_tasks (instance_id, id);

-- Whose list a task is on.
CREATE TABLE workflow_task_people (
    tenant  TEXT NOT NULL,
    -- user, group
    kind    TEXT NOT NULL,
    name    TEXT NOT NULL,
    task_id TEXT NOT NULL,
    is_open BIGINT NOT NULL,
    PRIMARY KEY (tenant, kind, name, task_id)
) WITHOUT ROWID --@sqlite
) --@postgres
;
CREATE INDEX workflow_task_people_open ON workflow_task_people (tenant, kind, name, task_id) WHERE is_open = 1;
CREATE INDEX workflow_task_people_by_task ON workflow_task_people (task_id);
