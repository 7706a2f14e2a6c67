-- Batches are listed by the time at which they were accepted: a client may choose an id, but no place in the list.
CREATE INDEX batches_by_acceptance ON batches (owner, accepted_at DESC, batch_id DESC) WHERE owner IS NOT NULL;
DROP INDEX batches_of_owner;
