-- Items are stored as pages, with one row for each partition of a page; `taken` is the cursor in that row.
CREATE TABLE workloads (
    name text PRIMARY KEY,
    manifest bytea NOT NULL,
    announced_at timestamptz NOT NULL
);

CREATE TABLE batches (
    batch_id uuid PRIMARY KEY,
    owner text NOT NULL,
    workload text NOT NULL,
    priority text NOT NULL,
    traceparent text,
    round int NOT NULL DEFAULT 1,
    started_round int NOT NULL DEFAULT 0,
    paused boolean NOT NULL DEFAULT false,
    cancelled boolean NOT NULL DEFAULT false,
    controlled_at timestamptz,
    finished_at timestamptz
);

-- Withdrawn submissions, whose late pages must not be stored.
CREATE TABLE withdrawn (
    batch_id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE pages (
    batch_id uuid NOT NULL,
    page int NOT NULL,
    segment int NOT NULL,
    partition text NOT NULL,
    size int NOT NULL,
    taken int NOT NULL DEFAULT 0,
    items bytea NOT NULL, -- one JSON object a line
    stored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch_id, page, segment)
);
CREATE INDEX pages_waiting ON pages (batch_id, page, segment) WHERE taken < size;

-- A chunk in flight: a range of a page, or (page is null) rows of `retries`.
CREATE TABLE leases (
    chunk_id uuid PRIMARY KEY,
    fence int NOT NULL,
    batch_id uuid NOT NULL,
    workload text NOT NULL,
    priority text NOT NULL,
    partition text NOT NULL,
    round int NOT NULL,
    attempt int NOT NULL,
    page int,
    segment int,
    first int,
    size int NOT NULL,
    losses int NOT NULL DEFAULT 0,
    given_at timestamptz NOT NULL DEFAULT now()
);

-- Items that are to run again, each with its due time; those in flight name their chunk.
CREATE TABLE retries (
    batch_id uuid NOT NULL,
    ordinal int NOT NULL,
    partition text NOT NULL,
    attempt int NOT NULL,
    waits int NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    item bytea NOT NULL,
    chunk_id uuid,
    PRIMARY KEY (batch_id, ordinal)
);
CREATE INDEX retries_due ON retries (due_at) WHERE chunk_id IS NULL;
CREATE INDEX retries_in_flight ON retries (chunk_id) WHERE chunk_id IS NOT NULL;
