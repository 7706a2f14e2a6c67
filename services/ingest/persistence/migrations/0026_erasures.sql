-- Erasures of owners. The id is made of the name; `owner` is NULL once the erasure has ended. `deleted`: numbers of
-- deleted rows, by service and table.
CREATE TABLE erasures (
    id           uuid        PRIMARY KEY,
    owner        text,
    deleted      jsonb       NOT NULL DEFAULT '{}',
    requested_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz
);
CREATE INDEX deletions_of_owner ON deletions (owner);
CREATE INDEX batches_of_owner ON batches (owner, state);
