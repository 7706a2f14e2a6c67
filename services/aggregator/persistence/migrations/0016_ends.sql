-- The batches that ended last, for each owner.
CREATE INDEX batches_ended ON batches (owner, finished_at) WHERE finished_at IS NOT NULL AND owner IS NOT NULL;
