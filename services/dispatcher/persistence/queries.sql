-- fragment: batch_columns
batch_id, owner, workload, coalesce(steering.priority, batches.priority) AS priority, traceparent, reuse, round,
    started_round, opened_at, coalesce(paused AND paused_at > coalesce(opened_at, '-infinity'), false) AS paused,
    coalesce(cancelled_at > coalesce(opened_at, '-infinity'), false) AS cancelled,
    CASE WHEN stopped_round = round THEN stop_cause END AS stop_cause,
    (SELECT json_object_agg(name, value) FROM terms WHERE terms.batch_id = batches.batch_id AND value IS NOT NULL)
        AS terms

-- name: save_manifests
-- The announcement that arrives last holds. One that is delivered again ($4) replaces none of a worker that started later.
INSERT INTO workloads (name, manifest, announced_at)
SELECT name, manifest, $3 FROM unnest($1::text[], $2::bytea[]) AS new (name, manifest) ORDER BY name
ON CONFLICT (name) DO UPDATE SET manifest = excluded.manifest, announced_at = excluded.announced_at
WHERE NOT $4 OR workloads.announced_at <= excluded.announced_at
RETURNING name

-- name: manifests
SELECT name, manifest FROM workloads

-- name: save_batch
-- Returns the batch as `live_batches` does; no row if it is finished or was withdrawn.
WITH saved AS (
    INSERT INTO batches (batch_id, owner, workload, priority, traceparent, reuse) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (batch_id) DO NOTHING RETURNING *
)
SELECT {batch_columns}
FROM (SELECT * FROM saved UNION ALL SELECT * FROM batches WHERE batch_id = $1) AS batches LEFT JOIN steering USING (batch_id)
WHERE finished_at IS NULL AND NOT EXISTS (SELECT 1 FROM withdrawn WHERE withdrawn.batch_id = batches.batch_id)

-- name: save_whole_batches
-- Saves headers with their items. Returns the batches as `live_batches` does, each with the segments that are new; no row
-- for one that is finished or was withdrawn.
WITH saved AS (
    INSERT INTO batches (batch_id, owner, workload, priority, traceparent, reuse)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
    ON CONFLICT (batch_id) DO NOTHING RETURNING *
), paged AS (
    INSERT INTO pages (batch_id, page, segment, partition, size, items)
    SELECT new.* FROM unnest($7::uuid[], $8::int[], $9::int[], $10::text[], $11::int[], $12::bytea[])
        AS new (batch_id, page, segment, partition, size, items)
    WHERE NOT EXISTS (SELECT 1 FROM withdrawn WHERE withdrawn.batch_id = new.batch_id)
    ON CONFLICT DO NOTHING
    RETURNING batch_id, segment
)
SELECT {batch_columns},
    array(SELECT segment FROM paged WHERE paged.batch_id = batches.batch_id) AS new_segments
FROM (SELECT * FROM saved UNION ALL SELECT * FROM batches WHERE batch_id = ANY ($1)) AS batches
    LEFT JOIN steering USING (batch_id)
WHERE finished_at IS NULL AND NOT EXISTS (SELECT 1 FROM withdrawn WHERE withdrawn.batch_id = batches.batch_id)

-- name: live_batches
SELECT {batch_columns}
FROM batches LEFT JOIN steering USING (batch_id)
WHERE finished_at IS NULL AND ($1::uuid IS NULL OR batch_id = $1)
    AND NOT EXISTS (SELECT 1 FROM withdrawn WHERE withdrawn.batch_id = batches.batch_id)
ORDER BY batch_id

-- name: unheld_batches
-- Batches of which no item can run: unknown, finished or withdrawn, or without a waiting page, a lease and a retry.
SELECT batch_id, round FROM unnest($1::uuid[]) AS asked (batch_id) LEFT JOIN batches USING (batch_id)
WHERE batches.owner IS NULL OR finished_at IS NOT NULL
    OR EXISTS (SELECT 1 FROM withdrawn WHERE withdrawn.batch_id = asked.batch_id)
    OR NOT (
        EXISTS (SELECT 1 FROM pages WHERE pages.batch_id = asked.batch_id AND taken < size)
        OR EXISTS (SELECT 1 FROM leases WHERE leases.batch_id = asked.batch_id)
        OR EXISTS (SELECT 1 FROM retries WHERE retries.batch_id = asked.batch_id AND retries.round >= batches.round)
    )

-- name: is_known
SELECT EXISTS (SELECT 1 FROM batches WHERE batch_id = $1)

-- name: save_control
-- Of two commands of a kind the later one holds; a command with an equal time is a repeated one.
INSERT INTO steering (batch_id, paused, paused_at, priority, priority_at, cancelled_at)
VALUES ($1, $2::boolean, CASE WHEN $2 IS NOT NULL THEN $5::timestamptz END,
    $3::text, CASE WHEN $3 IS NOT NULL THEN $5 END, CASE WHEN $4 THEN $5 END)
ON CONFLICT (batch_id) DO UPDATE SET
    paused = CASE WHEN excluded.paused_at > coalesce(steering.paused_at, '-infinity')
        THEN excluded.paused ELSE steering.paused END,
    paused_at = greatest(excluded.paused_at, steering.paused_at),
    priority = CASE WHEN excluded.priority_at > coalesce(steering.priority_at, '-infinity')
        THEN excluded.priority ELSE steering.priority END,
    priority_at = greatest(excluded.priority_at, steering.priority_at),
    cancelled_at = greatest(excluded.cancelled_at, steering.cancelled_at)

-- name: save_terms
INSERT INTO terms (batch_id, name, value, at)
SELECT batch_id, name, value::json, at FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[])
    AS new (batch_id, name, value, at)
ON CONFLICT (batch_id, name) DO UPDATE SET value = excluded.value, at = excluded.at WHERE terms.at < excluded.at

-- name: save_stop
INSERT INTO steering (batch_id, stopped_round, stop_cause) VALUES ($1, $2, $3)
ON CONFLICT (batch_id) DO UPDATE SET stopped_round = excluded.stopped_round, stop_cause = excluded.stop_cause
WHERE coalesce(steering.stopped_round, 0) < excluded.stopped_round

-- name: finish_batches
-- All their items have ended, so their waiting retries must not run, least of all in a later round.
WITH ended AS (
    UPDATE batches SET finished_at = now() FROM unnest($1::uuid[], $2::int[]) AS done (id, round)
    WHERE batch_id = done.id AND batches.round <= done.round RETURNING batch_id
)
DELETE FROM retries USING ended WHERE retries.batch_id = ended.batch_id AND chunk_id IS NULL

-- name: reopen_batch
-- A round may be opened by several messages: only the first begins it, and none begins a finished one again.
WITH known AS (
    SELECT batch_id, round FROM batches
    WHERE batch_id = $1 AND (round < $2 OR (round = $2 AND finished_at IS NULL)) FOR UPDATE
), fresh AS (
    UPDATE steering SET
        paused = CASE WHEN paused_at > coalesce($3::timestamptz, 'infinity') THEN paused END,
        cancelled_at = CASE WHEN cancelled_at > coalesce($3, 'infinity') THEN cancelled_at END
    FROM known WHERE steering.batch_id = known.batch_id AND known.round < $2
)
UPDATE batches SET round = $2, finished_at = NULL, opened_at = coalesce($3, now()) FROM known
WHERE batches.batch_id = known.batch_id
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
RETURNING batch_id, page, segment

-- name: waiting_pages
-- The first waiting segments after a place, in order; of one partition, or of all (null).
SELECT page, segment, partition, size, taken FROM pages
WHERE batch_id = $1 AND taken < size AND (page, segment) > ($2::int, $3::int) AND ($4::text IS NULL OR partition = $4)
    AND (claimed OR NOT $5::boolean)
ORDER BY page, segment LIMIT $6

-- name: waiting_by_partition
-- The items of the first $2 waiting segments, by partition, and the number of these segments.
SELECT partition, sum(size - taken)::int AS items, (sum(count(*)) OVER ())::int AS segments
FROM (SELECT partition, size, taken FROM pages WHERE batch_id = $1 AND taken < size LIMIT $2) AS waiting
GROUP BY partition

-- name: page_items
SELECT batch_id, page, segment, items FROM pages
WHERE (batch_id, page, segment) IN (SELECT * FROM unnest($1::uuid[], $2::int[], $3::int[]))

-- name: owner_of
SELECT owner FROM batches WHERE batch_id = $1

-- name: batch_history
-- A batch with the start of its latest round, and the partitions of its first page segments.
SELECT owner, workload, round, CASE WHEN started_round = round THEN started_at END AS started_at, array(
    SELECT DISTINCT partition FROM (
        SELECT partition FROM pages WHERE pages.batch_id = batches.batch_id ORDER BY page, segment LIMIT $2
    ) AS first
) AS partitions
FROM batches WHERE batch_id = $1

-- name: last_page
SELECT coalesce(max(page), -1) FROM pages WHERE batch_id = $1

-- name: first_page_from
SELECT page, substring(items FROM 1 FOR 40) AS start FROM pages
WHERE batch_id = $1 AND page >= $2 ORDER BY page, segment LIMIT 1

-- name: pages_from
SELECT pages.page, partition, items, taken
FROM pages JOIN (SELECT min(page) AS page FROM pages WHERE batch_id = $1 AND page >= $2) AS first
    ON pages.page BETWEEN first.page AND first.page + $3 - 1
WHERE batch_id = $1 ORDER BY pages.page, segment

-- name: page_with
-- The first of the pages $2 to $3 with items of a partition, with items that wait, or with a text; null: any.
SELECT min(page) FROM pages
WHERE batch_id = $1 AND page BETWEEN $2 AND $3 AND ($4::text IS NULL OR partition = $4) AND (NOT $5 OR taken < size)
    AND ($6::bytea IS NULL OR position($6 IN items) > 0)

-- name: patched_items
SELECT ordinal, partition, item, round FROM patched WHERE batch_id = $1 AND ordinal = ANY($2::int[])

-- name: save_patched
INSERT INTO patched (batch_id, ordinal, round, partition, item)
SELECT * FROM unnest($1::uuid[], $2::int[], $3::int[], $4::text[], $5::bytea[])
ON CONFLICT (batch_id, ordinal) DO UPDATE
SET round = excluded.round, partition = excluded.partition, item = excluded.item

-- name: mark_taken
UPDATE pages SET taken = greatest(taken, new.upto)
FROM unnest($1::uuid[], $2::int[], $3::int[], $4::int[]) AS new (batch_id, page, segment, upto)
WHERE pages.batch_id = new.batch_id AND pages.page = new.page AND pages.segment = new.segment

-- name: save_leases
WITH moved AS (
    UPDATE pages SET taken = greatest(taken, new.upto)
    FROM unnest($13::uuid[], $14::int[], $15::int[], $16::int[]) AS new (batch_id, page, segment, upto)
    WHERE pages.batch_id = new.batch_id AND pages.page = new.page AND pages.segment = new.segment
), run_again AS (
    UPDATE retries SET chunk_id = new.chunk_id
    FROM unnest($17::uuid[], $18::int[], $19::int[], $20::uuid[]) AS new (batch_id, ordinal, round, chunk_id)
    WHERE retries.batch_id = new.batch_id AND retries.ordinal = new.ordinal AND retries.round = new.round
), started AS (
    UPDATE batches SET started_round = round, started_at = now() WHERE batch_id = ANY($21)
)
INSERT INTO leases (chunk_id, fence, batch_id, workload, priority, partition, round, attempt, page, segment, first, size,
    quarantined)
SELECT * FROM unnest($1::uuid[], $2::int[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::int[], $8::int[],
    $9::int[], $10::int[], $11::int[], $12::int[], $22::boolean[])
ON CONFLICT DO NOTHING

-- name: leases
SELECT chunk_id, fence, batch_id, workload, priority, partition, round, attempt, page, segment, first, size, losses,
    quarantined, resent, reported, holder, begun, extract(epoch FROM now() - given_at)::float8 AS age_s
FROM leases ORDER BY given_at, chunk_id

-- name: save_redispatch
UPDATE leases SET fence = new.fence, losses = new.losses, quarantined = new.quarantined, given_at = now(), holder = NULL
FROM unnest($1::uuid[], $2::int[], $3::int[], $4::boolean[]) AS new (chunk_id, fence, losses, quarantined)
WHERE leases.chunk_id = new.chunk_id

-- name: save_started
UPDATE leases SET holder = $2, begun = begun || $3::int[] WHERE chunk_id = $1

-- name: save_resent
UPDATE leases SET resent = true, given_at = now() WHERE chunk_id = ANY($1)

-- name: save_reported
UPDATE leases SET reported = reported || new.ordinals
FROM (
    SELECT chunk_id, array_agg(ordinal) AS ordinals FROM unnest($1::uuid[], $2::int[]) AS one (chunk_id, ordinal)
    GROUP BY chunk_id
) AS new
WHERE leases.chunk_id = new.chunk_id

-- name: end_leases
DELETE FROM leases WHERE chunk_id = ANY($1)

-- name: forget_chunks
-- Retries that are still in a chunk that ends without a report belong to a round that is over.
WITH ended AS (DELETE FROM leases WHERE chunk_id = ANY($1)) DELETE FROM retries WHERE chunk_id = ANY($1)

-- name: save_retries
-- The row of a later round stays as it is.
INSERT INTO retries (batch_id, ordinal, round, partition, attempt, waits, due_at, item, quarantined, error_code,
    error_message)
SELECT batch_id, ordinal, round, partition, attempt, waits, now() + delay_s * interval '1 second', item, quarantined,
    error_code, error_message
FROM unnest($1::uuid[], $2::int[], $3::int[], $4::text[], $5::int[], $6::int[], $7::float8[], $8::bytea[], $9::boolean[],
        $10::text[], $11::text[])
    AS new (batch_id, ordinal, round, partition, attempt, waits, delay_s, item, quarantined, error_code, error_message)
ON CONFLICT (batch_id, ordinal) DO UPDATE SET round = excluded.round, partition = excluded.partition,
    attempt = excluded.attempt, waits = excluded.waits, due_at = excluded.due_at, item = excluded.item,
    quarantined = excluded.quarantined, error_code = excluded.error_code, error_message = excluded.error_message,
    chunk_id = NULL
WHERE retries.round <= excluded.round

-- name: drop_retries
-- The row of a later round stays as it is.
DELETE FROM retries USING unnest($1::uuid[], $2::int[], $3::int[]) AS old (batch_id, ordinal, round)
WHERE retries.batch_id = old.batch_id AND retries.ordinal = old.ordinal AND retries.round <= old.round

-- name: due_retries
SELECT due.* FROM unnest($1::uuid[], $2::int[]) AS runnable (id, round) CROSS JOIN LATERAL (
    SELECT batch_id, ordinal, partition, attempt, quarantined, length(item) FROM retries
    WHERE retries.batch_id = runnable.id AND retries.round = runnable.round AND chunk_id IS NULL AND due_at <= now()
        AND NOT EXISTS (
            SELECT 1 FROM unnest($3::uuid[], $4::text[]) AS enough (id, name)
            WHERE enough.id = retries.batch_id AND enough.name = retries.partition
        )
    ORDER BY due_at LIMIT $5
) AS due LIMIT $5

-- name: next_retry
SELECT extract(epoch FROM min(due_at) - now())::float8 FROM retries WHERE chunk_id IS NULL AND due_at > now()

-- name: retry_items
SELECT batch_id, ordinal, waits, item FROM retries
WHERE (batch_id, ordinal) IN (SELECT * FROM unnest($1::uuid[], $2::int[]))

-- name: chunk_retries
SELECT ordinal FROM retries WHERE chunk_id = $1 ORDER BY ordinal

-- name: waiting_retries
-- The first retries by ordinal, bounded in number and in total size. `IS TRUE` keeps PostgreSQL from the index of due
-- retries, after which it would have to sort all that wait: without statistics both indexes seem equally cheap.
SELECT ordinal, partition, item FROM (
    SELECT ordinal, partition, item, sum(length(item)) OVER (ORDER BY ordinal) - length(item) AS before FROM (
        SELECT ordinal, partition, item FROM retries
        WHERE batch_id = $1 AND round <= $2 AND (chunk_id IS NULL) IS TRUE AND ordinal > $3
        ORDER BY ordinal LIMIT 5000
    ) AS next
) AS counted WHERE before < 4194304 ORDER BY ordinal

-- name: next_retries
-- Seconds until the next retry of each batch in its present round.
SELECT batch_id, extract(epoch FROM min(due_at) - now())::float8 AS seconds
FROM retries JOIN batches USING (batch_id)
WHERE batch_id = ANY ($1::uuid[]) AND retries.round = batches.round AND chunk_id IS NULL
GROUP BY batch_id

-- name: retries_by_partition
-- Of the first $3 retries of a round that wait, the partitions with most, each with the seconds until the first that is not
-- due yet; and the number of all of them.
SELECT partition, count(*) AS retries,
    extract(epoch FROM min(due_at) FILTER (WHERE due_at > now()) - now())::float8 AS seconds,
    (sum(count(*)) OVER ())::int AS all_retries
FROM (
    SELECT partition, due_at FROM retries
    WHERE batch_id = $1 AND round = $2 AND chunk_id IS NULL ORDER BY due_at LIMIT $3
) AS next
GROUP BY partition ORDER BY retries DESC, partition LIMIT $4

-- name: retries_ahead
-- The first $2 retries of batches that wait, by batch and partition, with the mean and the largest of the seconds until
-- they are due.
SELECT batch_id, partition, count(*)::int AS retries,
    extract(epoch FROM avg(due_at - now()))::float8 AS mean_s, extract(epoch FROM max(due_at) - now())::float8 AS last_s
FROM (
    SELECT retries.batch_id, partition, due_at FROM retries JOIN batches USING (batch_id)
    WHERE retries.batch_id = ANY ($1::uuid[]) AND retries.round = batches.round AND chunk_id IS NULL LIMIT $2
) AS next
GROUP BY batch_id, partition

-- name: retry_states
SELECT ordinal, attempt, due_at, error_code, error_message FROM retries
WHERE batch_id = $1 AND round = $2 AND ordinal = ANY ($3::int[])

-- name: retrying_ordinals
-- `IS TRUE`: as in `waiting_retries`.
SELECT ordinal FROM retries
WHERE batch_id = $1 AND round = $2 AND (chunk_id IS NULL) IS TRUE AND ordinal > $3
    AND ($4::text IS NULL OR partition = $4)
ORDER BY ordinal LIMIT $5

-- name: drop_waiting_retries
DELETE FROM retries WHERE batch_id = $1 AND round <= $2 AND ordinal = ANY($3::int[]) AND chunk_id IS NULL

-- name: unclaimed_segments
SELECT page, segment, items FROM pages WHERE batch_id = $1 AND NOT claimed ORDER BY page, segment LIMIT 20

-- name: mark_claimed
UPDATE pages SET claimed = true FROM unnest($2::int[], $3::int[]) AS done (page, segment)
WHERE pages.batch_id = $1 AND pages.page = done.page AND pages.segment = done.segment

-- name: claim_first
-- Keys that nobody holds become this batch's; items whose key another batch holds are dropped.
WITH wanted AS (
    SELECT * FROM unnest($5::bytea[], $6::int[], $7::text[]) AS item (key, ordinal, custom_id)
), taken AS (
    INSERT INTO claims (owner, workload, key, batch_id, ordinal, custom_id, expires_at)
    SELECT $1, $2, key, $3, ordinal, custom_id, now() + $4 * interval '1 second' FROM wanted ORDER BY key
    ON CONFLICT (owner, workload, key) DO UPDATE SET batch_id = excluded.batch_id, ordinal = excluded.ordinal,
        custom_id = excluded.custom_id, expires_at = excluded.expires_at
    WHERE claims.expires_at <= now() OR NOT EXISTS (
        SELECT 1 FROM batches WHERE batches.batch_id = claims.batch_id AND finished_at IS NULL
    )
    RETURNING key
)
INSERT INTO dropped (batch_id, ordinal, custom_id, by_batch, by_ordinal)
SELECT $3, wanted.ordinal, wanted.custom_id, claims.batch_id, claims.ordinal
FROM wanted JOIN claims ON claims.owner = $1 AND claims.workload = $2 AND claims.key = wanted.key
WHERE claims.batch_id <> $3 AND NOT EXISTS (SELECT 1 FROM taken WHERE taken.key = wanted.key)
ON CONFLICT DO NOTHING
RETURNING batch_id, ordinal, custom_id, by_batch, by_ordinal

-- name: claim_last
-- All keys become this batch's; items of other running batches that held one are dropped.
WITH wanted AS (
    SELECT * FROM unnest($5::bytea[], $6::int[], $7::text[]) AS item (key, ordinal, custom_id)
), held AS (
    SELECT claims.batch_id, claims.ordinal, claims.custom_id, wanted.ordinal AS by_ordinal
    FROM wanted JOIN claims ON claims.owner = $1 AND claims.workload = $2 AND claims.key = wanted.key
    WHERE claims.batch_id <> $3 AND claims.expires_at > now() AND EXISTS (
        SELECT 1 FROM batches WHERE batches.batch_id = claims.batch_id AND finished_at IS NULL
    )
), taken AS (
    INSERT INTO claims (owner, workload, key, batch_id, ordinal, custom_id, expires_at)
    SELECT $1, $2, key, $3, ordinal, custom_id, now() + $4 * interval '1 second' FROM wanted ORDER BY key
    ON CONFLICT (owner, workload, key) DO UPDATE SET batch_id = excluded.batch_id, ordinal = excluded.ordinal,
        custom_id = excluded.custom_id, expires_at = excluded.expires_at
)
INSERT INTO dropped (batch_id, ordinal, custom_id, by_batch, by_ordinal)
SELECT batch_id, ordinal, custom_id, $3, by_ordinal FROM held
ON CONFLICT DO NOTHING
RETURNING batch_id, ordinal, custom_id, by_batch, by_ordinal

-- name: dropped_items
SELECT batch_id, ordinal, custom_id, by_batch, by_ordinal FROM dropped
WHERE batch_id = $1 AND ordinal > $2 ORDER BY ordinal LIMIT $3

-- name: restore_dropped
DELETE FROM dropped WHERE batch_id = $1 AND ordinal = ANY($2::int[])
