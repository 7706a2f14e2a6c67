-- For the deletion of the ids of deleted batches, and of alerts to operators, the oldest first.
CREATE INDEX deleted_by_time ON deleted (at);
CREATE INDEX rounds_of_alerts ON rounds (created_at) WHERE type <> 'batch.finished.v1';
