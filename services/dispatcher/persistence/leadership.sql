-- name: lease_state
-- `held` by an active dispatcher, `released` by one that stopped, or `ended`. A lease that ends more than a minute from
-- now was renewed before this server's clock was set back.
SELECT CASE
    WHEN expires_at = '-infinity' THEN 'released'
    WHEN expires_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '1 minute' THEN 'held'
    ELSE 'ended'
END FROM tenure

-- name: end_earlier_writes
-- Ends the sessions that hold the fence although their lease has ended: a frozen process would hold it until it wakes.
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND classid = 0 AND objid = $1::bigint::oid AND objsubid = 1 AND mode = 'ShareLock' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND EXISTS (
        SELECT 1 FROM tenure
        WHERE expires_at NOT BETWEEN clock_timestamp() AND clock_timestamp() + interval '1 minute'
    )

-- name: begin_epoch
-- No row if another dispatcher has taken the lease meanwhile.
INSERT INTO tenure (number, expires_at) VALUES (1, clock_timestamp() + make_interval(secs => $1))
ON CONFLICT (one) DO UPDATE SET number = tenure.number + 1, expires_at = excluded.expires_at
WHERE tenure.expires_at NOT BETWEEN clock_timestamp() AND clock_timestamp() + interval '1 minute'
RETURNING number

-- name: renew_lease
-- No row if there is a later epoch.
UPDATE tenure SET expires_at = clock_timestamp() + make_interval(secs => $2) WHERE number = $1 RETURNING number

-- name: release_lease
UPDATE tenure SET expires_at = '-infinity' WHERE number = $1
