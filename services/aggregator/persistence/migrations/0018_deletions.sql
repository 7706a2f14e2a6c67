-- deleted_at: the batch was deleted; the row is kept without what the batch said, so that late messages change nothing.
-- outcomes_deleted_at: its outcomes and results were deleted; its counts are kept.
ALTER TABLE batches ADD COLUMN deleted_at timestamptz, ADD COLUMN outcomes_deleted_at timestamptz;

-- The table of `shared.postgres.deletions`: batches whose rows are being deleted, and how many are gone, by table.
CREATE TABLE deletions (
    key uuid NOT NULL,
    plan text NOT NULL,
    deleted jsonb NOT NULL DEFAULT '{}',
    requested_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (key, plan)
);
CREATE INDEX deletions_due ON deletions (due_at, key);
