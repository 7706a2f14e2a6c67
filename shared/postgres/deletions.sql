-- Statements on the table `deletions` of a service's schema; its migrations create it:
-- key, plan, deleted, requested_at, due_at.

-- name: request
INSERT INTO deletions (key, plan) SELECT key, $2 FROM unnest($1::uuid[]) AS asked (key) ON CONFLICT DO NOTHING

-- name: next
-- The deletion that is due first; each process of a service works on another one.
SELECT key, plan, deleted FROM deletions WHERE due_at <= now() ORDER BY due_at, key LIMIT 1 FOR UPDATE SKIP LOCKED

-- name: record
UPDATE deletions SET deleted = $3::jsonb WHERE key = $1 AND plan = $2

-- name: postpone
UPDATE deletions SET due_at = now() + interval '1 minute' WHERE key = $1 AND plan = $2

-- name: end
DELETE FROM deletions WHERE key = $1 AND plan = $2
