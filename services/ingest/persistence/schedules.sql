-- fragment: schedule_columns
schedule_id, owner, name, workload, form, created_at, key_id, paused, note, next_at

-- fragment: run_columns
schedule_id, nominal_at, origin, state, overlap, due_at, batch_id, template, template_version, reason, last_at, times,
started_at

-- fragment: key_works
(s.key_id IS NULL OR EXISTS (SELECT FROM api_keys WHERE id = s.key_id AND {works}))

-- fragment: works
revoked_at IS NULL AND (expires_at IS NULL OR expires_at > statement_timestamp())

-- name: missed_runs
-- Runs since $2 that were missed or failed to start, the newest first.
SELECT name AS schedule, schedules.owner, nominal_at, schedule_runs.state, reason, times
FROM schedule_runs JOIN schedules USING (schedule_id)
WHERE schedule_runs.created_at > $2 AND schedule_runs.state IN ('missed', 'failed') AND ($1::text IS NULL OR owner = $1)
ORDER BY schedule_runs.created_at DESC LIMIT $3

-- name: lock_schedules
SELECT pg_advisory_xact_lock(hashtextextended('batchyard.schedules.' || $1, 0))

-- name: lock_key
-- A key, which cannot be rotated until the transaction ends.
SELECT replaced_by, {works} AS works FROM api_keys WHERE id = $1 FOR SHARE

-- name: count_schedules
SELECT count(*) FROM schedules WHERE owner = $1

-- name: get_schedule
SELECT {schedule_columns} FROM schedules WHERE owner = $1 AND name = $2

-- name: lock_schedule
SELECT {schedule_columns}, {key_works} AS key_works FROM schedules AS s WHERE owner = $1 AND name = $2 FOR UPDATE

-- name: list_schedules
SELECT {schedule_columns} FROM schedules WHERE owner = $1 AND name > $2 AND starts_with(name, $4) ORDER BY name LIMIT $3

-- name: save_schedule
INSERT INTO schedules (schedule_id, owner, name, workload, form, key_id, next_at, zone_data)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (owner, name) DO UPDATE
SET workload = excluded.workload, form = excluded.form, key_id = excluded.key_id,
    next_at = CASE WHEN NOT schedules.paused THEN excluded.next_at END, zone_data = excluded.zone_data
RETURNING {schedule_columns}

-- name: set_paused
UPDATE schedules SET paused = $2, note = $3, next_at = $4, zone_data = $5 WHERE schedule_id = $1
RETURNING {schedule_columns}

-- name: delete_schedule
DELETE FROM schedules WHERE schedule_id = $1

-- name: database_time
SELECT clock_timestamp()

-- name: claim_due
-- Schedules that are due, each locked by one process.
SELECT {schedule_columns}, statement_timestamp() AS now, {key_works} AS key_works
FROM schedules AS s
WHERE NOT paused AND next_at IS NOT NULL AND next_at <= statement_timestamp()
ORDER BY next_at LIMIT $1
FOR UPDATE SKIP LOCKED

-- name: claim_outdated
-- Schedules whose next time was computed by earlier data of time zones, each locked by one process.
SELECT {schedule_columns}, statement_timestamp() AS now, true AS key_works FROM schedules
WHERE NOT paused AND next_at IS NOT NULL AND next_at > statement_timestamp() AND zone_data < $2
ORDER BY zone_data LIMIT $1
FOR UPDATE SKIP LOCKED

-- name: set_next
UPDATE schedules SET next_at = new.next_at, zone_data = $3
FROM unnest($1::uuid[], $2::timestamptz[]) AS new (schedule_id, next_at)
WHERE schedules.schedule_id = new.schedule_id

-- name: insert_runs
INSERT INTO schedule_runs (schedule_id, nominal_at, origin, state, overlap, due_at, reason, last_at, times)
SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[],
                     $8::timestamptz[], $9::int[])
ON CONFLICT DO NOTHING

-- name: claim_runs
-- Runs whose time has come, each locked with its schedule by one process. Of the runs that queue, the first one, and
-- scheduled ones with so many before them ($2) that they are skipped.
SELECT r.schedule_id, r.nominal_at, r.origin, r.state, r.overlap, r.batch_id, r.template, r.template_version,
    r.created_at, statement_timestamp() AS now, {key_works} AS key_works,
    EXISTS (SELECT FROM batches AS b WHERE b.batch_id = r.batch_id) AS is_accepted
FROM schedule_runs AS r JOIN schedules AS s USING (schedule_id)
WHERE r.state IN ('waiting', 'starting') AND r.due_at <= statement_timestamp()
  AND (r.state = 'starting' OR r.overlap <> 'queue' OR NOT EXISTS (
        SELECT FROM schedule_runs AS earlier
        WHERE earlier.schedule_id = r.schedule_id AND earlier.state = 'waiting'
          AND (earlier.nominal_at, earlier.origin) < (r.nominal_at, r.origin)
    ) OR r.origin = 'schedule' AND EXISTS (
        SELECT FROM schedule_runs AS earlier
        WHERE earlier.schedule_id = r.schedule_id AND earlier.state = 'waiting'
          AND (earlier.nominal_at, earlier.origin) < (r.nominal_at, r.origin)
        OFFSET $2 - 1
    ))
ORDER BY r.due_at, r.nominal_at LIMIT $1
FOR UPDATE OF r, s SKIP LOCKED

-- name: mark_ended
-- Ends the runs whose batches have ended by the ledger's event.
UPDATE schedule_runs SET state = 'ended'
FROM batches
WHERE schedule_runs.schedule_id = ANY ($1::uuid[]) AND schedule_runs.state = 'started'
  AND batches.batch_id = schedule_runs.batch_id AND batches.done

-- name: active_runs
SELECT {run_columns} FROM schedule_runs
WHERE schedule_id = ANY ($1::uuid[]) AND state IN ('waiting', 'starting', 'started')

-- name: begin_runs
UPDATE schedule_runs SET state = 'starting', batch_id = new.batch_id, due_at = statement_timestamp() + $5::interval
FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::uuid[]) AS new (schedule_id, nominal_at, origin, batch_id)
WHERE schedule_runs.schedule_id = new.schedule_id AND schedule_runs.nominal_at = new.nominal_at
  AND schedule_runs.origin = new.origin

-- name: postpone_run
UPDATE schedule_runs SET due_at = statement_timestamp() + $4::interval
WHERE schedule_id = $1 AND nominal_at = $2 AND origin = $3 AND state IN ('waiting', 'starting')

-- name: end_run
UPDATE schedule_runs SET state = $4, reason = $5
WHERE schedule_id = $1 AND nominal_at = $2 AND origin = $3 AND state IN ('waiting', 'starting')

-- name: count_unstarted
SELECT count(*) FROM schedule_runs WHERE schedule_id = $1 AND state IN ('waiting', 'starting')

-- name: record_version
UPDATE schedule_runs SET template = $4, template_version = $5
WHERE schedule_id = $1 AND nominal_at = $2 AND origin = $3 AND state = 'starting'

-- name: mark_started
UPDATE schedule_runs SET state = 'started', started_at = statement_timestamp()
WHERE schedule_id = $1 AND nominal_at = $2 AND origin = $3 AND state = 'starting'
RETURNING started_at

-- name: schedule_by_id
SELECT {schedule_columns} FROM schedules WHERE schedule_id = $1

-- name: previous_success
SELECT r.nominal_at FROM schedule_runs AS r JOIN batches AS b USING (batch_id)
WHERE r.schedule_id = $1 AND r.nominal_at < $2 AND r.state IN ('started', 'ended') AND b.done AND b.result = 'completed'
ORDER BY r.nominal_at DESC LIMIT 1

-- name: list_runs
-- A run has ended with its batch, also before the next run of its schedule looks at it. Runs of one time are on one page.
SELECT r.schedule_id, r.nominal_at, r.origin, r.overlap, r.due_at, r.batch_id, r.template, r.template_version, r.reason,
    r.last_at, r.times, r.started_at, CASE WHEN r.state = 'started' AND b.done THEN 'ended' ELSE r.state END AS state
FROM schedule_runs AS r LEFT JOIN batches AS b USING (batch_id)
WHERE r.schedule_id = $1 AND r.nominal_at < $2 ORDER BY r.nominal_at DESC FETCH FIRST $3 ROWS WITH TIES

-- name: run_of_batch
SELECT s.name AS schedule, r.nominal_at, r.origin, r.template, r.template_version
FROM schedule_runs AS r JOIN schedules AS s USING (schedule_id)
WHERE r.batch_id = $1 AND s.owner = $2

-- name: delete_old_runs
-- Runs that still decide something stay: those whose batch has not ended, and the latest success of each schedule.
DELETE FROM schedule_runs WHERE (schedule_id, nominal_at, origin) IN (
    SELECT r.schedule_id, r.nominal_at, r.origin FROM schedule_runs AS r LEFT JOIN batches AS b USING (batch_id)
    WHERE r.created_at < now() - $1::interval AND r.state NOT IN ('waiting', 'starting')
      AND (r.state <> 'started' OR b.done IS NOT false)
      AND NOT coalesce(b.done AND b.result = 'completed' AND NOT EXISTS (
          SELECT FROM schedule_runs AS later JOIN batches AS last USING (batch_id)
          WHERE later.schedule_id = r.schedule_id AND later.nominal_at > r.nominal_at
            AND last.done AND last.result = 'completed'
      ), false)
    ORDER BY r.created_at LIMIT 5000
)
