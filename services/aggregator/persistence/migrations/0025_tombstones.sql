-- For the deletion of what is kept of deleted batches, the oldest first.
CREATE INDEX batches_deleted ON batches (deleted_at) WHERE deleted_at IS NOT NULL;
