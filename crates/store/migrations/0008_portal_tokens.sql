-- Tokens for the receiving side: short-lived, for endpoints of one tenant and nothing else.

CREATE TABLE portal_tokens (
    id           TEXT PRIMARY KEY,
    tenant       TEXT NOT NULL,
    name         TEXT NOT NULL,
    -- hexadecimal SHA-256 of the token
    hash         TEXT NOT NULL,
    -- JSON array of endpoint ids; NULL: every endpoint of the tenant
    endpoint_ids TEXT,
    read_only    BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    revoked_at   BIGINT
);
CREATE UNIQUE INDEX portal_tokens_by_hash ON portal_tokens (hash);
CREATE INDEX portal_tokens_by_tenant ON portal_tokens (tenant, id);
CREATE INDEX portal_tokens_by_expiry ON portal_tokens (expires_at);
