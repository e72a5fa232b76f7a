-- Deliveries count for their tenant's size, and those that were given up with their event go by their own age.

CREATE INDEX deliveries_expired ON deliveries (tenant, finished_at)
    WHERE state = 'cancelled' AND reason = 'event expired';

-- Shards from -2 downwards hold what attempts have added: -2 is that of shard 0.
INSERT INTO tenant_usage (tenant, shard, n_events, n_bytes)
    SELECT tenant, -2 - shard, 0, sum(octet_length(id) + octet_length(endpoint_id) + octet_length(event_id)
        + octet_length(event_type) + coalesce(octet_length(attempt_id), 0) + coalesce(octet_length(error), 0)
        + coalesce(octet_length(response_head), 0) + coalesce(octet_length(connection), 0))
    FROM deliveries GROUP BY tenant, shard;
UPDATE tenant_usage SET n_bytes = n_bytes + coalesce((
    SELECT sum(octet_length(a.id) + coalesce(octet_length(a.error), 0) + coalesce(octet_length(a.response_head), 0)
        + coalesce(octet_length(a.connection), 0))
    FROM deliveries AS d JOIN attempts AS a ON a.delivery_id = d.id
    WHERE d.tenant = tenant_usage.tenant AND d.shard = -2 - tenant_usage.shard), 0)
    WHERE shard < -1;
