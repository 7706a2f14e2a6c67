-- What was saved: how many of the succeeded took a result that was known; and whose item one was a duplicate of, when
-- that belongs to another batch.
ALTER TABLE batches ADD COLUMN cached int NOT NULL DEFAULT 0;
ALTER TABLE outcomes ADD COLUMN duplicate_of_batch uuid;
