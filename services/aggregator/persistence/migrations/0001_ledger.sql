-- A batch and its counters. The row comes into being with the first message that names the batch; `owner` and what
-- belongs to it follow with batch.accepted.v1. Room is left in each page so that counting needs no new index entries.
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
    paused_or_resumed_at timestamptz,   -- the newest command of each kind that was obeyed, so that an older one
    priority_changed_at timestamptz,    -- that comes late or twice is known as such
    cancel_asked_at timestamptz,
    retry_asked_at timestamptz,
    reopened_at timestamptz,
    changed_at timestamptz NOT NULL DEFAULT now(),
    checked_at timestamptz
) WITH (fillfactor = 60);

CREATE INDEX batches_of_owner ON batches (owner, batch_id) WHERE owner IS NOT NULL;
CREATE INDEX batches_unfinished ON batches (id) WHERE finished_at IS NULL;

-- The one terminal outcome of each item. No foreign key and no second index for what succeeded: this table takes
-- every item of every batch. `result` holds JSON as bytes, since PostgreSQL's own JSON refuses U+0000.
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

-- Messages that were decided in a transaction and leave after it. The key makes each of them unique.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL UNIQUE,
    exchange text NOT NULL,
    routing_key text NOT NULL,
    type text NOT NULL,
    body bytea NOT NULL,
    traceparent text,
    created_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL,        -- until then whoever wrote it publishes it; afterwards anybody does
    sent_at timestamptz
);

CREATE INDEX outbox_unsent ON outbox (due_at) WHERE sent_at IS NULL;
