-- Records of collections, written under an optimistic version, and where documents are.

CREATE TABLE records (
    tenant     TEXT NOT NULL,
    collection TEXT NOT NULL,
    id         TEXT NOT NULL,
    -- JSON
    data       TEXT NOT NULL,
    version    BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, collection, id)
);

CREATE TABLE documents (
    tenant      TEXT NOT NULL,
    id          TEXT NOT NULL,
    status      TEXT NOT NULL,
    -- user, group, queue
    holder      TEXT NOT NULL,
    holder_id   TEXT NOT NULL,
    note        TEXT,
    instance_id TEXT NOT NULL,
    at          BIGINT NOT NULL,
    -- how often it was given to somebody
    version     BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX documents_by_holder ON documents (tenant, holder, holder_id, id);

CREATE TABLE document_history (
    tenant      TEXT NOT NULL,
    id          TEXT NOT NULL,
    -- of the document when it went there
    version     BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    -- of the call that moved it
    key         TEXT NOT NULL,
    status      TEXT NOT NULL,
    holder      TEXT NOT NULL,
    holder_id   TEXT NOT NULL,
    note        TEXT,
    instance_id TEXT NOT NULL,
    PRIMARY KEY (tenant, id, version)
);

-- What an event, or another instance, has started.
CREATE INDEX workflow_instances_by_cause ON workflow_instances (tenant, causation_id, id)
    WHERE causation_id IS NOT NULL;
