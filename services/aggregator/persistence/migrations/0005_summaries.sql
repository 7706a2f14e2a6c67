-- summarize: a summary of the results is made before a round ends. While a batch awaits its summary, `summary_due_at` is
-- the time of the next request, and `summary_asked` the number of requests so far.
ALTER TABLE batches ADD COLUMN summarize boolean NOT NULL DEFAULT false,
    ADD COLUMN summary_due_at timestamptz, ADD COLUMN summary_asked int NOT NULL DEFAULT 0;
CREATE INDEX batches_summary_due ON batches (summary_due_at) WHERE summary_due_at IS NOT NULL;

-- The summary of each round, as JSON in bytes, or the reason why there is none.
CREATE TABLE summaries (
    batch bigint NOT NULL,
    round int NOT NULL,
    summary bytea,
    error text,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch, round)
);
