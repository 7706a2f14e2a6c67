-- fragment: page
-- The outcomes of the entries that the filters select, at most $5 of them and about $6 bytes, and one at least. The last row
-- is no outcome: it has the place of the last entry, and the numbers of entries and of outcomes that were found. With $12
-- those that a later round has replaced are among them.
found AS (
    SELECT entries.major, entries.minor, entries.ordinal, outcome.*,
        row_number() OVER in_order AS number,
        sum(200 + coalesce(octet_length(result), 0) + coalesce(stored_bytes, 0) + coalesce(octet_length(error_message), 0)
            + coalesce(octet_length(custom_id), 0)) OVER in_order AS bytes
    FROM entries CROSS JOIN LATERAL (
        SELECT {outcome} FROM outcomes
        WHERE outcomes.batch = $1 AND outcomes.ordinal = entries.ordinal AND outcomes.round = entries.round
            AND ($9::text IS NULL OR EXISTS (
                SELECT FROM failures
                WHERE failures.batch = $1 AND failures.ordinal = entries.ordinal AND failures.cause = $9
            ))
        UNION ALL
        SELECT {outcome} FROM earlier_outcomes AS earlier
        WHERE $12::boolean AND earlier.batch = $1 AND earlier.round = entries.round AND earlier.ordinal = entries.ordinal
            AND ($9::text IS NULL OR earlier.cause = $9)
    ) AS outcome
    WHERE ($7::text IS NULL OR status = $7)
        AND ($8::text IS NULL OR error_code = $8)
        AND ($10::text IS NULL OR custom_id = $10)
        AND ($11::int IS NULL OR outcome.round = $11)
    WINDOW in_order AS (ORDER BY entries.major, entries.minor)
)
SELECT major, minor, ordinal, {outcome}, false AS is_last, 0::bigint AS entries, 0::bigint AS outcomes
FROM found WHERE number = 1 OR (number <= $5::bigint AND bytes <= $6::bigint)
UNION ALL
SELECT last.major, last.minor, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    true,
    (SELECT count(*) FROM entries), (SELECT count(*) FROM found)
FROM (SELECT) AS one LEFT JOIN (SELECT major, minor FROM entries ORDER BY major DESC, minor DESC LIMIT 1) AS last ON true
ORDER BY is_last, major, minor

-- fragment: outcome
round, attempts, elapsed_ms, duplicate_of, duplicate_of_batch, cached, status, custom_id, error_code, error_message,
    error_scope, result, stored_sha256, stored_bytes

-- name: state
-- The key of a batch, its round, and whether that has ended.
SELECT id, round, finished_at IS NOT NULL AS has_ended FROM batches WHERE batch_id = $1 AND owner = $2;

-- name: present_by_ordinal
-- After the ordinal $2, and perhaps one row after the page, whose `is_beyond` is true.
SELECT ordinal AS major, 0 AS minor, ordinal, {outcome}, batch IS NULL AS is_beyond
FROM result_page($1, $2, $3, $4, $5, $6, $7, $8);

-- name: by_ordinal
-- After the ordinal $2, of $4 outcomes at most. With $3 they end at the first item without an outcome.
WITH entries AS MATERIALIZED (
    SELECT ordinal AS major, 0 AS minor, ordinal, round
    FROM (
        SELECT ordinal, round, row_number() OVER (ORDER BY ordinal, round) AS place FROM (
            (SELECT ordinal, round FROM outcomes WHERE batch = $1 AND ordinal > $2::bigint ORDER BY ordinal LIMIT $4)
            UNION ALL
            (
                SELECT ordinal, round FROM earlier_outcomes
                WHERE $12::boolean AND batch = $1 AND round = $11::int AND ordinal > $2::bigint ORDER BY ordinal LIMIT $4
            )
        ) AS recorded
    ) AS numbered
    WHERE NOT $3::boolean OR ordinal - place = $2::bigint
    ORDER BY ordinal, round LIMIT $4::bigint
), {page};

-- name: by_completion
-- After the place $3 of the version $2, of $4 outcomes at most.
WITH entries AS MATERIALIZED (
    SELECT version AS major, place::int AS minor, ordinal, round
    FROM completions CROSS JOIN LATERAL unnest(ordinals) WITH ORDINALITY AS item (ordinal, place)
    WHERE batch = $1 AND version >= $2::bigint AND (version > $2::bigint OR place > $3::bigint)
        AND ($11::int IS NULL OR round = $11)
    ORDER BY version, place LIMIT $4::bigint
), {page};
