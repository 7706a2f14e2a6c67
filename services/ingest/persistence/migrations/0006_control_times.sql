-- Time of the latest control command, which orders the commands of a batch whatever process takes them.
ALTER TABLE batches ADD COLUMN controlled_at timestamptz;
