-- Runs that were saved: the number of succeeded items that took a cached result, and the batch of the item that a
-- duplicate repeats, if that is another batch.
ALTER TABLE batches ADD COLUMN cached int NOT NULL DEFAULT 0;
ALTER TABLE outcomes ADD COLUMN duplicate_of_batch uuid;
