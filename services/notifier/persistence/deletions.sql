-- Statements that delete the deliveries of a batch, a lot at a time: `shared.postgres.deletions`.

-- name: begin_deletion
WITH marked AS (INSERT INTO deleted (batch_id) SELECT $1 WHERE $2 = 'batch' ON CONFLICT DO NOTHING)
INSERT INTO deletions (key, plan) VALUES ($1, $2) ON CONFLICT DO NOTHING

-- name: delete_ended_deliveries
-- A delivery that is attempted yet stays, with its event.
DELETE FROM deliveries WHERE id = ANY (ARRAY(
    SELECT id FROM deliveries WHERE batch_id = $1 AND state <> 'pending' ORDER BY round LIMIT $2
))

-- name: delete_told_rounds
DELETE FROM rounds WHERE (batch_id, round) IN (
    SELECT batch_id, round FROM rounds WHERE batch_id = $1
        AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.batch_id = $1 AND deliveries.round = rounds.round)
    ORDER BY round LIMIT $2
)

-- name: delete_deliveries
DELETE FROM deliveries WHERE id = ANY (ARRAY(SELECT id FROM deliveries WHERE batch_id = $1 ORDER BY round LIMIT $2))

-- name: delete_rounds
DELETE FROM rounds WHERE (batch_id, round) IN (
    SELECT batch_id, round FROM rounds WHERE batch_id = $1 ORDER BY round LIMIT $2
)

-- name: delete_batches
DELETE FROM batches WHERE ctid = ANY (ARRAY(SELECT ctid FROM batches WHERE batch_id = $1 LIMIT $2))

-- name: forget_deleted
-- At most $2 ids of batches that were deleted more than $1 days ago.
DELETE FROM deleted WHERE batch_id = ANY (ARRAY(
    SELECT batch_id FROM deleted WHERE at < now() - $1::float8 * interval '1 day' ORDER BY at LIMIT $2
))

-- name: delete_old_alerts
-- At most $2 alerts to operators, which belong to no batch, that are older than $1 days, with their deliveries. One that is
-- attempted yet stays.
WITH old AS (
    SELECT batch_id, round FROM rounds
    WHERE type <> 'batch.finished.v1' AND created_at < now() - $1::float8 * interval '1 day'
        AND NOT EXISTS (
            SELECT FROM deliveries WHERE deliveries.batch_id = rounds.batch_id AND deliveries.round = rounds.round
                AND state = 'pending'
        )
    ORDER BY created_at LIMIT $2
), no_deliveries AS (
    DELETE FROM deliveries USING old WHERE deliveries.batch_id = old.batch_id AND deliveries.round = old.round
)
DELETE FROM rounds USING old WHERE rounds.batch_id = old.batch_id AND rounds.round = old.round
