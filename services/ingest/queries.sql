-- name: insert_batch
WITH header AS (
    INSERT INTO batches (batch_id, owner, workload, priority, name, labels, notify, state, items, pages,
                         idempotency_key, message_id, digest, traceparent, accepted_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
    ON CONFLICT DO NOTHING
    RETURNING batch_id
)
INSERT INTO outbox (batch_id, types, bodies, traceparent)
SELECT batch_id, $16::text[], $17::bytea[], $14 FROM header
RETURNING id

-- name: begin_upload
INSERT INTO batches (batch_id, owner, workload, priority, name, labels, notify, state, idempotency_key, traceparent,
                     accepted_at, lease_until)
VALUES ($1, $2, $3, $4, $5, $6, $7, 'receiving', $8, $9, $10, now() + $11::interval)
ON CONFLICT DO NOTHING
RETURNING batch_id

-- name: renew_uploads
UPDATE batches SET lease_until = now() + $2::interval
WHERE batch_id = ANY ($1::uuid[]) AND state = 'receiving'

-- name: finish_upload
WITH header AS (
    UPDATE batches SET state = 'sealed', items = $2, pages = $3, digest = $4, lease_until = NULL
    WHERE batch_id = $1 AND state = 'receiving'
    RETURNING batch_id, traceparent
)
INSERT INTO outbox (batch_id, types, bodies, traceparent)
SELECT batch_id, $5::text[], $6::bytea[], traceparent FROM header
RETURNING id

-- name: withdraw_upload
WITH header AS (
    UPDATE batches SET state = 'withdrawn', lease_until = NULL
    WHERE batch_id = $1 AND state = 'receiving' AND (NOT $4 OR lease_until < now())
    RETURNING batch_id, traceparent
)
INSERT INTO outbox (batch_id, types, bodies, traceparent)
SELECT batch_id, $2::text[], $3::bytea[], traceparent FROM header
RETURNING id

-- name: abandoned_uploads
SELECT batch_id FROM batches WHERE state = 'receiving' AND lease_until < now() LIMIT 100

-- name: same_batches
SELECT *, lease_until < now() AS abandoned FROM batches
WHERE batch_id = $1
   OR (owner = $2 AND idempotency_key = $3 AND state <> 'withdrawn')
   OR (owner = $2 AND message_id = $4)

-- name: get_batch
SELECT *, false AS abandoned FROM batches WHERE batch_id = $1 AND owner = $2 AND state IN ('open', 'sealed')

-- name: lock_batch
SELECT *, false AS abandoned FROM batches WHERE batch_id = $1 AND owner = $2 AND state IN ('open', 'sealed') FOR UPDATE

-- name: get_append
SELECT digest FROM appends WHERE batch_id = $1 AND sequence = $2

-- name: insert_append
WITH taken AS (
    INSERT INTO appends (batch_id, sequence, digest) VALUES ($1, $2, $3)
)
UPDATE batches SET items = $4, pages = $5, next_sequence = $2 + 1 WHERE batch_id = $1

-- name: seal_batch
UPDATE batches SET state = 'sealed' WHERE batch_id = $1

-- name: change_priority
UPDATE batches SET priority = $2 WHERE batch_id = $1

-- name: insert_control
INSERT INTO controls (owner, command_id, batch_id, digest) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
RETURNING command_id

-- name: get_control
SELECT digest FROM controls WHERE owner = $1 AND command_id = $2

-- name: prune_controls
DELETE FROM controls WHERE at < now() - interval '7 days'

-- name: insert_notes
INSERT INTO outbox (batch_id, types, bodies, traceparent) VALUES ($1, $2, $3, $4) RETURNING id

-- name: late_notes
SELECT id, types, bodies, traceparent FROM outbox
WHERE at < now() - $1::interval OR id = ANY ($2::bigint[]) ORDER BY id LIMIT $3

-- name: notes_left
SELECT id FROM outbox WHERE id = ANY ($1::bigint[])

-- name: count_notes
SELECT count(*) FROM (SELECT FROM outbox LIMIT $1) AS some

-- name: forget_notes
DELETE FROM outbox WHERE id = ANY ($1::bigint[])

-- name: relay_turn
SELECT pg_try_advisory_lock(hashtext('batchyard.ingest.relay'))

-- name: end_relay_turn
SELECT pg_advisory_unlock(hashtext('batchyard.ingest.relay'))

-- name: announce
INSERT INTO workloads (name, version, manifest, worker_id, announced_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO UPDATE
SET version = excluded.version, manifest = excluded.manifest, worker_id = excluded.worker_id,
    announced_at = excluded.announced_at
WHERE workloads.announced_at <= excluded.announced_at

-- name: get_workloads
SELECT name, version, manifest, announced_at FROM workloads
