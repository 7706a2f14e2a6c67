-- Leaves out items whose call may have happened, and may have been paid for (`needs_review`), unless the selection
-- names them: by their cause, code, ordinal or custom id.
CREATE OR REPLACE FUNCTION chosen(
    of_batch bigint, of_statuses text[], of_causes text[], of_codes text[], of_partitions text[],
    of_ordinals int[], of_custom_ids text[], above int
) RETURNS TABLE (ordinal int) LANGUAGE sql STABLE AS $$
    SELECT outcomes.ordinal FROM outcomes
    WHERE outcomes.batch = of_batch AND outcomes.status <> 'succeeded' AND outcomes.status = ANY (of_statuses)
        AND outcomes.ordinal > above
        AND (outcomes.error_code IS DISTINCT FROM 'needs_review' OR of_causes IS NOT NULL OR of_codes IS NOT NULL
            OR of_ordinals IS NOT NULL OR of_custom_ids IS NOT NULL)
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
