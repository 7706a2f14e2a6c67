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
CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON deletions FOR EACH STATEMENT EXECUTE FUNCTION fence();
CREATE INDEX withdrawn_by_age ON withdrawn (at);
