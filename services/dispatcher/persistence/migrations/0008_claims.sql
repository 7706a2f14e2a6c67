-- Which item of an owner's running batches holds a deduplication key, for batches that ask for it; no other ever has a
-- row here. The claims of a page are made in one transaction, once.
ALTER TABLE pages ADD COLUMN claimed boolean NOT NULL DEFAULT false;
CREATE TABLE claims (
    owner text NOT NULL,
    workload text NOT NULL,
    key bytea NOT NULL,
    batch_id uuid NOT NULL,
    ordinal int NOT NULL,
    custom_id text,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (owner, workload, key)
);
CREATE INDEX claims_expired ON claims (expires_at);

-- Items that are not to run, since another batch has them: they end as duplicates of that one's.
CREATE TABLE dropped (
    batch_id uuid NOT NULL,
    ordinal int NOT NULL,
    custom_id text,
    by_batch uuid NOT NULL,
    by_ordinal int NOT NULL,
    PRIMARY KEY (batch_id, ordinal)
);
