-- Batches with notification targets. They are not deleted, because a retry may open another round at any time.
CREATE TABLE batches (
    batch_id    uuid PRIMARY KEY,
    name        text,
    webhooks    text[] NOT NULL,
    emails      text[] NOT NULL,
    traceparent text,
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- Rounds that have ended. The round of an unknown batch is stored for a day, because the message with the targets may
-- arrive later.
CREATE TABLE rounds (
    batch_id    uuid NOT NULL,
    round       int NOT NULL,
    event       text NOT NULL,
    traceparent text,
    told        boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch_id, round)
);
CREATE INDEX rounds_untold ON rounds (created_at) WHERE NOT told;

-- One row for each target of each round. `attempts` is the number of attempts that were started, and fences their results.
CREATE TABLE deliveries (
    id            uuid PRIMARY KEY,
    batch_id      uuid NOT NULL,
    round         int NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('webhook', 'email')),
    address       text NOT NULL,
    destination   text NOT NULL,
    traceparent   text,
    state         text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts      int NOT NULL DEFAULT 0,
    due_at        timestamptz NOT NULL,
    claimed_until timestamptz,
    status        int,
    reason        text,
    reply         text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    ended_at      timestamptz,
    FOREIGN KEY (batch_id, round) REFERENCES rounds,
    UNIQUE (batch_id, round, kind, address)
);
-- A delivery is due when its time has passed and no process has claimed it.
CREATE INDEX deliveries_due ON deliveries (kind, GREATEST(due_at, claimed_until)) WHERE state = 'pending';
