-- Statements on the erasure of owners. The id of an erasure is made of the owner's name, which it outlives.

-- name: lock_owner
-- Nobody else begins or ends the erasure of this owner until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('erasures ' || $1::text, 0))

-- name: has_unfinished
SELECT EXISTS (SELECT 1 FROM batches WHERE owner = $1 AND NOT done AND state IN ('open', 'sealed'))

-- name: request_erasure
INSERT INTO erasures (id, owner) VALUES ($1, $2)
ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, requested_at = now(), completed_at = NULL, deleted = '{}'
WHERE erasures.completed_at IS NOT NULL

-- name: revoke_keys
UPDATE api_keys SET revoked_at = now() WHERE owner = $1 AND revoked_at IS NULL

-- name: pause_schedules
UPDATE schedules SET paused = true WHERE owner = $1

-- name: get_erasure
SELECT requested_at, deleted, completed_at FROM erasures WHERE id = $1

-- name: open_erasures
SELECT id, owner, deleted FROM erasures WHERE completed_at IS NULL ORDER BY requested_at LIMIT $1 FOR UPDATE SKIP LOCKED

-- name: ended_of_owner
SELECT batch_id FROM batches WHERE owner = $1 AND done AND state = 'sealed' LIMIT $2

-- name: has_batches
-- Batches of the owner, parts of deleted ones that some service has not deleted yet, or exports, which have files.
SELECT EXISTS (SELECT 1 FROM batches WHERE owner = $1 AND state IN ('open', 'sealed'))
    OR EXISTS (SELECT 1 FROM deletions WHERE owner = $1 AND completed_at IS NULL)
    OR EXISTS (SELECT 1 FROM exports WHERE owner = $1)

-- name: sum_deletions
-- Adds the numbers of the next $2 deletions of batches of the owner to those of the erasure, and forgets their owner.
WITH counted AS (
    UPDATE deletions SET owner = $3 WHERE batch_id IN (
        SELECT batch_id FROM deletions WHERE owner = $1 LIMIT $2
    ) RETURNING deleted
)
SELECT service.key AS service, part.key AS part, sum(part.value::bigint)::bigint AS number
FROM counted CROSS JOIN LATERAL jsonb_each(counted.deleted) AS service CROSS JOIN LATERAL jsonb_each_text(service.value) AS part
GROUP BY service.key, part.key

-- name: record_erased
UPDATE erasures SET deleted = $2::jsonb WHERE id = $1

-- name: end_erasure
UPDATE erasures SET owner = NULL, completed_at = now() WHERE id = $1

-- name: erase_follow_ups
DELETE FROM follow_ups WHERE ctid = ANY (ARRAY(SELECT ctid FROM follow_ups WHERE owner = $1 LIMIT $2))

-- name: erase_schedules
DELETE FROM schedules WHERE ctid = ANY (ARRAY(SELECT ctid FROM schedules WHERE owner = $1 LIMIT $2))

-- name: erase_templates
DELETE FROM templates WHERE ctid = ANY (ARRAY(SELECT ctid FROM templates WHERE owner = $1 LIMIT $2))

-- name: erase_batch_actions
DELETE FROM batch_actions WHERE ctid = ANY (ARRAY(SELECT ctid FROM batch_actions WHERE owner = $1 LIMIT $2))

-- name: erase_api_keys
DELETE FROM api_keys WHERE ctid = ANY (ARRAY(SELECT ctid FROM api_keys WHERE owner = $1 LIMIT $2))

-- name: erase_owner_limits
DELETE FROM owner_limits WHERE ctid = ANY (ARRAY(SELECT ctid FROM owner_limits WHERE owner = $1 LIMIT $2))

-- name: erase_retention_rules
DELETE FROM retention_rules WHERE ctid = ANY (ARRAY(SELECT ctid FROM retention_rules WHERE owner = $1 LIMIT $2))

-- name: erase_audit
DELETE FROM audit WHERE id = ANY (ARRAY(SELECT id FROM audit WHERE owner = $1 ORDER BY id LIMIT $2))

-- name: erase_batches
-- What deletions have left of batches, which forget their owner: their ids stay taken.
UPDATE batches SET owner = $3, message_id = NULL
WHERE batch_id = ANY (ARRAY(SELECT batch_id FROM batches WHERE owner = $1 AND state IN ('deleted', 'withdrawn') LIMIT $2))
