-- Learned rates and open circuits of destinations, which outlast batches and restarts.
CREATE TABLE paces (
    workload text NOT NULL,
    limit_name text NOT NULL,
    value text NOT NULL,
    per_second float8,
    failed_at float8,
    circuit text, -- JSON; null: closed
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workload, limit_name, value)
);

-- Overrides by operators. `every`: the row applies to all values without a row of their own, and `value` is empty.
CREATE TABLE pace_overrides (
    workload text NOT NULL,
    limit_name text NOT NULL,
    value text NOT NULL,
    every boolean NOT NULL,
    terms text NOT NULL, -- JSON
    PRIMARY KEY (workload, limit_name, value, every)
);

-- The newest changes of each rate.
CREATE TABLE pace_history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workload text NOT NULL,
    limit_name text NOT NULL,
    value text NOT NULL,
    at timestamptz NOT NULL,
    before float8,
    after float8,
    cause text NOT NULL
);
CREATE INDEX pace_history_of_one ON pace_history (workload, limit_name, value, id DESC);

CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON paces FOR EACH STATEMENT EXECUTE FUNCTION fence();
CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON pace_overrides FOR EACH STATEMENT EXECUTE FUNCTION fence();
