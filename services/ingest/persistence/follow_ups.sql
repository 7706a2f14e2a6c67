-- name: claim_follow_ups
SELECT f.batch_id, f.place, f.owner, f.form, f.state, f.next_batch, f.version, b.result
FROM follow_ups AS f JOIN batches AS b USING (batch_id)
WHERE f.state IN ('waiting', 'starting') AND f.due_at IS NOT NULL AND f.due_at <= statement_timestamp()
ORDER BY f.due_at LIMIT $1
FOR UPDATE OF f SKIP LOCKED

-- name: begin_follow_up
UPDATE follow_ups SET state = 'starting', next_batch = $3, due_at = statement_timestamp() + $4::interval
WHERE batch_id = $1 AND place = $2

-- name: keep_waiting
UPDATE follow_ups SET due_at = NULL WHERE batch_id = $1 AND place = $2 AND state = 'waiting'

-- name: postpone_follow_up
UPDATE follow_ups SET due_at = statement_timestamp() + $3::interval WHERE batch_id = $1 AND place = $2

-- name: record_follow_up_version
UPDATE follow_ups SET version = $3 WHERE batch_id = $1 AND place = $2

-- name: end_follow_up
UPDATE follow_ups SET state = $3, reason = $4, due_at = NULL,
    next_batch = CASE WHEN $3 = 'started' THEN next_batch END
WHERE batch_id = $1 AND place = $2

-- name: follow_ups_of
SELECT place, form ->> 'template' AS template, state, next_batch, reason FROM follow_ups
WHERE batch_id = $1 AND owner = $2 ORDER BY place

-- name: batch_before
SELECT batch_id, form ->> 'template' AS template, version FROM follow_ups WHERE next_batch = $1 AND owner = $2
