-- name: make_due
-- Follow-ups of the batches of which a round has ended with one of their results.
UPDATE follow_ups SET due_at = now() FROM unnest($1::uuid[], $2::text[]) AS ended (batch_id, result)
WHERE follow_ups.batch_id = ended.batch_id AND follow_ups.state = 'waiting' AND follow_ups.due_at IS NULL
  AND (follow_ups.form -> 'on')::jsonb ? ended.result

-- name: claim_follow_ups
-- `chained`: number of batches from the one that a client submitted to the one that has ended, counted up to $2.
SELECT f.batch_id, f.place, f.owner, f.form, f.next_batch, f.version,
    EXISTS (
        SELECT FROM batches AS b WHERE b.batch_id = f.next_batch AND NOT (f.paged AND b.state = 'open')
    ) AS is_accepted,
    (
        WITH RECURSIVE chain AS (
            SELECT f.batch_id AS batch_id, 1 AS number
            UNION ALL
            SELECT before.batch_id, chain.number + 1
            FROM chain JOIN follow_ups AS before ON before.next_batch = chain.batch_id WHERE chain.number < $2
        )
        SELECT max(number) FROM chain
    ) AS chained
FROM follow_ups AS f
WHERE f.state IN ('waiting', 'starting') AND f.due_at IS NOT NULL AND f.due_at <= statement_timestamp()
ORDER BY f.due_at LIMIT $1
FOR UPDATE OF f SKIP LOCKED

-- name: begin_follow_up
UPDATE follow_ups SET state = 'starting', next_batch = $3, due_at = statement_timestamp() + $4::interval
WHERE batch_id = $1 AND place = $2

-- name: postpone_follow_up
UPDATE follow_ups SET due_at = statement_timestamp() + $3::interval
WHERE batch_id = $1 AND place = $2 AND state = 'starting'

-- name: mark_paged
UPDATE follow_ups SET paged = true, due_at = statement_timestamp() + $3::interval
WHERE batch_id = $1 AND place = $2 AND state = 'starting'

-- name: record_follow_up_version
UPDATE follow_ups SET version = $3 WHERE batch_id = $1 AND place = $2 AND state = 'starting'

-- name: end_follow_up
UPDATE follow_ups SET state = $3, reason = $4, due_at = NULL,
    next_batch = CASE WHEN $3 = 'started' THEN next_batch END
WHERE batch_id = $1 AND place = $2 AND state = 'starting'

-- name: follow_ups_of
SELECT place, form ->> 'template' AS template, state, next_batch, reason FROM follow_ups
WHERE batch_id = $1 AND owner = $2 ORDER BY place

-- name: batch_before
SELECT batch_id, form ->> 'template' AS template, version FROM follow_ups WHERE next_batch = $1 AND owner = $2
