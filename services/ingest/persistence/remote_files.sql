-- name: claim_remote_files
-- The batch that has waited longest, of an owner who has not its share of readers already.
UPDATE remote_files SET lease_until = now() + $1::interval, version = version + 1
WHERE batch_id = (
    SELECT batch_id FROM remote_files WHERE lease_until <= now() AND owner <> ALL ($2::text[])
    ORDER BY lease_until LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING batch_id, owner, form, files, progress, created_at, version

-- name: save_remote_files
-- Unless another process has claimed the batch since. The lease lasts for $5 from now on.
UPDATE remote_files SET files = coalesce($3::json, files), progress = $4::json, lease_until = now() + $5::interval
WHERE batch_id = $1 AND version = $2
RETURNING true

-- name: renew_remote_files
UPDATE remote_files SET lease_until = now() + $3::interval WHERE batch_id = $1 AND version = $2
RETURNING true

-- name: delete_remote_files
DELETE FROM remote_files WHERE batch_id = $1 AND version = $2
RETURNING true
