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
