-- fragment: bulk_columns
action_id, owner, actor, key_id, door, address, form, created_at, ended_at, last_batch, done, refused, error

-- name: insert_action
INSERT INTO batch_actions (action_id, owner, actor, key_id, door, address, idempotency_key, form)
SELECT $1, $2, $3, $4, $5, $6, $7, $8::json
WHERE (SELECT count(*) FROM batch_actions WHERE owner = $2 AND ended_at IS NULL) < $9
ON CONFLICT DO NOTHING
RETURNING {bulk_columns}

-- name: get_action
SELECT {bulk_columns} FROM batch_actions WHERE action_id = $1 AND owner = $2

-- name: get_action_by_key
SELECT {bulk_columns} FROM batch_actions WHERE owner = $1 AND idempotency_key = $2

-- name: actions_of_owner
SELECT {bulk_columns} FROM batch_actions WHERE owner = $1 AND created_at < $2 ORDER BY created_at DESC LIMIT $3

-- name: claim_action
-- The action that has waited longest for its next page, so that a long one does not delay the others.
UPDATE batch_actions SET lease_until = now() + $1::interval
WHERE action_id = (
    SELECT action_id FROM batch_actions
    WHERE ended_at IS NULL AND (lease_until IS NULL OR lease_until <= now())
    ORDER BY coalesce(lease_until, created_at) LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING {bulk_columns},
    EXISTS (SELECT FROM api_keys WHERE id = key_id AND revoked_at IS NOT NULL) AS is_revoked

-- name: save_action
-- The lease ends with the page. $8 is the last batch at the claim: a page that outlasted its lease, and that another
-- process has done meanwhile, counts once.
UPDATE batch_actions SET last_batch = coalesce($2, last_batch), done = done + $3, refused = refused + $4,
    lease_until = now() + CASE WHEN $6 THEN interval '5 seconds' ELSE interval '0' END, error = coalesce($5, error),
    ended_at = CASE WHEN $7 THEN now() END
WHERE action_id = $1 AND ended_at IS NULL AND last_batch IS NOT DISTINCT FROM $8

-- name: delete_old_actions
DELETE FROM batch_actions WHERE ended_at < now() - interval '30 days'
