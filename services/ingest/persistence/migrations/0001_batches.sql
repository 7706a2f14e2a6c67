-- Batch headers, with the progress of the submission. Outcomes and results are in the ledger of the aggregator.
CREATE TABLE batches (
    batch_id        uuid        PRIMARY KEY,
    owner           text        NOT NULL,
    workload        text        NOT NULL,
    priority        text        NOT NULL,
    name            text,
    labels          json        NOT NULL DEFAULT '{}',
    notify          json        NOT NULL DEFAULT '{}',
    -- receiving: an upload is in progress; open: items may be appended; sealed: all items are known; withdrawn: dropped
    state           text        NOT NULL CHECK (state IN ('receiving', 'open', 'sealed', 'withdrawn')),
    items           bigint      NOT NULL DEFAULT 0,
    pages           int         NOT NULL DEFAULT 0,
    next_sequence   int         NOT NULL DEFAULT 0,
    idempotency_key text,
    message_id      text,
    digest          bytea,
    traceparent     text,
    accepted_at     timestamptz NOT NULL,
    lease_until     timestamptz
);
CREATE UNIQUE INDEX batches_by_key ON batches (owner, idempotency_key)
    WHERE idempotency_key IS NOT NULL AND state <> 'withdrawn';
CREATE UNIQUE INDEX batches_by_message ON batches (owner, message_id) WHERE message_id IS NOT NULL;
CREATE INDEX batches_receiving ON batches (lease_until) WHERE state = 'receiving';

-- Accepted appends, so that a repeated one is recognised.
CREATE TABLE appends (
    batch_id uuid        NOT NULL REFERENCES batches ON DELETE CASCADE,
    sequence int         NOT NULL,
    digest   bytea       NOT NULL,
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch_id, sequence)
);

-- Accepted control commands by the id of their message, so that one that is delivered twice acts once.
CREATE TABLE controls (
    owner      text        NOT NULL,
    command_id text        NOT NULL,
    batch_id   uuid        NOT NULL REFERENCES batches ON DELETE CASCADE,
    digest     bytea       NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, command_id)
);
CREATE INDEX controls_by_age ON controls (at);

-- Messages that the broker may not have yet: they are committed with a change and deleted once they are confirmed.
CREATE TABLE outbox (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id    uuid        NOT NULL,
    types       text[]      NOT NULL,
    bodies      bytea[]     NOT NULL,
    traceparent text,
    at          timestamptz NOT NULL DEFAULT now()
);

-- The newest announcement of each workload by a worker.
CREATE TABLE workloads (
    name         text        PRIMARY KEY,
    version      text        NOT NULL,
    manifest     json        NOT NULL,
    worker_id    text        NOT NULL,
    announced_at timestamptz NOT NULL
);
