-- Terms of a batch. Each term has a time of its own, and its latest value holds. A term that was cleared is a row without
-- a value, so that an older message that arrives later does not restore it.
CREATE TABLE terms (
    batch_id uuid NOT NULL,
    name text NOT NULL,
    value json,
    at timestamptz NOT NULL,
    PRIMARY KEY (batch_id, name)
);

-- A cancel has a time, so that it cancels a new round only if it was requested after the retry that opened the round.
-- A service that stops a batch names the round.
ALTER TABLE steering ADD COLUMN cancelled_at timestamptz, ADD COLUMN stopped_round int, ADD COLUMN stop_cause text;
UPDATE steering SET cancelled_at = stored_at WHERE cancelled;
ALTER TABLE steering DROP COLUMN cancelled;
ALTER TABLE batches ADD COLUMN opened_at timestamptz; -- time of the retry request that opened the round
