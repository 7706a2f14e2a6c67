-- name: rates
-- All circuits and pauses in force, and the learned rates that changed last.
SELECT workload, limit_name, value, per_second, failed_at, circuit,
    extract(epoch FROM backoff_until - now())::float8 AS backoff_s, backoff_reason
FROM paces WHERE circuit IS NOT NULL OR backoff_until > now()
UNION ALL (
    SELECT workload, limit_name, value, per_second, failed_at, circuit, NULL, NULL
    FROM paces WHERE circuit IS NULL AND (backoff_until IS NULL OR backoff_until <= now())
    ORDER BY changed_at DESC LIMIT $1
)

-- name: rate_overrides
SELECT workload, limit_name, value, every, terms FROM pace_overrides

-- name: save_rate_override
INSERT INTO pace_overrides (workload, limit_name, value, every, terms) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (workload, limit_name, value, every) DO UPDATE SET terms = excluded.terms

-- name: drop_rate_override
DELETE FROM pace_overrides WHERE workload = $1 AND limit_name = $2 AND value = $3 AND every = $4

-- name: save_rates
INSERT INTO paces (workload, limit_name, value, per_second, failed_at, circuit, backoff_until, backoff_reason)
SELECT workload, limit_name, value, per_second, failed_at, circuit, now() + backoff_s * interval '1 second',
    backoff_reason
FROM unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::float8[], $6::text[], $7::float8[], $8::text[])
    AS new (workload, limit_name, value, per_second, failed_at, circuit, backoff_s, backoff_reason)
ON CONFLICT (workload, limit_name, value) DO UPDATE SET per_second = excluded.per_second,
    failed_at = excluded.failed_at, circuit = excluded.circuit, backoff_until = excluded.backoff_until,
    backoff_reason = excluded.backoff_reason, changed_at = now()

-- name: add_rate_history
INSERT INTO pace_history (workload, limit_name, value, at, before, after, cause, circuit)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::float8[], $6::float8[], $7::text[], $8::text[]
)

-- name: cut_rate_history
-- The newest rows of each limiter stay.
DELETE FROM pace_history USING unnest($1::text[], $2::text[], $3::text[]) AS touched (workload, limit_name, value)
WHERE pace_history.workload = touched.workload AND pace_history.limit_name = touched.limit_name
    AND pace_history.value = touched.value AND pace_history.id <= (
        SELECT id FROM pace_history AS newer
        WHERE newer.workload = touched.workload AND newer.limit_name = touched.limit_name
            AND newer.value = touched.value ORDER BY id DESC OFFSET $4 LIMIT 1
    )

-- name: rate_history
SELECT h.workload, h.limit_name, h.value, at, before, after, cause, circuit
FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (workload, limit_name, value) CROSS JOIN LATERAL (
    SELECT * FROM pace_history WHERE pace_history.workload = asked.workload
        AND pace_history.limit_name = asked.limit_name AND pace_history.value = asked.value
    ORDER BY id DESC LIMIT $4
) AS h ORDER BY h.id DESC

-- name: changes_between
-- The newest changes of some limiters of a workload in a span of time.
SELECT h.limit_name, h.value, at, before, after, cause, circuit
FROM unnest($2::text[], $3::text[]) AS asked (limit_name, value) CROSS JOIN LATERAL (
    SELECT * FROM pace_history WHERE pace_history.workload = $1
        AND pace_history.limit_name = asked.limit_name AND pace_history.value = asked.value
        AND at >= $4 AND at < $5
    ORDER BY id DESC LIMIT $6
) AS h ORDER BY at DESC, h.id DESC LIMIT $6

-- name: delete_unused_rates
-- Rates that were not updated for a long time.
WITH old AS (
    DELETE FROM paces WHERE changed_at < now() - $1::float8 * interval '1 day' AND circuit IS NULL
    RETURNING workload, limit_name, value
)
DELETE FROM pace_history USING old WHERE pace_history.workload = old.workload
    AND pace_history.limit_name = old.limit_name AND pace_history.value = old.value
