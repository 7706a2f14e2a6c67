-- fragment: export_columns
export_id, owner, batch_id, form, progress, created_at, ended_at, error, version

-- name: lock_exports
-- Nobody else begins an export of this owner until the transaction ends, so that none is overlooked in counting.
SELECT pg_advisory_xact_lock(hashtextextended('exports ' || $1::text, 0))

-- name: insert_export
INSERT INTO exports (export_id, owner, batch_id, idempotency_key, form)
SELECT $1, $2, $3, $4, $5::json
WHERE (SELECT count(*) FROM exports WHERE owner = $2 AND ended_at IS NULL) < $6
    AND (SELECT count(*) FROM exports WHERE batch_id = $3) < $7
ON CONFLICT DO NOTHING
RETURNING {export_columns}

-- name: get_export
SELECT {export_columns} FROM exports WHERE export_id = $1 AND owner = $2 AND batch_id = $3

-- name: get_export_by_key
SELECT {export_columns} FROM exports WHERE owner = $1 AND idempotency_key = $2

-- name: count_running
SELECT count(*) FROM exports WHERE owner = $1 AND ended_at IS NULL

-- name: exports_of_batch
SELECT {export_columns} FROM exports WHERE owner = $1 AND batch_id = $2 ORDER BY created_at DESC, export_id

-- name: claim_export
-- The export that has waited longest for its next part, so that a long one does not delay the others.
UPDATE exports SET lease_until = now() + $1::interval, version = version + 1
WHERE export_id = (
    SELECT export_id FROM exports
    WHERE ended_at IS NULL AND (lease_until IS NULL OR lease_until <= now())
    ORDER BY coalesce(lease_until, created_at) LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING {export_columns}

-- name: renew_export
UPDATE exports SET lease_until = now() + $3::interval WHERE export_id = $1 AND version = $2
RETURNING true

-- name: save_export
-- Unless another process has claimed it since, because the lease had ended. The lease ends with it, after a pause of $4.
UPDATE exports SET progress = $3::json, lease_until = now() + $4::interval, error = $5,
    ended_at = CASE WHEN $6 THEN now() END
WHERE export_id = $1 AND version = $2 AND ended_at IS NULL
RETURNING true

-- name: delete_export
DELETE FROM exports WHERE export_id = $1 RETURNING {export_columns}

-- name: old_exports
-- Those that ended longer ago than $1, and those of deleted batches.
SELECT {export_columns} FROM exports WHERE ended_at < now() - $1::interval
    OR NOT EXISTS (SELECT FROM batches WHERE batches.batch_id = exports.batch_id AND state <> 'deleted')
ORDER BY ended_at LIMIT $2
