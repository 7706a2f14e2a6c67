-- Statements on the table `outbox` of a service's schema; its migrations create it:
-- id, key, exchange, routing_key, type, body, traceparent, created_at, due_at, sent_at, reason.
-- Until `due_at` only the process that wrote a message publishes it, afterwards any process does. `reason` says why a
-- message was set aside; with `due_at` 'infinity' it waits for an operator: UPDATE outbox SET due_at = now(), reason = NULL.

-- name: late_messages
SELECT id, exchange, routing_key, type, body, traceparent, key FROM outbox
WHERE sent_at IS NULL AND (due_at <= now() OR (id = ANY ($1::bigint[]) AND reason IS NULL))
ORDER BY id
LIMIT $2;

-- name: confirm
-- A message with a key stays for a week, so that its fact is not published again under the same key.
WITH kept AS (UPDATE outbox SET sent_at = now(), reason = NULL WHERE id = ANY ($1::bigint[]) AND key IS NOT NULL)
DELETE FROM outbox WHERE id = ANY ($1::bigint[]) AND key IS NULL;

-- name: set_aside
UPDATE outbox SET reason = $2, due_at = coalesce(now() + $3::interval, 'infinity') WHERE id = $1;

-- name: unsent_messages
SELECT id FROM outbox WHERE id = ANY ($1::bigint[]) AND sent_at IS NULL AND reason IS NULL;

-- name: count_unsent
SELECT count(*) FROM (SELECT FROM outbox WHERE sent_at IS NULL AND reason IS NULL LIMIT $1) AS counted;

-- name: delete_sent
DELETE FROM outbox WHERE sent_at < now() - interval '7 days';

-- name: lock_relay
-- One process of a service relays at a time, so that the order is kept.
SELECT pg_try_advisory_xact_lock(hashtext('batchyard.outbox.' || current_schema()));
