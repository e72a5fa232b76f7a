-- Where drivers are and were. Positions are in ten-millionths of a degree, lengths and speeds in millimetres and
-- millimetres a second, courses in hundredths of a degree.

-- When a route was driven: positions are kept of that time alone.
ALTER TABLE logistics_routes ADD COLUMN started_at BIGINT;
ALTER TABLE logistics_routes ADD COLUMN ended_at BIGINT;
UPDATE logistics_routes SET started_at = updated_at WHERE status = 'under_way';
CREATE INDEX logistics_routes_driven ON logistics_routes (tenant, driver_id, started_at) WHERE started_at IS NOT NULL;

CREATE TABLE driver_positions (
    tenant       TEXT NOT NULL,
    driver_id    TEXT NOT NULL,
    -- when the driver was there: by the phone's clock, or when it came where that clock is ahead
    at           BIGINT NOT NULL,
    lat_e7       BIGINT NOT NULL,
    lon_e7       BIGINT NOT NULL,
    device_at    BIGINT NOT NULL,
    received_at  BIGINT NOT NULL,
    -- when it was settled; NULL while it waits for earlier ones
    processed_at BIGINT,
    route_id     TEXT NOT NULL,
    accuracy_mm  BIGINT,
    speed_mm_s   BIGINT,
    course_cdeg  BIGINT,
    altitude_mm  BIGINT,
    battery_pct  BIGINT,
    -- why it is not believed as it is: words with commas between them
    marks        TEXT NOT NULL,
    PRIMARY KEY (tenant, driver_id, at, lat_e7, lon_e7)
) WITHOUT ROWID --@sqlite
) --@postgres
;
CREATE INDEX driver_positions_waiting ON driver_positions (tenant, driver_id, at, lat_e7, lon_e7)
    WHERE processed_at IS NULL;
CREATE INDEX driver_positions_by_age ON driver_positions (received_at);

-- How far each driver is followed.
CREATE TABLE driver_tracks (
    tenant         TEXT NOT NULL,
    driver_id      TEXT NOT NULL,
    -- the newest position that is believed, by its key
    current_at     BIGINT,
    current_lat_e7 BIGINT,
    current_lon_e7 BIGINT,
    -- JSON: what the next position is held against
    state          TEXT NOT NULL,
    -- when what waits is settled although nothing more came
    settle_at      BIGINT,
    received_at    BIGINT NOT NULL,
    version        BIGINT NOT NULL,
    PRIMARY KEY (tenant, driver_id)
) WITHOUT ROWID --@sqlite
) --@postgres
;
CREATE INDEX driver_tracks_due ON driver_tracks (settle_at, tenant, driver_id) WHERE settle_at IS NOT NULL;
CREATE INDEX driver_tracks_by_age ON driver_tracks (received_at);

-- Stops at which a driver is seen just now: one for each clinic of a route, however many tasks are done there.
CREATE TABLE driver_visits (
    tenant         TEXT NOT NULL,
    driver_id      TEXT NOT NULL,
    route_id       TEXT NOT NULL,
    clinic_id      TEXT NOT NULL,
    lat_e7         BIGINT NOT NULL,
    lon_e7         BIGINT NOT NULL,
    since          BIGINT NOT NULL,
    last_inside_at BIGINT NOT NULL,
    has_arrived    BIGINT NOT NULL,
    -- since when the driver is surely outside
    outside_since  BIGINT,
    PRIMARY KEY (tenant, driver_id, route_id, clinic_id)
) WITHOUT ROWID --@sqlite
) --@postgres
;

-- What a driver did on a day, UTC. Holds no positions and stays when they go.
CREATE TABLE driver_days (
    tenant      TEXT NOT NULL,
    driver_id   TEXT NOT NULL,
    day         TEXT NOT NULL,
    distance_mm BIGINT NOT NULL,
    moving_us   BIGINT NOT NULL,
    n_stops     BIGINT NOT NULL,
    n_left      BIGINT NOT NULL,
    stayed_us   BIGINT NOT NULL,
    -- arrivals for which a time was promised, and those that were in time
    n_judged    BIGINT NOT NULL,
    n_on_time   BIGINT NOT NULL,
    PRIMARY KEY (tenant, driver_id, day)
) WITHOUT ROWID --@sqlite
) --@postgres
;
