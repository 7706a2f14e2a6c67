-- A large result is a file in the store of artefacts, under its SHA-256 in the folder of its batch; its outcome has this
-- digest and the size in place of `result`.
ALTER TABLE outcomes ADD COLUMN stored_sha256 bytea, ADD COLUMN stored_bytes int;
ALTER TABLE earlier_outcomes ADD COLUMN stored_sha256 bytea, ADD COLUMN stored_bytes int;

-- As before, with the sizes of stored results.
CREATE OR REPLACE FUNCTION result_page(
    of_batch bigint, above int, most int, most_bytes bigint, of_status text, of_code text, of_cause text,
    unsuccessful boolean
) RETURNS SETOF outcomes LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    found_rows refcursor;
    one outcomes;
    number int := 0;
    bytes bigint := 0;
BEGIN
    IF of_cause IS NULL THEN
        OPEN found_rows FOR
            SELECT * FROM outcomes
            WHERE batch = of_batch AND ordinal > above
                AND (NOT unsuccessful OR status <> 'succeeded')
                AND (of_status IS NULL OR status = of_status)
                AND (of_code IS NULL OR error_code = of_code)
            ORDER BY ordinal LIMIT most + 1;
    ELSE
        OPEN found_rows FOR
            SELECT failed.* FROM failures CROSS JOIN LATERAL (
                SELECT * FROM outcomes WHERE batch = failures.batch AND ordinal = failures.ordinal OFFSET 0
            ) AS failed
            WHERE failures.batch = of_batch AND failures.cause = of_cause AND failures.ordinal > above
                AND (of_status IS NULL OR failed.status = of_status)
                AND (of_code IS NULL OR failed.error_code = of_code)
            ORDER BY failures.ordinal LIMIT most + 1;
    END IF;
    LOOP
        FETCH found_rows INTO one;
        EXIT WHEN NOT FOUND;
        number := number + 1;
        bytes := bytes + 200 + coalesce(octet_length(one.result), 0) + coalesce(one.stored_bytes, 0)
            + coalesce(octet_length(one.error_message), 0) + coalesce(octet_length(one.custom_id), 0);
        IF number > 1 AND (number > most OR bytes > most_bytes) THEN
            one.batch := NULL;
            one.result := NULL;
            one.stored_sha256 := NULL;
            RETURN NEXT one;
            EXIT;
        END IF;
        RETURN NEXT one;
    END LOOP;
    CLOSE found_rows;
END $$;
