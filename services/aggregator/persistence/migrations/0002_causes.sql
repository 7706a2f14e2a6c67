-- Causes of failed and expired items: one row for each cause of a batch, with the present number of its items, and one
-- row for each such item. Both are written in the transaction that counts the outcome. Succeeded items have no row here.
CREATE TABLE causes (
    batch bigint NOT NULL,
    cause text NOT NULL,
    code text NOT NULL,
    partition text NOT NULL,
    message text NOT NULL,              -- of the first item
    retryable boolean NOT NULL,
    number int NOT NULL,
    PRIMARY KEY (batch, cause)
) WITH (fillfactor = 80);

CREATE TABLE failures (
    batch bigint NOT NULL,
    ordinal int NOT NULL,
    cause text NOT NULL,
    PRIMARY KEY (batch, ordinal)
);
CREATE INDEX failures_by_cause ON failures (batch, cause, ordinal);

-- Items that failed before this migration get their error code as their cause, under version 0.
INSERT INTO failures (batch, ordinal, cause)
SELECT batch, ordinal, '0-' || left(md5(coalesce(error_code, status)), 16)
FROM outcomes WHERE status <> 'succeeded' AND status IN ('failed', 'expired');

INSERT INTO causes (batch, cause, code, partition, message, retryable, number)
SELECT batch, '0-' || left(md5(coalesce(error_code, status)), 16), coalesce(error_code, status), '',
    left(coalesce(min(error_message), ''), 500), false, count(*)
FROM outcomes WHERE status <> 'succeeded' AND status IN ('failed', 'expired')
GROUP BY batch, coalesce(error_code, status);

-- Selects items that did not succeed; an argument that is null selects all. An item is named by its ordinal or its
-- custom id.
CREATE FUNCTION chosen(
    of_batch bigint, of_statuses text[], of_causes text[], of_codes text[], of_partitions text[],
    of_ordinals int[], of_custom_ids text[], above int
) RETURNS TABLE (ordinal int) LANGUAGE sql STABLE AS $$
    SELECT outcomes.ordinal FROM outcomes
    WHERE outcomes.batch = of_batch AND outcomes.status <> 'succeeded' AND outcomes.status = ANY (of_statuses)
        AND outcomes.ordinal > above
        AND ((of_causes IS NULL AND of_codes IS NULL AND of_partitions IS NULL) OR outcomes.ordinal IN (
            SELECT failures.ordinal FROM failures JOIN causes USING (batch, cause)
            WHERE batch = of_batch AND failures.ordinal > above
                AND (of_causes IS NULL OR cause = ANY (of_causes))
                AND (of_codes IS NULL OR causes.code = ANY (of_codes))
                AND (of_partitions IS NULL OR causes.partition = ANY (of_partitions))
        ))
        AND ((of_ordinals IS NULL AND of_custom_ids IS NULL)
            OR outcomes.ordinal = ANY (of_ordinals) OR outcomes.custom_id = ANY (of_custom_ids))
$$;
