-- fragment: batch_columns
id, batch_id, owner, workload, name, labels, accepted_at, traceparent, summarize, sourced, unit, notify, metadata, priority,
    status, round, total, succeeded, failed, cancelled, expired, duplicate, cached, units, units_total, paused, result, finished_at,
    changed_at, paused_or_resumed_at, priority_changed_at, cancel_asked_at, retry_asked_at, reopened_at, terms, stopped,
    failed_before, ended_before, summary_due_at, summary_asked, version, stuck_version, outcomes_deleted_at,
    deleted_at

-- name: create_stubs
INSERT INTO batches (batch_id)
SELECT unnest($1::uuid[])
ON CONFLICT (batch_id) DO NOTHING;

-- name: lock_batches
-- Locks in the order of keys, so that two processes never deadlock on the same batches.
SELECT {batch_columns} FROM batches WHERE batch_id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE;

-- name: save_batches
-- Saves batches, and for each the order of the outcomes that were recorded with it: the ordinals $31 from $29 to $30.
WITH saved AS (
    UPDATE batches
    SET priority = new.priority, status = new.status, round = new.round, total = new.total,
        succeeded = new.succeeded, failed = new.failed, cancelled = new.cancelled, expired = new.expired,
        duplicate = new.duplicate, paused = new.paused, result = new.result, finished_at = new.finished_at,
        changed_at = coalesce(new.changed_at, batches.changed_at), paused_or_resumed_at = new.paused_or_resumed_at,
        priority_changed_at = new.priority_changed_at, cancel_asked_at = new.cancel_asked_at,
        retry_asked_at = new.retry_asked_at, reopened_at = new.reopened_at, terms = new.terms, stopped = new.stopped,
        failed_before = new.failed_before, ended_before = new.ended_before, cached = new.cached,
        summary_due_at = new.summary_due_at, summary_asked = new.summary_asked, units = new.units,
        units_total = new.units_total, version = version + 1
    FROM unnest(
        $1::bigint[], $2::text[], $3::text[], $4::int[], $5::int[], $6::int[], $7::int[], $8::int[], $9::int[], $10::int[],
        $11::boolean[], $12::text[], $13::timestamptz[], $14::timestamptz[], $15::timestamptz[], $16::timestamptz[],
        $17::timestamptz[], $18::timestamptz[], $19::timestamptz[], $20::text[], $21::text[], $22::int[], $23::int[],
        $24::int[], $25::timestamptz[], $26::int[], $27::bigint[], $28::bigint[]
    ) AS new (
        id, priority, status, round, total, succeeded, failed, cancelled, expired, duplicate, paused, result, finished_at,
        changed_at, paused_or_resumed_at, priority_changed_at, cancel_asked_at, retry_asked_at, reopened_at, terms, stopped,
        failed_before, ended_before, cached, summary_due_at, summary_asked, units, units_total
    )
    WHERE batches.id = new.id
    RETURNING batches.id, batches.version, batches.round
)
INSERT INTO completions (batch, version, round, ordinals)
SELECT saved.id, version, round, ($31::int[])[first:last]
FROM saved JOIN unnest($1::bigint[], $29::int[], $30::int[]) AS recorded (id, first, last) USING (id)
WHERE first <= last;

-- name: create_batches
-- Inserts batches with their headers, those that do not exist.
INSERT INTO batches (
    batch_id, owner, workload, name, labels, accepted_at, traceparent, summarize, sourced, unit, notify, metadata,
    priority, status, total, terms
)
SELECT * FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[], $8::boolean[],
    $9::boolean[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::int[], $16::text[]
)
ON CONFLICT (batch_id) DO NOTHING
RETURNING batch_id, id, changed_at;

-- name: record_few
-- Inserts new outcomes and outbox messages and updates their batches, except those that have changed since version $2. The
-- outcomes of a batch are those from place $39 to $40.
-- Returns the key of each updated batch, and the id and the key of each message.
WITH locked AS (
    SELECT id, version FROM batches WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE
), changed AS (
    UPDATE batches
    SET status = new.status, succeeded = new.succeeded, failed = new.failed, cancelled = new.cancelled,
        expired = new.expired, duplicate = new.duplicate, cached = new.cached, result = new.result,
        finished_at = new.finished_at, changed_at = new.changed_at, stopped = new.stopped,
        summary_due_at = new.summary_due_at, summary_asked = new.summary_asked, version = batches.version + 1
    FROM locked JOIN unnest(
        $1::bigint[], $2::int[], $3::text[], $4::int[], $5::int[], $6::int[], $7::int[], $8::int[], $9::int[],
        $10::text[], $11::timestamptz[], $12::timestamptz[], $13::text[], $14::timestamptz[], $15::int[]
    ) AS new (
        id, version, status, succeeded, failed, cancelled, expired, duplicate, cached, result, finished_at, changed_at,
        stopped, summary_due_at, summary_asked
    ) ON locked.id = new.id AND locked.version = new.version
    WHERE batches.id = locked.id
    RETURNING batches.id, batches.version, batches.round
), recorded AS (
    INSERT INTO outcomes (
        batch, ordinal, round, attempts, elapsed_ms, duplicate_of, cached, status,
        custom_id, error_code, error_message, error_scope, result, duplicate_of_batch, stored_sha256, stored_bytes
    )
    SELECT new.* FROM unnest(
        $16::bigint[], $17::int[], $18::int[], $19::int[], $20::int[], $21::int[], $22::boolean[], $23::text[],
        $24::text[], $25::text[], $26::text[], $27::text[], $28::bytea[], $29::uuid[], $30::bytea[], $31::int[]
    ) AS new (batch) JOIN changed ON changed.id = new.batch
), completed AS (
    INSERT INTO completions (batch, version, round, ordinals)
    SELECT id, version, round, ($17::int[])[first:last]
    FROM changed JOIN unnest($1::bigint[], $39::int[], $40::int[]) AS own (id, first, last) USING (id)
), posted AS (
    INSERT INTO outbox (exchange, routing_key, type, body, traceparent, key)
    SELECT new.exchange, new.routing_key, new.type, new.body, new.traceparent, new.key FROM unnest(
        $32::bigint[], $33::text[], $34::text[], $35::text[], $36::bytea[], $37::text[], $38::text[]
    ) WITH ORDINALITY AS new (batch, exchange, routing_key, type, body, traceparent, key, place)
    JOIN changed ON changed.id = new.batch
    ORDER BY new.place
    RETURNING id, key
)
SELECT id AS batch, NULL AS message, NULL AS key FROM changed UNION ALL SELECT NULL, id, key FROM posted;

-- name: save_header
UPDATE batches
SET owner = $2, workload = $3, name = $4, labels = $5, accepted_at = $6, traceparent = $7, summarize = $8, sourced = $9,
    unit = $10, notify = $11, metadata = $12
WHERE id = $1;

-- name: delete_stub
-- Deletes a batch whose submission was withdrawn before its header arrived.
WITH gone AS (DELETE FROM batches WHERE batch_id = $1 AND owner IS NULL AND deleted_at IS NULL RETURNING id),
no_causes AS (DELETE FROM causes WHERE batch IN (SELECT id FROM gone)),
no_failures AS (DELETE FROM failures WHERE batch IN (SELECT id FROM gone)),
no_completions AS (DELETE FROM completions WHERE batch IN (SELECT id FROM gone))
DELETE FROM outcomes WHERE batch IN (SELECT id FROM gone);

-- name: insert_new_outcomes
-- Inserts outcomes that were not recorded before, and returns them.
INSERT INTO outcomes (
    batch, ordinal, round, attempts, elapsed_ms, duplicate_of, cached, status,
    custom_id, error_code, error_message, error_scope, result, duplicate_of_batch, stored_sha256, stored_bytes
)
SELECT * FROM unnest(
    $1::bigint[], $2::int[], $3::int[], $4::int[], $5::int[], $6::int[], $7::boolean[], $8::text[],
    $9::text[], $10::text[], $11::text[], $12::text[], $13::bytea[],
    $14::uuid[], $15::bytea[], $16::int[]
)
ON CONFLICT (batch, ordinal) DO NOTHING
RETURNING batch, ordinal, status, cached;

-- name: remove_selected
-- Moves the selected outcomes that a new round replaces, except the ordinals $8, to `earlier_outcomes`, and deletes their
-- failures.
WITH gone AS (
    DELETE FROM outcomes
    WHERE batch = $1 AND status <> 'succeeded' AND ordinal <> ALL ($8::int[])
        AND ordinal IN (SELECT ordinal FROM chosen($1, $2, $3, $4, $5, $6, $7, -1))
    RETURNING *
), kept AS (
    INSERT INTO earlier_outcomes (
        batch, ordinal, round, attempts, elapsed_ms, duplicate_of, recorded_at, cached, status, custom_id, error_code,
        error_message, error_scope, result, duplicate_of_batch, stored_sha256, stored_bytes, cause
    )
    SELECT gone.batch, gone.ordinal, round, attempts, elapsed_ms, duplicate_of, recorded_at, cached, status, custom_id,
        error_code, error_message, error_scope, result, duplicate_of_batch, stored_sha256, stored_bytes, cause
    FROM gone LEFT JOIN failures ON failures.batch = gone.batch AND failures.ordinal = gone.ordinal
), no_failures AS (
    DELETE FROM failures USING gone WHERE failures.batch = $1 AND failures.ordinal = gone.ordinal RETURNING cause
), fewer AS (
    UPDATE causes SET number = causes.number - gone.number
    FROM (SELECT cause, count(*) AS number FROM no_failures GROUP BY cause) AS gone
    WHERE causes.batch = $1 AND causes.cause = gone.cause
)
SELECT ordinal, status FROM gone ORDER BY ordinal;

-- name: accept_selected
-- Turns the selected failures whose result was refused, and is kept, into successes of round $8, which the batch has in its
-- version $9; returns their number. As failures they stay in `earlier_outcomes`.
WITH selected AS (
    SELECT ordinal FROM outcomes
    WHERE batch = $1 AND status <> 'succeeded' AND error_code = 'invalid_result'
        AND (result IS NOT NULL OR stored_sha256 IS NOT NULL)
        AND ordinal IN (SELECT ordinal FROM chosen($1, $2, $3, $4, $5, $6, $7, -1))
), kept AS (
    INSERT INTO earlier_outcomes (
        batch, ordinal, round, attempts, elapsed_ms, duplicate_of, recorded_at, cached, status, custom_id, error_code,
        error_message, error_scope, result, duplicate_of_batch, stored_sha256, stored_bytes, cause
    )
    SELECT outcomes.batch, outcomes.ordinal, round, attempts, elapsed_ms, duplicate_of, recorded_at, cached, status,
        custom_id, error_code, error_message, error_scope, result, duplicate_of_batch, stored_sha256, stored_bytes,
        cause
    FROM selected JOIN outcomes ON outcomes.batch = $1 AND outcomes.ordinal = selected.ordinal
        LEFT JOIN failures ON failures.batch = $1 AND failures.ordinal = selected.ordinal
), accepted AS (
    UPDATE outcomes SET status = 'succeeded', round = $8, error_code = NULL, error_message = NULL, error_scope = NULL
    FROM selected WHERE outcomes.batch = $1 AND outcomes.ordinal = selected.ordinal
    RETURNING outcomes.ordinal
), completed AS (
    INSERT INTO completions (batch, version, round, ordinals)
    SELECT $1, $9::int, $8, array_agg(ordinal ORDER BY ordinal) FROM accepted HAVING count(*) > 0
), no_failures AS (
    DELETE FROM failures USING accepted WHERE failures.batch = $1 AND failures.ordinal = accepted.ordinal RETURNING cause
), fewer AS (
    UPDATE causes SET number = causes.number - accepted.number
    FROM (SELECT cause, count(*) AS number FROM no_failures GROUP BY cause) AS accepted
    WHERE causes.batch = $1 AND causes.cause = accepted.cause
)
SELECT count(*) FROM accepted;

-- name: delete_empty_causes
DELETE FROM causes WHERE batch = $1 AND number = 0;

-- name: selected_ordinals
SELECT ordinal FROM chosen($1, $2, $3, $4, $5, $6, $7, $8) ORDER BY ordinal LIMIT $9;

-- name: count_selected
SELECT count(*) FROM chosen($1, $2, $3, $4, $5, $6, $7, -1);

-- name: count_outcomes
SELECT status, count(*) AS number FROM outcomes WHERE batch = $1 GROUP BY status
UNION ALL
SELECT 'cached', count(*) FROM outcomes WHERE batch = $1 AND cached;

-- name: source_failed
SELECT true FROM outcomes WHERE batch = $1 AND ordinal = 0 AND status <> 'succeeded';

-- name: recorded_ordinals
SELECT ordinal FROM outcomes WHERE batch = $1 AND ordinal = ANY ($2::int[]);

-- name: failed_codes
SELECT code, sum(number)::int AS number FROM causes WHERE batch = $1 AND code = ANY ($2::text[]) GROUP BY code;

-- name: failed_codes_of_round
-- For later rounds: leaves out items that failed in an earlier round and are not run again.
SELECT error_code AS code, count(*)::int AS number FROM outcomes
WHERE batch = $1 AND status <> 'succeeded' AND status = 'failed' AND error_code = ANY ($2::text[]) AND round = $3
GROUP BY error_code;

-- name: add_to_outbox
INSERT INTO outbox (exchange, routing_key, type, body, traceparent, key)
SELECT exchange, routing_key, type, body, traceparent, key
FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[])
    WITH ORDINALITY AS new (exchange, routing_key, type, body, traceparent, key, place)
ORDER BY place
ON CONFLICT (key) DO NOTHING
RETURNING id, key;

-- name: lock_idle_batch
-- An unfinished batch without a change for $1 seconds that was not checked since its last change, or for an hour.
SELECT {batch_columns} FROM batches
WHERE finished_at IS NULL
    AND changed_at < now() - $1::float8 * interval '1 second'
    AND (checked_at IS NULL OR checked_at < changed_at OR checked_at < now() - interval '1 hour')
ORDER BY id
LIMIT 1
FOR UPDATE SKIP LOCKED;

-- name: idle_batches
-- Unfinished batches after the key $2 without a change for $1 seconds, except those that lack only their summary.
SELECT {batch_columns} FROM batches
WHERE finished_at IS NULL AND summary_due_at IS NULL AND id > $2 AND changed_at < now() - $1::float8 * interval '1 second'
ORDER BY id LIMIT $3;

-- name: mark_stuck
UPDATE batches SET stuck_version = version WHERE id = $1;

-- name: send_again
UPDATE outbox SET sent_at = NULL, due_at = now() WHERE key = ANY ($1::text[]) AND sent_at IS NOT NULL;

-- name: missing_ordinals
SELECT ordinal FROM generate_series($3::int, $2::int - 1) AS wanted (ordinal)
WHERE NOT EXISTS (SELECT 1 FROM outcomes WHERE batch = $1 AND outcomes.ordinal = wanted.ordinal)
ORDER BY ordinal LIMIT $4;

-- name: lock_due_summary
SELECT {batch_columns} FROM batches WHERE summary_due_at <= $1 ORDER BY summary_due_at LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: save_summary
INSERT INTO summaries (batch, round, summary, error) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

-- name: summaries
-- The summaries of the batches' current rounds.
SELECT id, summary, error FROM summaries JOIN batches ON batches.id = batch AND batches.round = summaries.round
WHERE batch = ANY ($1::bigint[]);

-- name: mark_checked
UPDATE batches SET checked_at = now() WHERE id = $1;

-- fragment: batch_filters
($2::uuid[] IS NULL OR batch_id = ANY ($2))
    AND (($3::text[] IS NULL AND $4::text[] IS NULL) OR status = ANY ($3) OR result = ANY ($4))
    AND ($15::text IS NULL OR status = $15)
    AND ($16::text IS NULL OR result = $16)
    AND ($17::float8 IS NULL OR (finished_at IS NULL AND changed_at < now() - $17 * interval '1 second'))
    AND ($5::text IS NULL OR workload = $5)
    AND ($6::text[] IS NULL OR priority = ANY ($6))
    AND ($7::text IS NULL OR strpos(lower(name), lower($7)) > 0)
    AND ($8::jsonb IS NULL OR labels::jsonb @> $8)
    AND ($18::jsonb IS NULL OR metadata::jsonb @> $18)
    AND ($9::text IS NULL OR strpos(lower(name), lower($9)) > 0 OR starts_with(batch_id::text, lower($9)) OR EXISTS (
        SELECT FROM json_each_text(labels::json) AS label WHERE strpos(lower(label.value), lower($9)) > 0
    ))
    AND ($10::timestamptz IS NULL OR accepted_at >= $10)
    AND ($11::timestamptz IS NULL OR accepted_at < $11)
    AND ($12::uuid IS NULL OR (accepted_at, batch_id) < (
        coalesce(
            (SELECT accepted_at FROM batches WHERE batch_id = $12 AND ($1::text IS NULL OR owner = $1)),
            to_timestamp(('x' || left(replace($12::text, '-', ''), 12))::bit(48)::bigint / 1000.0)
        ), $12
    ))
    AND ($13::uuid IS NULL OR (accepted_at, batch_id) > (
        coalesce(
            (SELECT accepted_at FROM batches WHERE batch_id = $13 AND ($1::text IS NULL OR owner = $1)),
            to_timestamp(('x' || left(replace($13::text, '-', ''), 12))::bit(48)::bigint / 1000.0)
        ), $13
    ))

-- name: batches
-- By acceptance, the last first. A batch $12 or $13 that is gone counts as accepted at the time in its UUIDv7.
SELECT {batch_columns} FROM batches
WHERE owner = $1 AND {batch_filters}
ORDER BY accepted_at DESC, batch_id DESC
LIMIT $14;

-- name: batches_oldest_first
SELECT {batch_columns} FROM batches
WHERE owner = $1 AND {batch_filters}
ORDER BY accepted_at, batch_id
LIMIT $14;

-- name: batches_of_all
-- As above, whoever owns them ($1 is NULL): statements of their own, for an index of their own.
SELECT {batch_columns} FROM batches
WHERE owner IS NOT NULL AND {batch_filters}
ORDER BY accepted_at DESC, batch_id DESC
LIMIT $14;

-- name: batches_of_all_oldest_first
SELECT {batch_columns} FROM batches
WHERE owner IS NOT NULL AND {batch_filters}
ORDER BY accepted_at, batch_id
LIMIT $14;

-- name: owners_with_ends
-- Owners of batches that have ended, at most $1 of them, each by one look into the index.
WITH RECURSIVE owners (owner) AS (
    (SELECT owner FROM batches WHERE finished_at IS NOT NULL AND owner IS NOT NULL ORDER BY owner LIMIT 1)
    UNION ALL
    SELECT (
        SELECT batches.owner FROM batches
        WHERE finished_at IS NOT NULL AND batches.owner > owners.owner ORDER BY batches.owner LIMIT 1
    ) FROM owners WHERE owners.owner IS NOT NULL
)
SELECT owner FROM owners WHERE owner IS NOT NULL LIMIT $1;

-- name: last_ends
SELECT {batch_columns} FROM (
    SELECT recent.id FROM unnest($1::text[]) AS asked (owner) CROSS JOIN LATERAL (
        SELECT id, finished_at FROM batches
        WHERE batches.owner = asked.owner AND finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT $2
    ) AS recent ORDER BY recent.finished_at DESC LIMIT $2
) AS last JOIN batches USING (id) ORDER BY finished_at DESC;

-- name: failed_ends
-- Batches with failures among the newest $3 of each owner since $2: those that a service stopped first, then the newest.
SELECT {batch_columns} FROM (
    SELECT recent.id FROM unnest($1::text[]) AS asked (owner) CROSS JOIN LATERAL (
        SELECT id, finished_at, result, stopped, failed, expired FROM batches
        WHERE batches.owner = asked.owner AND finished_at > $2 ORDER BY finished_at DESC LIMIT $3
    ) AS recent
    WHERE stopped IS NOT NULL OR (result IN ('failed', 'partial') AND failed + expired > 0)
    ORDER BY (stopped IS NOT NULL) DESC, recent.finished_at DESC LIMIT $4
) AS failing JOIN batches USING (id) ORDER BY (stopped IS NOT NULL) DESC, finished_at DESC;

-- name: end_counts
SELECT result, count(*) AS number FROM unnest($1::text[]) AS asked (owner) CROSS JOIN LATERAL (
    SELECT result FROM batches
    WHERE batches.owner = asked.owner AND finished_at > $2 ORDER BY finished_at DESC LIMIT $3
) AS recent WHERE result IS NOT NULL GROUP BY result;

-- name: batch_key
-- With $3 only while the batch lacks its summary.
SELECT id FROM batches WHERE batch_id = $1 AND owner = $2 AND (summary_due_at IS NOT NULL OR NOT $3);

-- name: results
-- A page in the order of ordinals, and perhaps one row after it, whose `is_beyond` is true.
SELECT ordinal, round, attempts, elapsed_ms, duplicate_of, duplicate_of_batch, cached, status, custom_id,
    error_code, error_message, error_scope, result, stored_sha256, stored_bytes, batch IS NULL AS is_beyond
FROM result_page($1, $2, $3, $4, $5, $6, $7, $8);

-- name: outcome_page
-- As `results`, without the results themselves.
SELECT page.ordinal, round, attempts, elapsed_ms, duplicate_of, duplicate_of_batch, cached, status, custom_id,
    error_code, error_message, error_scope, recorded_at, cause, page.batch IS NULL AS is_beyond
FROM result_page($1, $2, $3, $4, $5, NULL, $6, $7) AS page
    LEFT JOIN failures ON failures.batch = page.batch AND failures.ordinal = page.ordinal
ORDER BY page.ordinal;

-- name: outcomes_of
SELECT outcomes.ordinal, round, attempts, elapsed_ms, duplicate_of, duplicate_of_batch, cached, status, custom_id,
    error_code, error_message, error_scope, recorded_at, cause, false AS is_beyond
FROM outcomes LEFT JOIN failures USING (batch, ordinal)
WHERE batch = $1 AND outcomes.ordinal = ANY ($2::int[])
ORDER BY outcomes.ordinal;

-- name: skip_results
-- The first outcome behind $3 others that the same filters select.
SELECT ordinal FROM outcomes
WHERE batch = $1 AND ordinal > $2
    AND (NOT $7::boolean OR status <> 'succeeded')
    AND ($4::text IS NULL OR status = $4)
    AND ($5::text IS NULL OR error_code = $5)
    AND ($6::text IS NULL OR EXISTS (
        SELECT FROM failures
        WHERE failures.batch = outcomes.batch AND failures.ordinal = outcomes.ordinal AND failures.cause = $6
    ))
ORDER BY ordinal OFFSET $3 LIMIT 1;

-- name: insert_failures
-- Inserts each failure once if it is the item's recorded outcome, and counts the causes of the new ones.
WITH new AS (
    INSERT INTO failures (batch, ordinal, cause)
    SELECT told.batch, told.ordinal, told.cause
    FROM unnest($1::bigint[], $2::int[], $3::text[]) AS told (batch, ordinal, cause)
    JOIN outcomes ON outcomes.batch = told.batch AND outcomes.ordinal = told.ordinal
        AND outcomes.status IN ('failed', 'expired')
    ON CONFLICT DO NOTHING
    RETURNING batch, ordinal, cause
), counted AS (
    INSERT INTO causes (batch, cause, code, partition, message, retryable, number)
    SELECT batch, cause, code, partition, message, retryable, number
    FROM (SELECT batch, cause, count(*) AS number FROM new GROUP BY batch, cause) AS numbers
    JOIN unnest($4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::boolean[])
        AS known (batch, cause, code, partition, message, retryable) USING (batch, cause)
    ON CONFLICT (batch, cause) DO UPDATE SET number = causes.number + excluded.number
)
SELECT batch, ordinal FROM new;

-- name: failures
-- The most frequent causes, each with its first ten items.
SELECT cause, code, partition, message, retryable, number, first.ordinals
FROM (SELECT * FROM causes WHERE batch = $1 AND number > 0 ORDER BY number DESC, cause LIMIT $2) AS frequent
CROSS JOIN LATERAL (
    SELECT array_agg(ordinal) AS ordinals FROM (
        SELECT ordinal FROM failures
        WHERE failures.batch = $1 AND failures.cause = frequent.cause
        ORDER BY ordinal LIMIT 10
    ) AS few
) AS first
ORDER BY number DESC, cause;

-- name: save_result_schemas
INSERT INTO workloads (name, version, result_schema, checked, has_source)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[], $5::boolean[])
ON CONFLICT (name, version) DO UPDATE SET result_schema = excluded.result_schema, checked = excluded.checked,
    has_source = excluded.has_source, announced_at = now();

-- name: delete_old_result_schemas
-- Leaves the four versions of each workload that were announced last.
DELETE FROM workloads USING (
    SELECT name, version, row_number() OVER (PARTITION BY name ORDER BY announced_at DESC, version) AS place
    FROM workloads WHERE name = ANY ($1::text[])
) AS ranked
WHERE workloads.name = ranked.name AND workloads.version = ranked.version AND place > 4;

-- name: result_schemas
-- Those of the version of each workload that was announced last, and of others that were announced shortly before it.
SELECT name, result_schema, checked, has_source FROM workloads AS one
WHERE announced_at > (SELECT max(announced_at) FROM workloads AS other WHERE other.name = one.name) - interval '1 day';
