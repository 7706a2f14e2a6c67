-- name: find_limits
SELECT owner, limits FROM owner_limits ORDER BY owner

-- name: lock_limits
-- Nobody else changes the limits of this owner until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('owner_limits ' || $1::text, 0))

-- name: get_limits
SELECT limits FROM owner_limits WHERE owner = $1

-- name: count_limits
SELECT count(*) FROM owner_limits

-- name: set_limits
INSERT INTO owner_limits (owner, limits) VALUES ($1, $2::jsonb)
ON CONFLICT (owner) DO UPDATE SET limits = excluded.limits, changed_at = now()

-- name: delete_limits
DELETE FROM owner_limits WHERE owner = $1

-- name: next_weight
SELECT nextval('owner_weight_changes')
