-- Round in which an item runs again. A late report of an earlier round neither replaces nor deletes the row, and a later
-- round does not run it.
ALTER TABLE retries ADD COLUMN round int NOT NULL DEFAULT 1;
UPDATE retries SET round = batches.round FROM batches WHERE retries.batch_id = batches.batch_id;
