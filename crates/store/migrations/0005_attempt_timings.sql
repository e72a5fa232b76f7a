-- Where the time of an attempt went. A connection that was there before leaves its column empty.
ALTER TABLE deliveries ADD COLUMN first_byte_us BIGINT;
ALTER TABLE deliveries ADD COLUMN connection TEXT;
ALTER TABLE attempts ADD COLUMN first_byte_us BIGINT;
ALTER TABLE attempts ADD COLUMN connection TEXT;
