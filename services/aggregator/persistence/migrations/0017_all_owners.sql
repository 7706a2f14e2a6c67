-- Batches of all owners, the one that was accepted last first: the list of operators.
CREATE INDEX batches_of_all ON batches (accepted_at DESC, batch_id DESC) WHERE owner IS NOT NULL;
