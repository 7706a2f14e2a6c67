-- fragment: old
batch_id, owner, workload, heard_at, extract(epoch FROM now() - heard_at)::float8 / 86400 AS days FROM batches
WHERE done AND state = 'sealed' AND heard_at < now() - $1::float8 * interval '1 day'
    AND (heard_at, batch_id) > ($2::timestamptz, $3::uuid)

-- fragment: unlocked
SELECT batch_id FROM batches WHERE batch_id = ANY ($1::uuid[]) AND done AND state = 'sealed' FOR UPDATE SKIP LOCKED

-- name: with_payloads
-- Batches that ended more than $1 days ago, after the batch $3 that ended at $2, with what the retention has not deleted.
SELECT {old} AND payloads_deleted_at IS NULL ORDER BY heard_at, batch_id LIMIT $4

-- name: with_outcomes
SELECT {old} AND outcomes_deleted_at IS NULL ORDER BY heard_at, batch_id LIMIT $4

-- name: with_deliveries
-- Of batches with receivers alone; the condition is that of the index.
SELECT {old} AND deliveries_deleted_at IS NULL
    AND coalesce(json_array_length(notify -> 'webhooks'), 0) + coalesce(json_array_length(notify -> 'emails'), 0) > 0
ORDER BY heard_at, batch_id LIMIT $4

-- name: with_batch
SELECT {old} ORDER BY heard_at, batch_id LIMIT $4

-- name: expire_payloads
UPDATE batches SET payloads_deleted_at = now() WHERE batch_id IN ({unlocked}) RETURNING batch_id, owner, round

-- name: expire_outcomes
UPDATE batches SET outcomes_deleted_at = now() WHERE batch_id IN ({unlocked}) RETURNING batch_id, owner, round

-- name: expire_deliveries
UPDATE batches SET deliveries_deleted_at = now() WHERE batch_id IN ({unlocked}) RETURNING batch_id, owner, round

-- name: delete_batches
-- Deletes batches that have ended, and those of them in $3, of which that is known though it is not recorded. What a batch
-- said goes; its row stays, so that its id and its message are not taken for new ones.
WITH unlocked AS (
    SELECT batch_id FROM batches
    WHERE batch_id = ANY ($1::uuid[]) AND state = 'sealed' AND (done OR batch_id = ANY ($3::uuid[]))
        AND NOT EXISTS (
            SELECT 1 FROM follow_ups WHERE follow_ups.batch_id = batches.batch_id
                AND follow_ups.state IN ('waiting', 'starting') AND due_at IS NOT NULL
        )
    FOR UPDATE SKIP LOCKED
), gone AS (
    UPDATE batches SET state = 'deleted', done = true, name = NULL, labels = '{}', metadata = NULL, notify = '{}', terms = '{}',
        reuse = '{}', idempotency_key = NULL, digest = NULL, traceparent = NULL
    WHERE batch_id IN (SELECT batch_id FROM unlocked)
    RETURNING batch_id, owner, round
), no_appends AS (
    DELETE FROM appends USING gone WHERE appends.batch_id = gone.batch_id RETURNING appends.batch_id
), no_controls AS (
    DELETE FROM controls USING gone WHERE controls.batch_id = gone.batch_id RETURNING controls.batch_id
), no_follow_ups AS (
    DELETE FROM follow_ups USING gone WHERE follow_ups.batch_id = gone.batch_id RETURNING follow_ups.batch_id
)
INSERT INTO deletions (batch_id, owner, round, cause, deleted)
SELECT batch_id, owner, round, $2, jsonb_build_object('ingest', jsonb_build_object(
    'batches', 1,
    'appends', (SELECT count(*) FROM no_appends WHERE no_appends.batch_id = gone.batch_id),
    'controls', (SELECT count(*) FROM no_controls WHERE no_controls.batch_id = gone.batch_id),
    'follow_ups', (SELECT count(*) FROM no_follow_ups WHERE no_follow_ups.batch_id = gone.batch_id)
)) FROM gone
RETURNING batch_id, owner, round

-- name: get_deletion
SELECT batch_id, cause, deleted, requested_at, completed_at FROM deletions WHERE batch_id = $1 AND owner = $2

-- name: complete_deletion
-- Takes the numbers of a service, the first that it reports; complete once those of all of $4 are there.
UPDATE deletions SET
    deleted = jsonb_build_object($2::text, $3::jsonb) || deleted,
    completed_at = CASE WHEN jsonb_build_object($2::text, $3::jsonb) || deleted ?& $4::text[]
        THEN coalesce(completed_at, now()) END
WHERE batch_id = $1

-- name: claim_unanswered
-- Deletions that some service has not reported for $1 seconds since they were sent.
UPDATE deletions SET sent_at = now() WHERE batch_id IN (
    SELECT batch_id FROM deletions WHERE completed_at IS NULL AND sent_at < now() - $1::float8 * interval '1 second'
    ORDER BY sent_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
RETURNING batch_id, owner, round

-- name: forget_deletions
-- At most $2 deletions that were complete $1 days ago, with what was left of their batches.
WITH old AS (
    DELETE FROM deletions WHERE batch_id IN (
        SELECT batch_id FROM deletions WHERE completed_at < now() - $1::float8 * interval '1 day' LIMIT $2
    ) RETURNING batch_id
)
DELETE FROM batches USING old WHERE batches.batch_id = old.batch_id AND state = 'deleted'

-- name: retention_rules
SELECT owner, workload, days FROM retention_rules ORDER BY owner, workload

-- name: lock_retention
SELECT pg_advisory_xact_lock(hashtextextended('retention_rules', 0))

-- name: get_retention
SELECT days FROM retention_rules WHERE owner = $1 AND workload = $2

-- name: count_retention
SELECT count(*) FROM retention_rules

-- name: set_retention
INSERT INTO retention_rules (owner, workload, days) VALUES ($1, $2, $3::jsonb)
ON CONFLICT (owner, workload) DO UPDATE SET days = excluded.days, changed_at = now()

-- name: clear_retention
DELETE FROM retention_rules WHERE owner = $1 AND workload = $2
