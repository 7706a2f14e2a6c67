-- Control commands of a batch. Each kind of command has a time of its own, and a cancel holds until the end of its round.
-- A command may arrive before the header of its batch.
CREATE TABLE steering (
    batch_id uuid PRIMARY KEY,
    paused boolean,
    paused_at timestamptz,
    priority text,
    priority_at timestamptz,
    cancelled boolean NOT NULL DEFAULT false,
    stored_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO steering (batch_id, paused, paused_at, cancelled)
SELECT batch_id, paused, controlled_at, cancelled FROM batches WHERE paused OR cancelled;
ALTER TABLE batches DROP COLUMN paused, DROP COLUMN cancelled, DROP COLUMN controlled_at;
CREATE INDEX batches_finished ON batches (finished_at) WHERE finished_at IS NOT NULL;

CREATE INDEX retries_due_of_batch ON retries (batch_id, due_at) WHERE chunk_id IS NULL;
CREATE INDEX leases_of_batch ON leases (batch_id);
