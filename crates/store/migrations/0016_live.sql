-- Live updates: which rooms a token opens, and tickets with which a browser opens a connection.

-- JSON array of names of rooms, besides those that role, person and groups open.
ALTER TABLE tokens ADD COLUMN live_rooms TEXT;
-- Who keeps connections open looks every second for tokens that were revoked.
CREATE INDEX tokens_by_revocation ON tokens (revoked_at) WHERE revoked_at IS NOT NULL;

-- Each row is a ticket that was not used yet.
CREATE TABLE live_tickets (
    -- hexadecimal SHA-256 of the ticket
    hash       TEXT PRIMARY KEY,
    token_id   TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX live_tickets_by_age ON live_tickets (expires_at);
