-- Whether item 0 of the batch is a source, which finds the others.
ALTER TABLE batches ADD COLUMN sourced boolean NOT NULL DEFAULT false;
