-- The order in which the outcomes of a batch were recorded: one row for each transaction that recorded some, with the version
-- of the batch that it saved. Rows of a batch are written under its lock, so that none appears before one of a lower version.
CREATE TABLE completions (
    batch bigint NOT NULL,
    version int NOT NULL,
    round int NOT NULL,
    ordinals int[] NOT NULL,
    PRIMARY KEY (batch, version)
);

-- Outcomes that were recorded before this migration get negative versions.
INSERT INTO completions (batch, version, round, ordinals)
SELECT batch, (dense_rank() OVER (PARTITION BY batch ORDER BY round, part) - 1000000)::int, round, ordinals
FROM (
    SELECT batch, round, place / 5000 AS part, array_agg(ordinal ORDER BY place) AS ordinals
    FROM (
        SELECT batch, round, ordinal,
            row_number() OVER (PARTITION BY batch, round ORDER BY recorded_at, ordinal) AS place
        FROM outcomes
    ) AS recorded
    GROUP BY batch, round, place / 5000
) AS parts;

-- Outcomes that a later round has replaced, with the cause of their failure.
CREATE TABLE earlier_outcomes (
    batch bigint NOT NULL,
    ordinal int NOT NULL,
    round int NOT NULL,
    attempts int NOT NULL,
    elapsed_ms int,
    duplicate_of int,
    recorded_at timestamptz NOT NULL,
    cached boolean NOT NULL,
    status text NOT NULL,
    custom_id text,
    error_code text,
    error_message text,
    error_scope text,
    result bytea,
    duplicate_of_batch uuid,
    cause text,
    PRIMARY KEY (batch, round, ordinal)
);
