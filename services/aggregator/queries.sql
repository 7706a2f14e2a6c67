-- name: create_stubs
INSERT INTO batches (batch_id)
SELECT unnest($1::uuid[])
ON CONFLICT (batch_id) DO NOTHING;

-- name: lock_batches
-- In the order of their keys, so that two processes that need the same batches never wait for each other.
SELECT * FROM batches WHERE batch_id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE;

-- name: save_batch
UPDATE batches
SET priority = $2, status = $3, round = $4, total = $5,
    succeeded = $6, failed = $7, cancelled = $8, expired = $9, duplicate = $10,
    paused = $11, result = $12, finished_at = $13, changed_at = coalesce($14, changed_at),
    paused_or_resumed_at = $15, priority_changed_at = $16, cancel_asked_at = $17, retry_asked_at = $18,
    reopened_at = $19
WHERE id = $1;

-- name: save_header
UPDATE batches
SET owner = $2, workload = $3, name = $4, labels = $5, accepted_at = $6, traceparent = $7
WHERE id = $1;

-- name: forget_stub
-- Of a submission that was withdrawn before it had a header.
WITH gone AS (DELETE FROM batches WHERE batch_id = $1 AND owner IS NULL RETURNING id)
DELETE FROM outcomes WHERE batch IN (SELECT id FROM gone);

-- name: insert_new_outcomes
WITH inserted AS (
    INSERT INTO outcomes (
        batch, ordinal, round, attempts, elapsed_ms, duplicate_of, cached, status,
        custom_id, error_code, error_message, error_scope, result
    )
    SELECT * FROM unnest(
        $1::bigint[], $2::int[], $3::int[], $4::int[], $5::int[], $6::int[], $7::boolean[], $8::text[],
        $9::text[], $10::text[], $11::text[], $12::text[], $13::bytea[]
    )
    ON CONFLICT (batch, ordinal) DO NOTHING
    RETURNING batch, status
)
SELECT batch, status, count(*) AS number FROM inserted GROUP BY batch, status;

-- name: remove_unsuccessful
DELETE FROM outcomes
WHERE batch = $1 AND status <> 'succeeded' AND status IN ('failed', 'cancelled', 'expired')
RETURNING ordinal;

-- name: count_outcomes
SELECT status, count(*) AS number FROM outcomes WHERE batch = $1 GROUP BY status;

-- name: post
INSERT INTO outbox (key, exchange, routing_key, type, body, traceparent, due_at)
SELECT key, exchange, routing_key, type, body, traceparent, now() + $7::float8 * interval '1 second'
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[])
    WITH ORDINALITY AS new (key, exchange, routing_key, type, body, traceparent, place)
ORDER BY place
ON CONFLICT (key) DO NOTHING
RETURNING key;

-- name: overdue
SELECT key, exchange, routing_key, type, body, traceparent FROM outbox
WHERE sent_at IS NULL AND due_at <= now()
ORDER BY id
LIMIT $1
FOR UPDATE SKIP LOCKED;

-- name: mark_sent
UPDATE outbox SET sent_at = now() WHERE key = ANY ($1::text[]);

-- name: forget_sent
DELETE FROM outbox WHERE sent_at < now() - interval '7 days';

-- name: lock_quiet_batch
-- Not finished, no change for a while, and not checked since its last change, or not for an hour.
SELECT * FROM batches
WHERE finished_at IS NULL
    AND changed_at < now() - $1::float8 * interval '1 second'
    AND (checked_at IS NULL OR checked_at < changed_at OR checked_at < now() - interval '1 hour')
ORDER BY id
LIMIT 1
FOR UPDATE SKIP LOCKED;

-- name: mark_checked
UPDATE batches SET checked_at = now() WHERE id = $1;

-- name: batches
SELECT * FROM batches
WHERE owner = $1
    AND ($2::uuid[] IS NULL OR batch_id = ANY ($2))
    AND ($3::text IS NULL OR status = $3)
    AND ($4::text IS NULL OR workload = $4)
    AND ($5::uuid IS NULL OR batch_id < $5)
ORDER BY batch_id DESC
LIMIT $6;

-- name: key_of
SELECT id FROM batches WHERE batch_id = $1 AND owner = $2;

-- name: results
-- A page in the order of ordinals, cut before it has more than $6 bytes, but never empty; `found` counts it uncut.
WITH page AS (
    SELECT * FROM outcomes
    WHERE batch = $1 AND ordinal > $2
        AND ($4::text IS NULL OR status = $4)
        AND ($5::text IS NULL OR error_code = $5)
    ORDER BY ordinal
    LIMIT $3
), sized AS (
    SELECT *,
        count(*) OVER () AS found,
        row_number() OVER (ORDER BY ordinal) AS place,
        sum(
            200 + coalesce(octet_length(result), 0) + coalesce(octet_length(error_message), 0)
            + coalesce(octet_length(custom_id), 0)
        ) OVER (ORDER BY ordinal) AS bytes
    FROM page
)
SELECT ordinal, round, attempts, elapsed_ms, duplicate_of, cached, status, custom_id,
    error_code, error_message, error_scope, result, found
FROM sized WHERE bytes <= $6 OR place = 1
ORDER BY ordinal;

-- name: unsuccessful_results
-- The same, where the index of what did not succeed helps: it finds three failures in a million at once.
WITH page AS (
    SELECT * FROM outcomes
    WHERE batch = $1 AND ordinal > $2 AND status <> 'succeeded'
        AND ($4::text IS NULL OR status = $4)
        AND ($5::text IS NULL OR error_code = $5)
    ORDER BY ordinal
    LIMIT $3
), sized AS (
    SELECT *,
        count(*) OVER () AS found,
        row_number() OVER (ORDER BY ordinal) AS place,
        sum(
            200 + coalesce(octet_length(result), 0) + coalesce(octet_length(error_message), 0)
            + coalesce(octet_length(custom_id), 0)
        ) OVER (ORDER BY ordinal) AS bytes
    FROM page
)
SELECT ordinal, round, attempts, elapsed_ms, duplicate_of, cached, status, custom_id,
    error_code, error_message, error_scope, result, found
FROM sized WHERE bytes <= $6 OR place = 1
ORDER BY ordinal;

-- name: failures
-- An item that expired may have no error code: its status says it. Ten ordinals and the first message of each group.
SELECT code, count(*) AS number,
    max(message) FILTER (WHERE place = 1) AS message,
    array_agg(ordinal ORDER BY place) FILTER (WHERE place <= 10) AS ordinals
FROM (
    SELECT coalesce(error_code, status) AS code, ordinal, left(coalesce(error_message, ''), 500) AS message,
        row_number() OVER (PARTITION BY coalesce(error_code, status) ORDER BY ordinal) AS place
    FROM outcomes
    WHERE batch = $1 AND status <> 'succeeded' AND status IN ('failed', 'expired')
) AS failed
GROUP BY code
ORDER BY number DESC, code
LIMIT $2;
