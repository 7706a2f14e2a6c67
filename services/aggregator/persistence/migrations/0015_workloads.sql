-- The schemas of the results of workloads, as workers announced them; those of several versions while one replaces
-- another. `checked`: the workers check their results themselves.
CREATE TABLE workloads (
    name text NOT NULL,
    version text NOT NULL,
    result_schema text NOT NULL,
    checked boolean NOT NULL,
    has_source boolean NOT NULL,
    announced_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version)
);
