-- Statements that delete what is stored of a batch, a lot of each table at a time: `shared.postgres.deletions`.

-- name: begin_deletion
-- The batch is forgotten at once, and what arrives of it later is refused; its rows follow by and by. Nothing is done if
-- a later round than $2 has begun, unless $3.
WITH later AS (
    SELECT 1 FROM batches WHERE batch_id = $1 AND round > $2 AND NOT $3::boolean FOR UPDATE
), noted AS (
    INSERT INTO withdrawn (batch_id) SELECT $1 WHERE NOT EXISTS (SELECT 1 FROM later) ON CONFLICT DO NOTHING
), gone AS (
    DELETE FROM batches WHERE batch_id = $1 AND NOT EXISTS (SELECT 1 FROM later)
), requested AS (
    INSERT INTO deletions (key, plan) SELECT $1, $4 WHERE NOT EXISTS (SELECT 1 FROM later) ON CONFLICT DO NOTHING
)
SELECT NOT EXISTS (SELECT 1 FROM later)

-- name: delete_pages
DELETE FROM pages WHERE ctid = ANY (ARRAY(SELECT ctid FROM pages WHERE batch_id = $1 ORDER BY page, segment LIMIT $2))

-- name: delete_orphaned_pages
-- Nothing if the header of the batch has come after all.
DELETE FROM pages WHERE NOT EXISTS (SELECT 1 FROM batches WHERE batch_id = $1)
    AND ctid = ANY (ARRAY(SELECT ctid FROM pages WHERE batch_id = $1 ORDER BY page, segment LIMIT $2))

-- name: delete_retries
DELETE FROM retries WHERE ctid = ANY (ARRAY(SELECT ctid FROM retries WHERE batch_id = $1 ORDER BY ordinal LIMIT $2))

-- name: delete_patched
DELETE FROM patched WHERE ctid = ANY (ARRAY(SELECT ctid FROM patched WHERE batch_id = $1 ORDER BY ordinal LIMIT $2))

-- name: delete_leases
DELETE FROM leases WHERE ctid = ANY (ARRAY(SELECT ctid FROM leases WHERE batch_id = $1 LIMIT $2))

-- name: delete_dropped
DELETE FROM dropped WHERE ctid = ANY (ARRAY(SELECT ctid FROM dropped WHERE batch_id = $1 ORDER BY ordinal LIMIT $2))

-- name: delete_steering
DELETE FROM steering WHERE ctid = ANY (ARRAY(SELECT ctid FROM steering WHERE batch_id = $1 LIMIT $2))

-- name: delete_terms
DELETE FROM terms WHERE ctid = ANY (ARRAY(SELECT ctid FROM terms WHERE batch_id = $1 ORDER BY name LIMIT $2))

-- name: orphaned_batches
-- The next $2 batches with pages after the batch $1, by id, each found by one look into the index. `orphaned`: their
-- header never came, and all their pages are older than $3 days.
WITH RECURSIVE stored (batch_id) AS (
    (SELECT batch_id FROM pages WHERE batch_id > $1 ORDER BY batch_id LIMIT 1)
    UNION ALL
    SELECT (SELECT pages.batch_id FROM pages WHERE pages.batch_id > stored.batch_id ORDER BY pages.batch_id LIMIT 1)
    FROM stored WHERE stored.batch_id IS NOT NULL
)
SELECT batch_id, CASE WHEN EXISTS (SELECT 1 FROM batches WHERE batches.batch_id = stored.batch_id) THEN false
    ELSE (SELECT max(stored_at) FROM pages WHERE pages.batch_id = stored.batch_id)
        < now() - $3::float8 * interval '1 day' END AS orphaned
FROM stored WHERE batch_id IS NOT NULL LIMIT $2

-- name: delete_leftovers
-- At most $2 rows of each kind: controls and terms whose batch never came, and marks of withdrawn batches, older than $1
-- days; claims that have expired.
WITH old AS (SELECT now() - $1::float8 * interval '1 day' AS at),
no_steering AS (
    DELETE FROM steering WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM steering WHERE stored_at < (SELECT at FROM old)
            AND NOT EXISTS (SELECT 1 FROM batches WHERE batches.batch_id = steering.batch_id) LIMIT $2
    )) RETURNING 1
), no_terms AS (
    DELETE FROM terms WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM terms WHERE terms.at < (SELECT old.at FROM old)
            AND NOT EXISTS (SELECT 1 FROM batches WHERE batches.batch_id = terms.batch_id) LIMIT $2
    )) RETURNING 1
), no_withdrawn AS (
    DELETE FROM withdrawn WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM withdrawn WHERE withdrawn.at < (SELECT old.at FROM old) LIMIT $2
    )) RETURNING 1
), no_claims AS (
    DELETE FROM claims WHERE ctid = ANY (ARRAY(SELECT ctid FROM claims WHERE expires_at < now() LIMIT $2)) RETURNING 1
)
SELECT (SELECT count(*) FROM no_steering) + (SELECT count(*) FROM no_terms) + (SELECT count(*) FROM no_withdrawn)
    + (SELECT count(*) FROM no_claims)
