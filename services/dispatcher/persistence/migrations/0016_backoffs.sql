-- The pause that a destination asked for. Null or in the past: there is none.
ALTER TABLE paces ADD COLUMN backoff_until timestamptz;
ALTER TABLE paces ADD COLUMN backoff_reason text;
