-- name: recorded_targets
-- The targets of a batch that was accepted when this service heard of every batch.
SELECT webhooks, emails FROM batches WHERE batch_id = $1

-- name: add_round
-- Saves the event of a round, and a delivery of it for each target. Repeated, it changes nothing. Nothing is
-- saved of a batch that was deleted.
WITH saved AS (
    INSERT INTO rounds (batch_id, round, event, traceparent, type) SELECT $1, $2, $3, $4, $5
    WHERE NOT EXISTS (SELECT 1 FROM deleted WHERE batch_id = $1) ON CONFLICT DO NOTHING
)
INSERT INTO deliveries (id, batch_id, round, kind, address, destination, traceparent, due_at)
SELECT id, $1, $2, kind, address, destination, $4, now() + $6::float8 * interval '1 second'
FROM unnest($7::uuid[], $8::text[], $9::text[], $10::text[]) AS new (id, kind, address, destination)
WHERE NOT EXISTS (SELECT 1 FROM deleted WHERE batch_id = $1)
ON CONFLICT DO NOTHING

-- name: claim
-- $1 kind, $2 limit, $3 lease in seconds, $4 limit per destination, $5 and $6 attempts in progress by destination
WITH held AS (
    SELECT * FROM unnest($5::text[], $6::int[]) AS h (destination, number)
), due AS (
    SELECT
        d.id,
        $4 - coalesce(h.number, 0) AS room,
        row_number() OVER (PARTITION BY d.destination ORDER BY GREATEST(d.due_at, d.claimed_until)) AS place
    FROM deliveries d LEFT JOIN held h USING (destination)
    WHERE d.kind = $1 AND d.state = 'pending' AND GREATEST(d.due_at, d.claimed_until) <= now()
        AND coalesce(h.number, 0) < $4
), picked AS (
    SELECT d.id
    FROM deliveries d JOIN due USING (id)
    WHERE due.place <= due.room AND d.state = 'pending' AND GREATEST(d.due_at, d.claimed_until) <= now()
    ORDER BY GREATEST(d.due_at, d.claimed_until)
    LIMIT $2
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE deliveries d
SET attempts = d.attempts + 1, claimed_until = now() + $3::float8 * interval '1 second'
FROM picked, rounds r
WHERE d.id = picked.id AND r.batch_id = d.batch_id AND r.round = d.round
RETURNING d.id, d.batch_id, d.round, d.kind, d.address, d.destination, d.traceparent, d.attempts, r.event, r.type,
    r.causes,
    (SELECT b.name FROM batches b WHERE b.batch_id = d.batch_id) AS name

-- name: next_due
-- $1 kind, $2 destinations that are at their limit in this process
SELECT extract(epoch FROM min(GREATEST(due_at, claimed_until)) - now())::float8
FROM deliveries
WHERE kind = $1 AND state = 'pending' AND destination <> ALL ($2::text[])

-- name: mark_delivered
-- Applies regardless of later attempts: the receiver has the event.
UPDATE deliveries
SET state = 'delivered', ended_at = now(), claimed_until = NULL, status = $2, reason = NULL, reply = $3
WHERE id = $1 AND state <> 'delivered'

-- name: mark_postponed
UPDATE deliveries
SET due_at = now() + $3::float8 * interval '1 second', claimed_until = NULL, status = $4, reason = $5, reply = $6
WHERE id = $1 AND attempts = $2 AND state = 'pending'

-- name: mark_failed
UPDATE deliveries
SET state = 'failed', ended_at = now(), claimed_until = NULL, status = $3, reason = $4, reply = $5
WHERE id = $1 AND attempts = $2 AND state = 'pending'

-- name: save_causes
-- The causes that were saved first stay.
UPDATE rounds SET causes = coalesce(causes, $3) WHERE batch_id = $1 AND round = $2 RETURNING causes

-- name: deliveries
-- Deliveries of a batch whose events name this owner, those of the newest round first.
SELECT d.round, d.kind, d.address, d.state, d.attempts, d.status, d.reason, d.ended_at,
    CASE WHEN d.state = 'pending' THEN d.due_at END AS due_at
FROM deliveries d JOIN rounds r USING (batch_id, round)
WHERE d.batch_id = $1 AND r.type = 'batch.finished.v1' AND r.event::jsonb ->> 'owner' = $2
ORDER BY d.round DESC, d.kind DESC, d.address LIMIT $3
