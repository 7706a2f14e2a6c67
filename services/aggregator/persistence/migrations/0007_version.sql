-- How often a batch was changed: who saw it last may change it in one statement, if nobody else did since.
ALTER TABLE batches ADD COLUMN version int NOT NULL DEFAULT 0;
