-- An upload that is longer than a command is an open batch that runs while the rest of it comes in.
-- items, pages and digest say what has been given out; sent_* what the broker is known to have. They are NULL unless
-- an upload is under way or may be continued. Between the two lies at most one window, and only after a crash.
ALTER TABLE batches
    ADD COLUMN sent_items  bigint,
    ADD COLUMN sent_pages  int,
    ADD COLUMN sent_digest bytea,
    -- who receives the upload, until lease_until
    ADD COLUMN receiver    uuid,
    -- when the newest item came: an open batch that stands still for too long is stopped
    ADD COLUMN grown_at    timestamptz NOT NULL DEFAULT now(),
    -- how far the batch is, as events tell: what waits is items - ended, while it is not done
    ADD COLUMN round       int         NOT NULL DEFAULT 1,
    ADD COLUMN ended       bigint      NOT NULL DEFAULT 0,
    ADD COLUMN done        boolean     NOT NULL DEFAULT false,
    ADD COLUMN heard_at    timestamptz NOT NULL DEFAULT now();

CREATE INDEX batches_open ON batches (grown_at) WHERE state = 'open';
CREATE INDEX batches_undone ON batches (owner) WHERE NOT done;
DROP INDEX batches_receiving;

-- Uploads that the version before was receiving when it was replaced: none of them was announced, so they never were.
INSERT INTO outbox (batch_id, types, bodies, traceparent)
SELECT batch_id, ARRAY['batch.withdrawn.v1'],
       ARRAY[convert_to(json_build_object('batch_id', batch_id)::text, 'UTF8')], traceparent
FROM batches WHERE state = 'receiving';
UPDATE batches SET state = 'withdrawn', lease_until = NULL WHERE state = 'receiving';
UPDATE batches SET done = true WHERE state = 'withdrawn';
