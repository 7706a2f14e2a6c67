-- Statements that delete what is recorded of a batch, a lot of each table at a time: `shared.postgres.deletions`. Each lot
-- is found by the index that begins with the batch.

-- name: mark_outcomes_deleted
UPDATE batches SET outcomes_deleted_at = now(), version = version + 1 WHERE id = $1

-- name: mark_deleted
UPDATE batches
SET owner = NULL, name = NULL, labels = NULL, metadata = NULL, notify = NULL, terms = NULL, traceparent = NULL, summary_due_at = NULL,
    status = 'finished', finished_at = coalesce(finished_at, now()), deleted_at = coalesce(deleted_at, now()),
    outcomes_deleted_at = coalesce(outcomes_deleted_at, now()), version = version + 1
WHERE id = $1

-- name: delete_outcomes
DELETE FROM outcomes WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM outcomes WHERE batch = (SELECT id FROM batches WHERE batch_id = $1) ORDER BY ordinal LIMIT $2
))

-- name: delete_earlier_outcomes
DELETE FROM earlier_outcomes WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM earlier_outcomes WHERE batch = (SELECT id FROM batches WHERE batch_id = $1)
    ORDER BY round, ordinal LIMIT $2
))

-- name: delete_completions
DELETE FROM completions WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM completions WHERE batch = (SELECT id FROM batches WHERE batch_id = $1) ORDER BY version LIMIT $2
))

-- name: delete_failures
DELETE FROM failures WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM failures WHERE batch = (SELECT id FROM batches WHERE batch_id = $1) ORDER BY ordinal LIMIT $2
))

-- name: delete_causes
DELETE FROM causes WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM causes WHERE batch = (SELECT id FROM batches WHERE batch_id = $1) ORDER BY cause LIMIT $2
))

-- name: delete_summaries
DELETE FROM summaries WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM summaries WHERE batch = (SELECT id FROM batches WHERE batch_id = $1) ORDER BY round LIMIT $2
))

-- name: delete_attempts
DELETE FROM attempts WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM attempts WHERE batch = (SELECT id FROM batches WHERE batch_id = $1) ORDER BY ordinal LIMIT $2
))

-- name: delete_samples
DELETE FROM samples WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM samples WHERE batch = (SELECT id FROM batches WHERE batch_id = $1) ORDER BY at LIMIT $2
))

-- name: delete_outbox
-- Messages on its rounds, which are kept for a week after they were sent; they say its name and its summary.
DELETE FROM outbox WHERE id = ANY (ARRAY(
    SELECT outbox.id FROM batches CROSS JOIN generate_series(1, round) AS ended
        CROSS JOIN unnest(ARRAY[
            'batch.finished.v1', 'notification.requested.v1', 'batch.stuck.v1', 'batch.stopped.v1'
        ]) AS named (kind)
        JOIN outbox ON outbox.key = kind || ':' || batch_id || ':' || ended
    WHERE batch_id = $1 LIMIT $2
))

-- name: old_tombstones
-- At most $2 batches that were deleted more than $1 days ago, and of which nothing else is left.
SELECT batch_id FROM batches
WHERE deleted_at < now() - $1::float8 * interval '1 day'
    AND NOT EXISTS (SELECT FROM deletions WHERE deletions.key = batches.batch_id)
ORDER BY deleted_at LIMIT $2

-- name: delete_tombstones
DELETE FROM batches WHERE batch_id = ANY ($1::uuid[]) AND deleted_at IS NOT NULL

-- name: old_stubs
-- At most $2 batches whose header has not come for $1 days.
SELECT batch_id FROM batches
WHERE finished_at IS NULL AND owner IS NULL AND deleted_at IS NULL
    AND changed_at < now() - $1::float8 * interval '1 day'
ORDER BY id LIMIT $2
