-- fragment: key_columns
id, owner, name, hint, scopes, created_at, created_by, expires_at, revoked_at, replaced_by, last_used_at, last_used_from

-- name: count_change
INSERT INTO identity_changes (number) VALUES (1)
ON CONFLICT (only_row) DO UPDATE SET number = identity_changes.number + 1

-- name: changes
SELECT coalesce(max(number), 0) FROM identity_changes

-- name: find_key
SELECT {key_columns} FROM api_keys WHERE sha256 = $1

-- name: find_session
-- The key of a session that has not ended, with the times at which the session ends by itself: $2 after its last use.
SELECT key_id, sessions.expires_at AS session_expires_at, used_at + $2::interval AS session_idle_at
FROM sessions WHERE sha256 = $1

-- name: get_key
SELECT {key_columns} FROM api_keys WHERE id = $1

-- name: list_keys
SELECT {key_columns} FROM api_keys WHERE ($1::text IS NULL OR owner = $1) ORDER BY owner, created_at, id LIMIT $2

-- name: lock_owner_keys
SELECT pg_advisory_xact_lock(hashtextextended('api_keys ' || $1::text, 0))

-- name: count_keys
SELECT count(*) FROM api_keys WHERE owner = $1

-- name: insert_key
INSERT INTO api_keys (id, owner, name, sha256, hint, scopes, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING
RETURNING {key_columns}

-- name: lock_key
SELECT {key_columns} FROM api_keys WHERE id = $1 AND ($2::text IS NULL OR owner = $2) FOR UPDATE

-- name: replace_key
UPDATE api_keys SET replaced_by = $2, expires_at = least(expires_at, $3) WHERE id = $1

-- name: hand_over_schedules
UPDATE schedules SET key_id = $2 WHERE key_id = $1

-- name: revoke_key
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 RETURNING {key_columns}

-- name: record_use
UPDATE api_keys SET last_used_at = new.at, last_used_from = new.address
FROM unnest($1::text[], $2::timestamptz[], $3::text[]) AS new (id, at, address)
WHERE api_keys.id = new.id AND (last_used_at IS NULL OR last_used_at < new.at)

-- name: record_session_use
UPDATE sessions SET used_at = new.at
FROM unnest($1::bytea[], $2::timestamptz[]) AS new (sha256, at)
WHERE sessions.sha256 = new.sha256 AND used_at < new.at

-- name: delete_ended_keys
DELETE FROM api_keys WHERE least(expires_at, revoked_at) < now() - $1::interval

-- name: insert_session
INSERT INTO sessions (sha256, key_id, expires_at) VALUES ($1, $2, $3)

-- name: delete_session
DELETE FROM sessions WHERE sha256 = $1

-- name: delete_surplus_sessions
-- The sessions of a key beyond the $2 newest ones.
DELETE FROM sessions WHERE sha256 IN (
    SELECT sha256 FROM sessions WHERE key_id = $1 ORDER BY created_at DESC OFFSET $2
)

-- name: delete_ended_sessions
DELETE FROM sessions WHERE expires_at < now() OR used_at < now() - $1::interval

-- name: tell_expiring_keys
-- Keys that end within one of the times $1, which begins with the longest, and of which that was not told yet. A key
-- that was made for a shorter time than one of them is not told of for that one.
UPDATE api_keys SET expiry_told_at = now()
WHERE id IN (
    SELECT id FROM api_keys, unnest($1::interval[]) AS ahead
    WHERE revoked_at IS NULL AND replaced_by IS NULL AND now() >= expires_at - ahead AND now() < expires_at
        AND created_at < expires_at - ahead
        AND (expiry_told_at IS NULL OR expiry_told_at < expires_at - ahead)
    LIMIT $2 FOR UPDATE OF api_keys SKIP LOCKED
)
RETURNING {key_columns}

-- name: insert_link
INSERT INTO sign_in_links (sha256, key_id, expires_at) VALUES ($1, $2, $3)

-- name: delete_surplus_links
-- The links of a key beyond the $2 newest ones.
DELETE FROM sign_in_links WHERE sha256 IN (
    SELECT sha256 FROM sign_in_links WHERE key_id = $1 ORDER BY created_at DESC OFFSET $2
)

-- name: take_link
DELETE FROM sign_in_links WHERE sha256 = $1 RETURNING key_id, expires_at

-- name: delete_ended_links
DELETE FROM sign_in_links WHERE expires_at < now()
