-- On what terms a batch runs: each is told apart from the others and has a time of its own; the last one holds. One
-- that was taken back is a row without a value, so that an older message that comes later does not bring it back.
CREATE TABLE terms (
    batch_id uuid NOT NULL,
    name text NOT NULL,
    value json,
    at timestamptz NOT NULL,
    PRIMARY KEY (batch_id, name)
);

-- A cancel has a time, so that a new round is cancelled by what came after the retry that opened it, and by no other.
-- A service that stops a batch names the round.
ALTER TABLE steering ADD COLUMN cancelled_at timestamptz, ADD COLUMN stopped_round int, ADD COLUMN stop_cause text;
UPDATE steering SET cancelled_at = stored_at WHERE cancelled;
ALTER TABLE steering DROP COLUMN cancelled;
ALTER TABLE batches ADD COLUMN opened_at timestamptz; -- when the retry that opened its round was asked for
