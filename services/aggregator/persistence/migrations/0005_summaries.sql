-- Whether a summary of a batch's results is made before a round ends; while one is awaited, when to ask for it (again),
-- and how often that was done.
ALTER TABLE batches ADD COLUMN summarize boolean NOT NULL DEFAULT false,
    ADD COLUMN summary_due_at timestamptz, ADD COLUMN summary_asked int NOT NULL DEFAULT 0;
CREATE INDEX batches_summary_due ON batches (summary_due_at) WHERE summary_due_at IS NOT NULL;

-- The summary of each round, as JSON in bytes, or why there is none.
CREATE TABLE summaries (
    batch bigint NOT NULL,
    round int NOT NULL,
    summary bytea,
    error text,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch, round)
);
