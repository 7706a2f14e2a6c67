-- fragment: batch_columns
batch_id, owner, workload, priority, name, labels, notify, terms, reuse, state, accepted_at, items, bytes, pages,
    next_sequence, idempotency_key, message_id, digest, traceparent, sent_items, sent_pages, sent_digest, sourced,
    round, done, controlled_at, metadata

-- name: insert_batches
-- Inserts batches, those of which no identity is taken, with their messages in order. No two have one id.
WITH header AS (
    INSERT INTO batches (batch_id, owner, workload, priority, name, labels, notify, state, items, bytes, pages,
                         idempotency_key, message_id, digest, traceparent, accepted_at, terms, reuse, sourced,
                         metadata)
    SELECT * FROM unnest(
        $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::json[], $7::json[], $8::text[], $9::bigint[],
        $10::bigint[], $11::int[], $12::text[], $13::text[], $14::bytea[], $15::text[], $16::timestamptz[], $17::json[],
        $18::json[], $19::text[], $36::json[]
    )
    ON CONFLICT DO NOTHING
    RETURNING batch_id, owner, workload, items, name, traceparent
), posted AS (
    INSERT INTO outbox (exchange, routing_key, type, body, traceparent, key)
    SELECT exchange, routing_key, type, body, traceparent, key FROM unnest(
        $20::uuid[], $21::text[], $22::text[], $23::text[], $24::bytea[], $25::text[], $26::text[]
    ) WITH ORDINALITY AS new (batch_id, exchange, routing_key, type, body, traceparent, key, place)
    WHERE batch_id IN (SELECT batch_id FROM header)
    ORDER BY place
    RETURNING id
), audited AS (
    INSERT INTO audit (owner, actor, key_id, door, address, trace, action, object, after)
    SELECT owner, actor, key_id, door, address, traceparent, 'batch.submit', batch_id::text,
           jsonb_strip_nulls(jsonb_build_object('workload', workload, 'items', items, 'name', name))
    FROM header JOIN unnest($1::uuid[], $27::text[], $28::text[], $29::text[], $30::text[])
        AS new (batch_id, actor, key_id, door, address) USING (batch_id)
), followed AS (
    INSERT INTO follow_ups (batch_id, place, owner, form)
    SELECT batch_id, place, owner, form FROM header JOIN unnest($31::uuid[], $32::int[], $33::json[])
        AS new (batch_id, place, form) USING (batch_id)
), remote AS (
    INSERT INTO remote_files (batch_id, owner, form)
    SELECT batch_id, owner, form FROM header JOIN unnest($34::uuid[], $35::json[]) AS new (batch_id, form) USING (batch_id)
)
SELECT array(SELECT batch_id FROM header) AS batch_ids, array(SELECT id FROM posted ORDER BY id) AS ids

-- name: open_upload
WITH header AS (
    INSERT INTO batches (batch_id, owner, workload, priority, name, labels, notify, state, items, bytes, pages,
                         idempotency_key, message_id, digest, traceparent, accepted_at, terms, reuse, sourced,
                         sent_items, sent_pages, sent_digest, receiver, lease_until, metadata)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
            $9, $11, $14, $20, now() + $21::interval, $33::json)
    ON CONFLICT DO NOTHING
    RETURNING batch_id
), posted AS (
    INSERT INTO outbox (exchange, routing_key, type, body, traceparent, key)
    SELECT exchange, routing_key, type, body, new.traceparent, key FROM header CROSS JOIN unnest(
        $22::text[], $23::text[], $24::text[], $25::bytea[], $26::text[], $27::text[]
    ) WITH ORDINALITY AS new (exchange, routing_key, type, body, traceparent, key, place)
    ORDER BY place
    RETURNING id
), audited AS (
    INSERT INTO audit (owner, actor, key_id, door, address, trace, action, object, after)
    SELECT $2, $28::text, $29::text, $30::text, $31::text, $15, 'batch.submit', batch_id::text,
           jsonb_strip_nulls(jsonb_build_object('workload', $3::text, 'items', $9::bigint, 'name', $5::text))
    FROM header
), followed AS (
    INSERT INTO follow_ups (batch_id, place, owner, form)
    SELECT batch_id, place - 1, $2, form FROM header CROSS JOIN unnest($32::json[]) WITH ORDINALITY AS new (form, place)
)
SELECT array(SELECT id FROM posted ORDER BY id) FROM header

-- name: resume_upload
UPDATE batches SET receiver = $2, lease_until = now() + $3::interval
WHERE batch_id = $1 AND state = 'open' AND sent_digest IS NOT NULL
  AND (lease_until IS NULL OR lease_until < now())
RETURNING {batch_columns}, true AS leased

-- name: renew_leases
UPDATE batches SET lease_until = now() + $2::interval WHERE receiver = ANY ($1::uuid[])

-- name: assign_pages
UPDATE batches SET sent_items = $3, sent_pages = $4, sent_digest = $5, items = $6, pages = $7, digest = $8,
                   bytes = greatest(bytes, $9), grown_at = now()
WHERE batch_id = $1 AND receiver = $2 AND state = 'open'
RETURNING batch_id

-- name: suspend_upload
WITH header AS (
    UPDATE batches SET sent_items = $3, sent_pages = $4, sent_digest = $5, items = $6, pages = $7, digest = $8,
                       bytes = greatest(bytes, $9),
                       grown_at = CASE WHEN items < $6 THEN now() ELSE grown_at END,
                       receiver = NULL, lease_until = NULL
    WHERE batch_id = $1 AND receiver = $2 AND state = 'open'
    RETURNING batch_id, traceparent
), posted AS (
    INSERT INTO outbox (exchange, routing_key, type, body, traceparent, key)
    SELECT exchange, routing_key, type, body, new.traceparent, key FROM header CROSS JOIN unnest(
        $10::text[], $11::text[], $12::text[], $13::bytea[], $14::text[], $15::text[]
    ) WITH ORDINALITY AS new (exchange, routing_key, type, body, traceparent, key, place)
    ORDER BY place
    RETURNING id
)
SELECT array(SELECT id FROM posted ORDER BY id) FROM header

-- name: seal_upload
WITH header AS (
    UPDATE batches SET state = 'sealed', items = $3, pages = $4, digest = $5, bytes = $6, grown_at = now(),
                       sent_items = NULL, sent_pages = NULL, sent_digest = NULL, receiver = NULL, lease_until = NULL
    WHERE batch_id = $1 AND receiver = $2 AND state = 'open'
    RETURNING batch_id, traceparent
), posted AS (
    INSERT INTO outbox (exchange, routing_key, type, body, traceparent, key)
    SELECT exchange, routing_key, type, body, new.traceparent, key FROM header CROSS JOIN unnest(
        $7::text[], $8::text[], $9::text[], $10::bytea[], $11::text[], $12::text[]
    ) WITH ORDINALITY AS new (exchange, routing_key, type, body, traceparent, key, place)
    ORDER BY place
    RETURNING id
)
SELECT array(SELECT id FROM posted ORDER BY id) FROM header

-- name: lock_idle_batch
SELECT {batch_columns}, false AS leased FROM batches
WHERE state = 'open' AND grown_at < now() - $1::interval AND (lease_until IS NULL OR lease_until < now())
ORDER BY grown_at LIMIT 1 FOR UPDATE SKIP LOCKED

-- name: find_by_identity
SELECT {batch_columns}, coalesce(lease_until > now(), false) AS leased FROM batches
WHERE batch_id = $1
   OR (owner = $2 AND idempotency_key = $3 AND state <> 'withdrawn')
   OR (owner = $2 AND message_id = $4)

-- name: get_batch
SELECT {batch_columns}, false AS leased FROM batches WHERE batch_id = $1 AND owner = $2 AND state IN ('open', 'sealed')

-- name: lock_batch
SELECT {batch_columns}, coalesce(lease_until > now(), false) AS leased FROM batches
WHERE batch_id = $1 AND ($2::text IS NULL OR owner = $2) AND state IN ('open', 'sealed') FOR UPDATE

-- name: get_append
SELECT digest FROM appends WHERE batch_id = $1 AND sequence = $2

-- name: insert_append
WITH taken AS (
    INSERT INTO appends (batch_id, sequence, digest) VALUES ($1, $2, $3)
)
UPDATE batches SET items = $4, pages = $5, bytes = $6, next_sequence = $2 + 1, grown_at = now(),
                   sent_items = NULL, sent_pages = NULL, sent_digest = NULL
WHERE batch_id = $1

-- name: seal_batch
UPDATE batches SET state = 'sealed', sent_items = NULL, sent_pages = NULL, sent_digest = NULL, receiver = NULL,
                   lease_until = NULL
WHERE batch_id = $1

-- name: change_priority
UPDATE batches SET priority = $2 WHERE batch_id = $1

-- name: start_round
UPDATE batches SET round = $2, done = false, ended = greatest(0, ended - $3), heard_at = now(),
                   payloads_deleted_at = NULL, deliveries_deleted_at = NULL
WHERE batch_id = $1 AND round < $2

-- name: next_control_time
-- Later than the acceptance and every earlier command of the batch. The caller has locked the row.
UPDATE batches SET controlled_at = greatest(
    clock_timestamp(), accepted_at + interval '1 microsecond', controlled_at + interval '1 microsecond'
)
WHERE batch_id = $1
RETURNING controlled_at

-- name: insert_control
INSERT INTO controls (owner, command_id, batch_id, digest) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
RETURNING command_id

-- name: get_control
SELECT digest FROM controls WHERE owner = $1 AND command_id = $2

-- name: delete_old_controls
DELETE FROM controls WHERE at < now() - interval '7 days'

-- name: forget_message_ids
-- A message id is an identity for as long as a sender may repeat its message.
UPDATE batches SET message_id = NULL
WHERE batch_id IN (
    SELECT batch_id FROM batches
    WHERE message_id IS NOT NULL AND accepted_at < now() - interval '7 days'
    LIMIT 100000
)

-- name: insert_messages
INSERT INTO outbox (exchange, routing_key, type, body, traceparent, key)
SELECT exchange, routing_key, type, body, traceparent, key
FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[])
    WITH ORDINALITY AS new (exchange, routing_key, type, body, traceparent, key, place)
ORDER BY place
RETURNING id

-- name: register_workload
-- The announcement that arrives last holds. One that is delivered again ($6) replaces none of a worker that started later.
INSERT INTO workloads (name, version, manifest, worker_id, announced_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO UPDATE
SET version = excluded.version, manifest = excluded.manifest, worker_id = excluded.worker_id,
    announced_at = excluded.announced_at
WHERE NOT $6 OR workloads.announced_at <= excluded.announced_at

-- name: get_workloads
SELECT name, version, manifest, announced_at FROM workloads

-- name: waiting_items
SELECT owner, sum(items - ended)::bigint AS items,
    coalesce(sum(bytes::float8 * (items - ended) / nullif(items, 0)), 0)::bigint AS bytes, count(*)::int AS batches,
    count(*) FILTER (WHERE state = 'open')::int AS open FROM batches
WHERE NOT done AND state IN ('open', 'sealed') GROUP BY owner

-- name: record_progress
UPDATE batches SET round = new.round, done = new.done, ended = new.ended, result = new.result, heard_at = now()
FROM unnest($1::uuid[], $2::int[], $3::boolean[], $4::bigint[], $5::text[])
    AS new (batch_id, round, done, ended, result)
WHERE batches.batch_id = new.batch_id AND (batches.round, batches.done, batches.ended) < (new.round, new.done, new.ended)

-- name: claim_stale_batches
UPDATE batches SET heard_at = now()
WHERE batch_id IN (
    SELECT batch_id FROM batches
    WHERE NOT done AND state IN ('open', 'sealed') AND heard_at < now() - $1::interval
    ORDER BY heard_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
RETURNING batch_id, owner, round

-- name: undo_rounds
-- Takes back rounds that were requested and that the aggregator did not open.
UPDATE batches SET round = new.round, done = true, ended = new.ended
FROM unnest($1::uuid[], $2::int[], $3::int[], $4::bigint[]) AS new (batch_id, requested, round, ended)
WHERE batches.batch_id = new.batch_id AND batches.round = new.requested AND NOT done

-- name: register_notifier
INSERT INTO notifier (announcement) VALUES ($1)
ON CONFLICT (only_row) DO UPDATE SET announcement = excluded.announcement

-- name: get_notifier
SELECT announcement FROM notifier
