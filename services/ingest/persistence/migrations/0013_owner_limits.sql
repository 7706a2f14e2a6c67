-- Limits of owners that differ from the settings, as a JSON object with those that were set.
CREATE TABLE owner_limits (
    owner text PRIMARY KEY,
    limits jsonb NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- Order of the changes of weights, which the dispatcher hears of.
CREATE SEQUENCE owner_weight_changes;
