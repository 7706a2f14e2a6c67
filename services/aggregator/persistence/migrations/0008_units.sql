-- What items are made of, such as records, where their workload counts that: its name, how many there are in the results,
-- and how many are expected.
ALTER TABLE batches ADD COLUMN unit text, ADD COLUMN units bigint NOT NULL DEFAULT 0, ADD COLUMN units_total bigint;
