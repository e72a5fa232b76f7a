-- The journal and everything the first engines keep.
--
-- One text for both databases: times are microseconds since 1970 UTC, ids and JSON are TEXT, flags are 0 or 1.
-- A line that ends in "--@sqlite" or "--@postgres" is for that database alone. On PostgreSQL binary columns
-- are BYTEA, and text compares byte by byte as on SQLite, whatever the server's locale.

CREATE TABLE hub_facts (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE journal_heads (
    shard BIGINT PRIMARY KEY,
    seq   BIGINT NOT NULL
);

CREATE TABLE events (
    seq            INTEGER PRIMARY KEY, --@sqlite
    seq            BIGINT NOT NULL, --@postgres
    shard          BIGINT NOT NULL,
    recorded_at    BIGINT NOT NULL,
    id             TEXT NOT NULL,
    tenant         TEXT NOT NULL,
    source         TEXT NOT NULL,
    type           TEXT NOT NULL,
    time           BIGINT NOT NULL,
    subject        TEXT,
    -- NULL when the event starts its journey: then its own id is the correlation id.
    correlation_id TEXT,
    causation_id   TEXT,
    partition_key  TEXT,
    content_type   TEXT,
    data_schema    TEXT,
    traceparent    TEXT,
    extensions     TEXT,
    -- 0 none, 1 JSON, 2 binary, 3 webhook envelope
    data_form      BIGINT NOT NULL,
    data           BLOB,
    request_head   TEXT
    , PRIMARY KEY (shard, seq) --@postgres
);
CREATE UNIQUE INDEX events_by_id ON events (id, tenant, source);
CREATE INDEX events_by_tenant ON events (tenant, recorded_at, shard, seq);
CREATE INDEX events_by_type ON events (tenant, type, recorded_at, shard, seq);
CREATE INDEX events_by_correlation ON events (correlation_id, tenant, recorded_at, shard, seq)
    WHERE correlation_id IS NOT NULL;

CREATE TABLE tenant_usage (
    tenant   TEXT NOT NULL,
    -- -1 holds what retention has removed
    shard    BIGINT NOT NULL,
    n_events BIGINT NOT NULL,
    n_bytes  BIGINT NOT NULL,
    PRIMARY KEY (tenant, shard)
);

-- What a source's scheme names as the id of a call, so that a repeat is recognised.
CREATE TABLE inbound_seen (
    source     TEXT NOT NULL,
    dedupe_key TEXT NOT NULL,
    inbound_id TEXT NOT NULL,
    seen_at    BIGINT NOT NULL,
    PRIMARY KEY (source, dedupe_key)
) WITHOUT ROWID --@sqlite
) --@postgres
;

-- Calls that did not become one record with an event: quarantined and rejected ones.
CREATE TABLE inbound_requests (
    id          TEXT PRIMARY KEY,
    tenant      TEXT NOT NULL,
    source      TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    verdict     TEXT NOT NULL,
    reason      TEXT NOT NULL,
    head        TEXT NOT NULL,
    body        BLOB,
    event_id    TEXT
);
CREATE INDEX inbound_requests_by_tenant ON inbound_requests (tenant, id);
CREATE INDEX inbound_requests_by_source ON inbound_requests (source, verdict, id);

CREATE TABLE nodes (
    id         TEXT PRIMARY KEY,
    started_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL
);

CREATE TABLE shard_leases (
    shard      BIGINT PRIMARY KEY,
    owner      TEXT NOT NULL,
    epoch      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE consumer_cursors (
    consumer TEXT NOT NULL,
    shard    BIGINT NOT NULL,
    seq      BIGINT NOT NULL,
    PRIMARY KEY (consumer, shard)
);

CREATE TABLE dead_letters (
    id         TEXT PRIMARY KEY,
    consumer   TEXT NOT NULL,
    shard      BIGINT NOT NULL,
    seq        BIGINT NOT NULL,
    tenant     TEXT NOT NULL,
    event_id   TEXT NOT NULL,
    error      TEXT NOT NULL,
    n_attempts BIGINT NOT NULL,
    failed_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX dead_letters_by_place ON dead_letters (consumer, shard, seq);
CREATE INDEX dead_letters_by_tenant ON dead_letters (tenant, id);

CREATE TABLE endpoints (
    id          TEXT PRIMARY KEY,
    tenant      TEXT NOT NULL,
    url         TEXT NOT NULL,
    description TEXT NOT NULL,
    -- JSON array of patterns
    events      TEXT NOT NULL,
    active      BIGINT NOT NULL,
    -- JSON array of signing secrets, the newest first
    secrets     TEXT NOT NULL,
    -- JSON object: format, time-out, retry schedule, in-flight cap
    settings    TEXT NOT NULL,
    version     BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX endpoints_by_tenant ON endpoints (tenant, id);

-- One event owed to one endpoint. The latest attempt lives in the row, earlier ones in attempts.
CREATE TABLE deliveries (
    id              TEXT NOT NULL,
    tenant          TEXT NOT NULL,
    endpoint_id     TEXT NOT NULL,
    shard           BIGINT NOT NULL,
    seq             BIGINT NOT NULL,
    event_id        TEXT NOT NULL,
    event_type      TEXT NOT NULL,
    state           TEXT NOT NULL,
    reason          TEXT,
    created_at      BIGINT NOT NULL,
    next_attempt_at BIGINT,
    finished_at     BIGINT,
    n_attempts      BIGINT NOT NULL,
    attempt_id      TEXT,
    started_at      BIGINT,
    duration_us     BIGINT,
    status          BIGINT,
    error_class     TEXT,
    error           TEXT,
    response_head   TEXT,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX deliveries_by_event ON deliveries (shard, seq);
CREATE INDEX deliveries_by_endpoint ON deliveries (endpoint_id, id);
CREATE INDEX deliveries_due ON deliveries (shard, endpoint_id, next_attempt_at) WHERE state = 'pending';

CREATE TABLE attempts (
    id            TEXT PRIMARY KEY,
    delivery_id   TEXT NOT NULL,
    number        BIGINT NOT NULL,
    started_at    BIGINT NOT NULL,
    duration_us   BIGINT NOT NULL,
    status        BIGINT,
    error_class   TEXT,
    error         TEXT,
    response_head TEXT
);
CREATE INDEX attempts_by_delivery ON attempts (delivery_id, number);

CREATE TABLE tokens (
    id           TEXT PRIMARY KEY,
    tenant       TEXT NOT NULL,
    name         TEXT NOT NULL,
    role         TEXT NOT NULL,
    -- hexadecimal SHA-256 of the token
    hash         TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT
);
CREATE UNIQUE INDEX tokens_by_hash ON tokens (hash);
CREATE INDEX tokens_by_tenant ON tokens (tenant, id);

CREATE TABLE idempotency_keys (
    tenant      TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    -- NULL while the request runs
    status      BIGINT,
    headers     TEXT,
    body        BLOB,
    PRIMARY KEY (tenant, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
