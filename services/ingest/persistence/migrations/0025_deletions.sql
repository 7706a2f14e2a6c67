-- A batch that was deleted leaves its id, so that it is not taken again, until its deletion is forgotten too.
ALTER TABLE batches DROP CONSTRAINT batches_state_check;
ALTER TABLE batches ADD CONSTRAINT batches_state_check
    CHECK (state IN ('receiving', 'open', 'sealed', 'withdrawn', 'deleted')) NOT VALID;

-- Times at which the retention had a part of a batch deleted; NULL: it is kept.
ALTER TABLE batches ADD COLUMN payloads_deleted_at timestamptz, ADD COLUMN outcomes_deleted_at timestamptz,
    ADD COLUMN deliveries_deleted_at timestamptz;
CREATE INDEX batches_with_payloads ON batches (heard_at, batch_id)
    WHERE done AND state = 'sealed' AND payloads_deleted_at IS NULL;
CREATE INDEX batches_with_outcomes ON batches (heard_at, batch_id)
    WHERE done AND state = 'sealed' AND outcomes_deleted_at IS NULL;
CREATE INDEX batches_with_deliveries ON batches (heard_at, batch_id)
    WHERE done AND state = 'sealed' AND deliveries_deleted_at IS NULL
        AND coalesce(json_array_length(notify -> 'webhooks'), 0) + coalesce(json_array_length(notify -> 'emails'), 0) > 0;
CREATE INDEX batches_ended ON batches (heard_at, batch_id) WHERE done AND state = 'sealed';

-- Deletions of batches. `deleted`: numbers of deleted rows, by service and table, once the service has reported them.
CREATE TABLE deletions (
    batch_id     uuid        PRIMARY KEY,
    owner        text        NOT NULL,
    round        int         NOT NULL,
    cause        text        NOT NULL,
    deleted      jsonb       NOT NULL DEFAULT '{}',
    requested_at timestamptz NOT NULL DEFAULT now(),
    sent_at      timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz
);
CREATE INDEX deletions_open ON deletions (sent_at) WHERE completed_at IS NULL;
CREATE INDEX deletions_by_age ON deletions (completed_at) WHERE completed_at IS NOT NULL;

-- Rules of the retention that operators have set. '*' stands for every owner, and for every workload.
CREATE TABLE retention_rules (
    owner      text        NOT NULL,
    workload   text        NOT NULL,
    days       jsonb       NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, workload)
);
