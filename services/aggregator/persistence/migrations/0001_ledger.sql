-- A batch and its counters. The first message that names the batch inserts the row; batch.accepted.v1 adds the owner,
-- the workload and the rest of the header. The fill factor leaves space in each page, so that updates of the counters
-- need no new index entries.
CREATE TABLE batches (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id uuid NOT NULL UNIQUE,
    owner text,
    workload text,
    name text,
    labels text,                        -- a JSON object
    accepted_at timestamptz,
    traceparent text,
    priority text NOT NULL DEFAULT 'normal',
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'running', 'paused', 'finished')),
    round int NOT NULL DEFAULT 1,
    total int,
    succeeded int NOT NULL DEFAULT 0,
    failed int NOT NULL DEFAULT 0,
    cancelled int NOT NULL DEFAULT 0,
    expired int NOT NULL DEFAULT 0,
    duplicate int NOT NULL DEFAULT 0,
    paused boolean NOT NULL DEFAULT false,
    result text CHECK (result IN ('completed', 'partial', 'failed', 'cancelled')),
    finished_at timestamptz,
    paused_or_resumed_at timestamptz,   -- time of the newest command of each kind, so that an older one that
    priority_changed_at timestamptz,    -- arrives late, or a repeated one, is recognised
    cancel_asked_at timestamptz,
    retry_asked_at timestamptz,
    reopened_at timestamptz,
    changed_at timestamptz NOT NULL DEFAULT now(),
    checked_at timestamptz
) WITH (fillfactor = 60);

CREATE INDEX batches_of_owner ON batches (owner, batch_id) WHERE owner IS NOT NULL;
CREATE INDEX batches_unfinished ON batches (id) WHERE finished_at IS NULL;

-- The terminal outcome of each item. There is no foreign key, and no second index on succeeded items, because this table
-- has a row for every item of every batch. `result` is JSON as bytes, because PostgreSQL's own JSON refuses U+0000.
CREATE TABLE outcomes (
    batch bigint NOT NULL,
    ordinal int NOT NULL,
    round int NOT NULL,
    attempts int NOT NULL,
    elapsed_ms int,
    duplicate_of int,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    cached boolean NOT NULL,
    status text NOT NULL,
    custom_id text,
    error_code text,
    error_message text,
    error_scope text,
    result bytea,
    PRIMARY KEY (batch, ordinal)
);

CREATE INDEX outcomes_unsuccessful ON outcomes (batch, ordinal) WHERE status <> 'succeeded';

-- Messages that are committed with a change and published afterwards. The key makes each of them unique.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL UNIQUE,
    exchange text NOT NULL,
    routing_key text NOT NULL,
    type text NOT NULL,
    body bytea NOT NULL,
    traceparent text,
    created_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL,        -- until then the process that wrote it publishes it, afterwards any
    sent_at timestamptz
);

CREATE INDEX outbox_unsent ON outbox (due_at) WHERE sent_at IS NULL;
