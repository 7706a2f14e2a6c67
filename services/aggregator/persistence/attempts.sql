-- Statements on failed attempts.

-- name: save_attempts
-- Inserts failed attempts, and deletes older ones of their items, so that each keeps the last five. Attempts of earlier
-- rounds go as those of the present round come. Reports that come after a deletion leave nothing.
WITH new AS (
    SELECT batches.id AS batch, given.ordinal, given.round, given.attempt, given.elapsed_ms, given.error_code,
        given.error_message
    FROM unnest($1::uuid[], $2::int[], $3::int[], $4::int[], $5::int[], $6::text[], $7::text[])
        AS given (batch_id, ordinal, round, attempt, elapsed_ms, error_code, error_message)
    JOIN batches USING (batch_id) WHERE batches.outcomes_deleted_at IS NULL
), old AS (
    DELETE FROM attempts USING new
    WHERE attempts.batch = new.batch AND attempts.ordinal = new.ordinal
        AND ((attempts.round = new.round AND attempts.attempt <= new.attempt - $8::int)
            OR (attempts.round < new.round AND attempts.attempt <= new.attempt))
)
INSERT INTO attempts (batch, ordinal, round, attempt, elapsed_ms, error_code, error_message)
SELECT batch, ordinal, round, attempt, elapsed_ms, error_code, error_message FROM new
ORDER BY batch, ordinal, round, attempt
ON CONFLICT DO NOTHING;

-- name: attempts_of
SELECT round, attempt, elapsed_ms, error_code, error_message, at FROM attempts
WHERE batch = $1 AND ordinal = $2
ORDER BY round DESC, attempt DESC LIMIT $3;
