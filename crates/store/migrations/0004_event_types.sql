-- Event types that tenants add to those of the packs, and what each tenant has chosen for itself.

CREATE TABLE event_types (
    tenant      TEXT NOT NULL,
    type        TEXT NOT NULL,
    version     BIGINT NOT NULL,
    title       TEXT NOT NULL,
    description TEXT NOT NULL,
    -- JSON Schema of the event's data
    data_schema TEXT NOT NULL,
    -- JSON, fits the schema
    example     TEXT,
    deprecated  BIGINT NOT NULL,
    replaced_by TEXT,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant, type, version)
);

CREATE TABLE tenant_settings (
    tenant     TEXT PRIMARY KEY,
    -- JSON object
    settings   TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);
