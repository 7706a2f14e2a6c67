-- name: insert_audit
INSERT INTO audit (owner, actor, key_id, door, address, trace, action, object, before, after)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10::jsonb)

-- name: find_audit
-- Newest first, before the id $1.
SELECT id, at, owner, actor, key_id, door, address, trace, action, object, before, after FROM audit
WHERE id < $1
  AND ($2::text IS NULL OR owner = $2)
  AND ($3::text IS NULL OR actor = $3)
  AND ($4::text IS NULL OR key_id = $4)
  AND ($5::text IS NULL OR action = $5)
  AND ($6::text IS NULL OR object = $6)
  AND ($7::timestamptz IS NULL OR at >= $7)
  AND ($8::timestamptz IS NULL OR at < $8)
ORDER BY id DESC LIMIT $9

-- name: batch_commands
-- The condition on the action is that of the index.
SELECT id, at, actor, door, action, before, after FROM audit
WHERE object = $1 AND at < $2
  AND action IN (
    'batch.pause', 'batch.resume', 'batch.cancel', 'batch.finish', 'batch.change', 'batch.retry', 'batch.seal',
    'batch.release', 'batch.replay', 'batch.accept'
  )
  AND ($3::text IS NULL OR action = $3)
ORDER BY id DESC LIMIT $4

-- name: submission_of
-- The entry of a submission is written within moments of the acceptance $2.
SELECT actor, door FROM audit
WHERE at BETWEEN $2::timestamptz - interval '5 seconds' AND $2::timestamptz + interval '1 minute'
  AND action = 'batch.submit' AND object = $1
LIMIT 1

-- name: delete_old_audit
-- At most $3 of the rows older than $1, and of those beyond the newest $2.
DELETE FROM audit WHERE id IN (
    SELECT id FROM audit
    WHERE at < now() - $1::interval OR id <= (SELECT max(id) FROM audit) - $2::bigint
    ORDER BY id LIMIT $3
)
