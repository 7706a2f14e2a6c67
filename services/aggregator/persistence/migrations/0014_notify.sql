-- Receivers of the end of each round, as JSON. NULL: the batch was accepted before, and the notifier knows them.
ALTER TABLE batches ADD COLUMN notify text;
