-- Statements on samples for charts.

-- name: save_batches
INSERT INTO samples (batch, from_at, at, succeeded, failed, other, durations, destinations)
SELECT new.batch, new.from_at, new.at, new.succeeded, new.failed, new.other, new.durations::int[],
    new.destinations::jsonb
FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::int[], $5::int[], $6::int[], $7::text[], $8::text[])
    AS new (batch, from_at, at, succeeded, failed, other, durations, destinations)
JOIN batches ON batches.id = new.batch AND batches.deleted_at IS NULL
ON CONFLICT DO NOTHING;

-- name: save_owners
INSERT INTO owner_samples AS known (owner, step_s, from_at, succeeded, failed, other, durations)
SELECT new.owner, new.step_s, new.from_at, new.succeeded, new.failed, new.other, new.durations::int[]
FROM unnest($1::text[], $2::int[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[])
    AS new (owner, step_s, from_at, succeeded, failed, other, durations)
ON CONFLICT (owner, step_s, from_at) DO UPDATE SET
    succeeded = known.succeeded + excluded.succeeded,
    failed = known.failed + excluded.failed,
    other = known.other + excluded.other,
    durations = sum_of_arrays(known.durations, excluded.durations);

-- name: of_batch
SELECT from_at, at, succeeded, failed, other, durations, destinations::text
FROM samples WHERE batch = $1 ORDER BY at LIMIT $2;

-- name: of_owner
-- The latest step lasts until now.
SELECT from_at, least(from_at + make_interval(secs => step_s), $4) AS at, succeeded, failed, other, durations
FROM owner_samples
WHERE owner = $1 AND step_s = $2 AND from_at >= $3 AND from_at < $4
ORDER BY from_at;

-- name: delete_old
DELETE FROM owner_samples WHERE step_s = $1 AND from_at < now() - $2::interval;
