-- Version at which the batch was found stuck: it is stuck as long as nothing has changed since.
ALTER TABLE batches ADD COLUMN stuck_version int;
