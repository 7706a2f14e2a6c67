-- sourced: item 0 of the batch is its source, from which a worker finds the other items.
ALTER TABLE batches ADD COLUMN sourced boolean NOT NULL DEFAULT false;
