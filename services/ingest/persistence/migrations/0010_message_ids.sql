-- Batches whose message id is still an identity, by age: it is one for seven days.
CREATE INDEX batches_by_message_age ON batches (accepted_at) WHERE message_id IS NOT NULL;
