-- Deliveries and pickups between a laboratory and its clinics. Positions are in ten-millionths of a degree, dates are
-- YYYY-MM-DD in the clinic's zone, packages JSON.

-- Ids may be those of the directory that a clinic comes from, so they are unique inside a tenant only.
CREATE TABLE clinics (
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    name       TEXT NOT NULL,
    address    TEXT NOT NULL,
    lat_e7     BIGINT,
    lon_e7     BIGINT,
    -- a name of the IANA database
    zone       TEXT NOT NULL,
    -- JSON: stretches by day of the week, and days with hours of their own
    hours      TEXT NOT NULL,
    holidays   TEXT NOT NULL,
    is_active  BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID --@sqlite
) --@postgres
;

CREATE TABLE drivers (
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    name       TEXT NOT NULL,
    phone      TEXT,
    -- the user id of the person, as in tokens
    person     TEXT,
    is_active  BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID --@sqlite
) --@postgres
;

CREATE TABLE logistics_tasks (
    id            TEXT PRIMARY KEY,
    tenant        TEXT NOT NULL,
    -- delivery, pickup
    kind          TEXT NOT NULL,
    clinic_id     TEXT NOT NULL,
    day           TEXT NOT NULL,
    -- pending, assigned, under_way, and the ends: completed, cancelled
    status        TEXT NOT NULL,
    -- 0 STANDARD, 1 RUSH, 2 EMERGENCY
    priority      BIGINT NOT NULL,
    package       TEXT NOT NULL,
    n_cases       BIGINT NOT NULL,
    -- whether further cases for the same clinic and day are added to it
    is_collecting BIGINT NOT NULL,
    window_from   BIGINT,
    window_until  BIGINT,
    recurrence_id TEXT,
    -- what the request for it was called, so that it is done once
    request_key   TEXT,
    driver_id     TEXT,
    route_id      TEXT,
    note          TEXT,
    version       BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    closed_at     BIGINT
);
CREATE INDEX logistics_tasks_by_tenant ON logistics_tasks (tenant, id);
CREATE INDEX logistics_tasks_by_status ON logistics_tasks (tenant, status, id);
CREATE INDEX logistics_tasks_by_clinic ON logistics_tasks (tenant, clinic_id, id);
CREATE INDEX logistics_tasks_by_day ON logistics_tasks (tenant, day, id);
CREATE INDEX logistics_tasks_by_driver ON logistics_tasks (tenant, driver_id, id) WHERE driver_id IS NOT NULL;
-- Holds the deliveries that still collect, however many there were.
CREATE UNIQUE INDEX logistics_tasks_collecting ON logistics_tasks (tenant, clinic_id, day) WHERE is_collecting = 1;
CREATE UNIQUE INDEX logistics_tasks_by_recurrence ON logistics_tasks (recurrence_id, day) WHERE recurrence_id IS NOT NULL;
CREATE UNIQUE INDEX logistics_tasks_by_request ON logistics_tasks (tenant, request_key) WHERE request_key IS NOT NULL;

-- Cases that are ready, and the delivery that each is part of.
CREATE TABLE logistics_cases (
    tenant     TEXT NOT NULL,
    case_id    TEXT NOT NULL,
    task_id    TEXT NOT NULL,
    -- ready, delivered
    status     TEXT NOT NULL,
    priority   BIGINT NOT NULL,
    package    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, case_id)
) WITHOUT ROWID --@sqlite
) --@postgres
;
CREATE INDEX logistics_cases_by_task ON logistics_cases (task_id, case_id);

CREATE TABLE pickup_recurrences (
    id         TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,
    clinic_id  TEXT NOT NULL,
    -- DAILY, WEEKLY, BIWEEKLY
    frequency  TEXT NOT NULL,
    starts_on  TEXT NOT NULL,
    ends_on    TEXT,
    -- minutes since midnight on the clinic's wall
    from_min   BIGINT NOT NULL,
    until_min  BIGINT NOT NULL,
    priority   BIGINT NOT NULL,
    package    TEXT NOT NULL,
    note       TEXT,
    is_active  BIGINT NOT NULL,
    -- the day up to which pickups are made
    through    TEXT,
    -- when the generator has to look again
    look_at    BIGINT,
    -- JSON: days of the last look that have no pickup, each with the reason
    skipped    TEXT NOT NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX pickup_recurrences_by_tenant ON pickup_recurrences (tenant, id);
CREATE INDEX pickup_recurrences_due ON pickup_recurrences (look_at, id) WHERE look_at IS NOT NULL;

CREATE TABLE logistics_routes (
    id         TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,
    driver_id  TEXT NOT NULL,
    day        TEXT NOT NULL,
    -- planned, under_way, and the ends: completed, cancelled
    status     TEXT NOT NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX logistics_routes_by_tenant ON logistics_routes (tenant, id);
CREATE INDEX logistics_routes_by_driver ON logistics_routes (tenant, driver_id, id);
CREATE INDEX logistics_routes_by_day ON logistics_routes (tenant, day, id);

CREATE TABLE logistics_stops (
    route_id    TEXT NOT NULL,
    -- from 1, in the order of the round
    number      BIGINT NOT NULL,
    task_id     TEXT NOT NULL,
    clinic_id   TEXT NOT NULL,
    arrived_at  BIGINT,
    departed_at BIGINT,
    PRIMARY KEY (route_id, number)
) WITHOUT ROWID --@sqlite
) --@postgres
;

-- Content by its digest. A tenant sees its own only, also where another has the same bytes.
CREATE TABLE logistics_blobs (
    tenant     TEXT NOT NULL,
    hash       TEXT NOT NULL,
    media_type TEXT NOT NULL,
    bytes      BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, hash)
);

-- That a delivery or a pickup was handed over.
CREATE TABLE logistics_proofs (
    task_id        TEXT PRIMARY KEY,
    tenant         TEXT NOT NULL,
    recipient      TEXT,
    signature_hash TEXT,
    photo_hash     TEXT,
    geohash        TEXT,
    lat_e7         BIGINT,
    lon_e7         BIGINT,
    note           TEXT,
    taken_at       BIGINT NOT NULL,
    created_at     BIGINT NOT NULL
);

CREATE TABLE invoices (
    tenant       TEXT NOT NULL,
    id           TEXT NOT NULL,
    case_id      TEXT NOT NULL,
    -- in the smallest unit of the currency
    amount_minor BIGINT,
    currency     TEXT,
    -- open, delivered, paid, void
    status       TEXT NOT NULL,
    -- the delivery that made it delivered
    task_id      TEXT,
    version      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID --@sqlite
) --@postgres
;
CREATE INDEX invoices_by_case ON invoices (tenant, case_id, id);
CREATE INDEX invoices_by_status ON invoices (tenant, status, id);

-- The invoices that a delivery changes, one by one.
CREATE TABLE invoice_updates (
    task_id    TEXT NOT NULL,
    invoice_id TEXT NOT NULL,
    tenant     TEXT NOT NULL,
    -- pending, done, failed
    status     TEXT NOT NULL,
    n_attempts BIGINT NOT NULL,
    next_at    BIGINT,
    error      TEXT,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (task_id, invoice_id)
) WITHOUT ROWID --@sqlite
) --@postgres
;
CREATE INDEX invoice_updates_due ON invoice_updates (next_at, task_id, invoice_id) WHERE next_at IS NOT NULL;
CREATE INDEX invoice_updates_by_invoice ON invoice_updates (tenant, invoice_id, task_id);

-- How the billing of a delivery stands.
CREATE TABLE billings (
    task_id    TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,
    -- updates that are pending, and those that failed for good
    n_pending  BIGINT NOT NULL,
    n_failed   BIGINT NOT NULL,
    -- when the billing workflow was first triggered
    triggered_at BIGINT,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
