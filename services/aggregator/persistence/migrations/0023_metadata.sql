-- The client's own JSON about a batch; NULL: none.
ALTER TABLE batches ADD COLUMN metadata text;
