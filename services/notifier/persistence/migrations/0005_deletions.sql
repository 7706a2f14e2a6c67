-- Batches that were deleted: a message about them that comes late creates no delivery.
CREATE TABLE deleted (
    batch_id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
);

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
