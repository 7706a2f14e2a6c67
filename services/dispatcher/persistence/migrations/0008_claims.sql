-- Dedup claims: the item of an owner's running batches that holds a deduplication key. Only batches that ask for it have
-- rows here. The keys of a page are claimed once, in one transaction.
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

-- Items that do not run because another batch has them; they end as duplicates of the items of that batch.
CREATE TABLE dropped (
    batch_id uuid NOT NULL,
    ordinal int NOT NULL,
    custom_id text,
    by_batch uuid NOT NULL,
    by_ordinal int NOT NULL,
    PRIMARY KEY (batch_id, ordinal)
);
