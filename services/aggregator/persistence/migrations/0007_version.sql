-- Number of changes of a batch. A process that has its last version in memory changes it in one statement, unless another
-- process has changed it since.
ALTER TABLE batches ADD COLUMN version int NOT NULL DEFAULT 0;
