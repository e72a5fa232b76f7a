-- Order of deliveries to one endpoint, and the age of finished replay jobs.

-- The key whose order is kept; NULL where the endpoint asks for none.
ALTER TABLE deliveries ADD COLUMN order_key TEXT;
-- The line of one key: who is first in it is found by one step down this index, however long it is.
CREATE INDEX deliveries_in_line ON deliveries (endpoint_id, order_key, seq, id)
    WHERE state = 'pending' AND order_key IS NOT NULL;

CREATE INDEX replays_finished ON replays (finished_at) WHERE finished_at IS NOT NULL;
