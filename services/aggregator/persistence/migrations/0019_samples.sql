-- Samples for charts: items that ended in a span of time, and the number of some of them by the bucket of their duration
-- (services/aggregator/domain/series.py). An owner has rows of ten seconds and of ten minutes; all owners together have
-- those of the owner ''.
CREATE TABLE samples (
    batch bigint NOT NULL REFERENCES batches ON DELETE CASCADE,
    from_at timestamptz NOT NULL,
    at timestamptz NOT NULL,
    succeeded int NOT NULL,
    failed int NOT NULL,
    other int NOT NULL,
    durations int[] NOT NULL,
    PRIMARY KEY (batch, at)
);

CREATE TABLE owner_samples (
    owner text NOT NULL,
    step_s int NOT NULL,
    from_at timestamptz NOT NULL,
    succeeded bigint NOT NULL,
    failed bigint NOT NULL,
    other bigint NOT NULL,
    durations int[] NOT NULL,
    PRIMARY KEY (owner, step_s, from_at)
);
CREATE INDEX owner_samples_by_age ON owner_samples (step_s, from_at);

CREATE FUNCTION sum_of_arrays(one int[], other int[]) RETURNS int[] LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(array_agg(coalesce(a, 0) + coalesce(b, 0) ORDER BY place), '{}')
    FROM unnest(one, other) WITH ORDINALITY AS pairs (a, b, place)
$$;
