-- An upload that is longer than a command is an open batch that runs while the rest is received. `items`, `pages` and
-- `digest` cover the pages that were assigned, `sent_*` those that the broker has confirmed. `sent_*` is NULL unless an
-- upload is in progress or may be continued. They differ by one window at most, and only after a crash.
ALTER TABLE batches
    ADD COLUMN sent_items  bigint,
    ADD COLUMN sent_pages  int,
    ADD COLUMN sent_digest bytea,
    -- the process that receives the upload, until lease_until
    ADD COLUMN receiver    uuid,
    -- time of the newest item: an open batch that does not grow for too long is stopped
    ADD COLUMN grown_at    timestamptz NOT NULL DEFAULT now(),
    -- progress of the batch by its events: items - ended is the number of waiting items, unless the batch is done
    ADD COLUMN round       int         NOT NULL DEFAULT 1,
    ADD COLUMN ended       bigint      NOT NULL DEFAULT 0,
    ADD COLUMN done        boolean     NOT NULL DEFAULT false,
    ADD COLUMN heard_at    timestamptz NOT NULL DEFAULT now();

CREATE INDEX batches_open ON batches (grown_at) WHERE state = 'open';
CREATE INDEX batches_undone ON batches (owner) WHERE NOT done;
DROP INDEX batches_receiving;

-- Uploads that the previous version was receiving when it was replaced: none of them was announced, so they are withdrawn.
INSERT INTO outbox (batch_id, types, bodies, traceparent)
SELECT batch_id, ARRAY['batch.withdrawn.v1'],
       ARRAY[convert_to(json_build_object('batch_id', batch_id)::text, 'UTF8')], traceparent
FROM batches WHERE state = 'receiving';
UPDATE batches SET state = 'withdrawn', lease_until = NULL WHERE state = 'receiving';
UPDATE batches SET done = true WHERE state = 'withdrawn';
