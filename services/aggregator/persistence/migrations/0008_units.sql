-- Units that items consist of, such as records, if their workload counts them: the name of the unit, their number in the
-- results, and the expected number.
ALTER TABLE batches ADD COLUMN unit text, ADD COLUMN units bigint NOT NULL DEFAULT 0, ADD COLUMN units_total bigint;
