-- Sums of attempts and deliveries over time, so that figures need not be counted from the history.

CREATE TABLE delivery_stats (
    tenant       TEXT NOT NULL,
    -- 300, 3600 or 86400
    width_s      BIGINT NOT NULL,
    -- Where the bucket begins; a multiple of its width
    bucket_at    BIGINT NOT NULL,
    endpoint_id  TEXT NOT NULL,
    event_type   TEXT NOT NULL,
    -- Attempts that the endpoint took, and those that failed by family of their error class
    n_successes  BIGINT NOT NULL,
    n_http_4xx   BIGINT NOT NULL,
    n_http_5xx   BIGINT NOT NULL,
    n_http_other BIGINT NOT NULL,
    n_timeout    BIGINT NOT NULL,
    n_network    BIGINT NOT NULL,
    n_hub        BIGINT NOT NULL,
    -- Deliveries that ended
    n_succeeded  BIGINT NOT NULL,
    n_exhausted  BIGINT NOT NULL,
    n_cancelled  BIGINT NOT NULL,
    -- Answered attempts by how long they took; the bounds are in tables/delivery_stats.rs
    l0           BIGINT NOT NULL,
    l1           BIGINT NOT NULL,
    l2           BIGINT NOT NULL,
    l3           BIGINT NOT NULL,
    l4           BIGINT NOT NULL,
    l5           BIGINT NOT NULL,
    l6           BIGINT NOT NULL,
    l7           BIGINT NOT NULL,
    l8           BIGINT NOT NULL,
    l9           BIGINT NOT NULL,
    l10          BIGINT NOT NULL,
    l11          BIGINT NOT NULL,
    l12          BIGINT NOT NULL,
    l13          BIGINT NOT NULL,
    l14          BIGINT NOT NULL,
    l15          BIGINT NOT NULL,
    l16          BIGINT NOT NULL,
    l17          BIGINT NOT NULL,
    l18          BIGINT NOT NULL,
    l19          BIGINT NOT NULL,
    l20          BIGINT NOT NULL,
    l21          BIGINT NOT NULL,
    l22          BIGINT NOT NULL,
    l23          BIGINT NOT NULL,
    PRIMARY KEY (tenant, width_s, bucket_at, endpoint_id, event_type)
) WITHOUT ROWID --@sqlite
) --@postgres
;
CREATE INDEX delivery_stats_by_endpoint ON delivery_stats (endpoint_id, width_s, bucket_at);
CREATE INDEX delivery_stats_by_age ON delivery_stats (width_s, bucket_at);

-- What commits of dispatch add to the sums; taken into them within seconds.
CREATE TABLE delivery_stats_deltas (
    id   TEXT PRIMARY KEY,
    -- JSON array of [tenant, endpoint_id, event_type, bucket_at, [[figure, n], …]]
    body TEXT NOT NULL
);
