-- Bytes of the payloads of a batch; 0 for one that was accepted before this column was added.
ALTER TABLE batches ADD COLUMN bytes bigint NOT NULL DEFAULT 0;
