-- name: save_workload
INSERT INTO workloads (name, manifest, announced_at) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET manifest = excluded.manifest, announced_at = excluded.announced_at
WHERE workloads.announced_at <= excluded.announced_at

-- name: workloads
SELECT name, manifest FROM workloads

-- name: save_batch
INSERT INTO batches (batch_id, owner, workload, priority, traceparent) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (batch_id) DO NOTHING

-- name: live_batches
SELECT batch_id, owner, workload, priority, traceparent, round, started_round, paused, cancelled
FROM batches WHERE finished_at IS NULL

-- name: batch
SELECT batch_id, owner, workload, priority, traceparent, round, started_round, paused, cancelled
FROM batches WHERE batch_id = $1

-- name: control_batch
UPDATE batches SET paused = $2, cancelled = $3, priority = $4, controlled_at = $5
WHERE batch_id = $1 AND (controlled_at IS NULL OR controlled_at <= $5)
RETURNING 1

-- name: finish_batch
UPDATE batches SET finished_at = now() WHERE batch_id = $1 AND round <= $2

-- name: reopen_batch
-- A round may be opened in several messages: only the first of them begins it.
UPDATE batches SET round = $2, finished_at = NULL,
    cancelled = cancelled AND round = $2, paused = paused AND round = $2
WHERE batch_id = $1 AND round <= $2
RETURNING 1

-- name: withdraw
WITH noted AS (INSERT INTO withdrawn (batch_id) VALUES ($1) ON CONFLICT DO NOTHING)
DELETE FROM pages WHERE batch_id = $1

-- name: save_pages
INSERT INTO pages (batch_id, page, segment, partition, size, items)
SELECT new.* FROM unnest($1::uuid[], $2::int[], $3::int[], $4::text[], $5::int[], $6::bytea[])
    AS new (batch_id, page, segment, partition, size, items)
WHERE NOT EXISTS (SELECT 1 FROM withdrawn WHERE withdrawn.batch_id = new.batch_id)
ON CONFLICT DO NOTHING
RETURNING batch_id, page, segment, partition, size

-- name: waiting_pages
SELECT page, segment, partition, size, taken FROM pages
WHERE batch_id = $1 AND taken < size ORDER BY page, segment

-- name: page_items
SELECT batch_id, page, segment, items FROM pages
WHERE (batch_id, page, segment) IN (SELECT * FROM unnest($1::uuid[], $2::int[], $3::int[]))

-- name: all_items
SELECT page, segment, partition, items FROM pages WHERE batch_id = $1 AND (page, segment) > ($2, $3)
ORDER BY page, segment LIMIT 20

-- name: take
UPDATE pages SET taken = greatest(taken, new.upto)
FROM unnest($1::uuid[], $2::int[], $3::int[], $4::int[]) AS new (batch_id, page, segment, upto)
WHERE pages.batch_id = new.batch_id AND pages.page = new.page AND pages.segment = new.segment

-- name: give
WITH moved AS (
    UPDATE pages SET taken = greatest(taken, new.upto)
    FROM unnest($13::uuid[], $14::int[], $15::int[], $16::int[]) AS new (batch_id, page, segment, upto)
    WHERE pages.batch_id = new.batch_id AND pages.page = new.page AND pages.segment = new.segment
), run_again AS (
    UPDATE retries SET chunk_id = new.chunk_id
    FROM unnest($17::uuid[], $18::int[], $19::uuid[]) AS new (batch_id, ordinal, chunk_id)
    WHERE retries.batch_id = new.batch_id AND retries.ordinal = new.ordinal
), started AS (
    UPDATE batches SET started_round = round WHERE batch_id = ANY($20)
)
INSERT INTO leases (chunk_id, fence, batch_id, workload, priority, partition, round, attempt, page, segment, first, size)
SELECT * FROM unnest($1::uuid[], $2::int[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::int[], $8::int[],
    $9::int[], $10::int[], $11::int[], $12::int[])
ON CONFLICT DO NOTHING

-- name: leases
SELECT chunk_id, fence, batch_id, workload, priority, partition, round, attempt, page, segment, first, size, losses
FROM leases

-- name: regive
UPDATE leases SET fence = fence + 1, losses = losses + 1, given_at = now() WHERE chunk_id = ANY($1)

-- name: end_leases
DELETE FROM leases WHERE chunk_id = ANY($1)

-- name: save_retries
INSERT INTO retries (batch_id, ordinal, partition, attempt, waits, due_at, item)
SELECT batch_id, ordinal, partition, attempt, waits, now() + delay_s * interval '1 second', item
FROM unnest($1::uuid[], $2::int[], $3::text[], $4::int[], $5::int[], $6::float8[], $7::bytea[])
    AS new (batch_id, ordinal, partition, attempt, waits, delay_s, item)
ON CONFLICT (batch_id, ordinal) DO UPDATE SET attempt = excluded.attempt, waits = excluded.waits,
    due_at = excluded.due_at, item = excluded.item, chunk_id = NULL

-- name: drop_retries
DELETE FROM retries USING unnest($1::uuid[], $2::int[]) AS old (batch_id, ordinal)
WHERE retries.batch_id = old.batch_id AND retries.ordinal = old.ordinal

-- name: due_retries
SELECT retries.batch_id, ordinal, partition, attempt, length(item) FROM retries JOIN batches USING (batch_id)
WHERE chunk_id IS NULL AND due_at <= now() AND NOT batches.paused AND batches.finished_at IS NULL
    AND NOT partition = ANY($1)
ORDER BY due_at LIMIT $2

-- name: next_retry
SELECT extract(epoch FROM min(due_at) - now())::float8 FROM retries WHERE chunk_id IS NULL AND due_at > now()

-- name: retry_items
SELECT batch_id, ordinal, waits, item FROM retries
WHERE (batch_id, ordinal) IN (SELECT * FROM unnest($1::uuid[], $2::int[]))

-- name: chunk_retries
SELECT ordinal FROM retries WHERE chunk_id = $1 ORDER BY ordinal

-- name: waiting_retries
SELECT ordinal, item FROM retries WHERE batch_id = $1 AND chunk_id IS NULL

-- name: forget_old
WITH old AS (
    DELETE FROM batches WHERE finished_at < now() - $1::float8 * interval '1 day' RETURNING batch_id
), gone AS (DELETE FROM withdrawn WHERE at < now() - $1::float8 * interval '1 day'),
orphans AS (
    SELECT DISTINCT batch_id FROM pages WHERE stored_at < now() - interval '1 day'
        AND NOT EXISTS (SELECT 1 FROM batches WHERE batches.batch_id = pages.batch_id)
)
DELETE FROM pages WHERE batch_id IN (SELECT batch_id FROM old UNION SELECT batch_id FROM orphans)
