-- Batches that follow when another one ends. `due_at` is set when it has ended; NULL: it has not, or with another result.
CREATE TABLE follow_ups (
    batch_id   uuid        NOT NULL REFERENCES batches ON DELETE CASCADE,
    place      int         NOT NULL,
    owner      text        NOT NULL,
    form       json        NOT NULL,
    -- starting: a batch id is chosen, and the batch is submitted under it, again after a crash; started: it is accepted
    state      text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'starting', 'started', 'failed')),
    due_at     timestamptz,
    next_batch uuid,
    version    int,
    reason     text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch_id, place)
);
CREATE INDEX follow_ups_due ON follow_ups (due_at) WHERE state IN ('waiting', 'starting') AND due_at IS NOT NULL;
CREATE INDEX follow_ups_of_next ON follow_ups (next_batch) WHERE next_batch IS NOT NULL;
