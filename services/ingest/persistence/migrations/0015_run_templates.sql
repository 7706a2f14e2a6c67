-- Name of the template that a run submits, to which `template_version` belongs; NULL: the run submits a batch.
ALTER TABLE schedule_runs ADD COLUMN template text;
UPDATE schedule_runs SET template = schedules.form ->> 'template'
FROM schedules WHERE schedules.schedule_id = schedule_runs.schedule_id AND schedule_runs.template_version IS NOT NULL;

-- Runs that wait for those before them, in their order.
CREATE INDEX schedule_runs_waiting ON schedule_runs (schedule_id, nominal_at, origin) WHERE state = 'waiting';

-- Rotated keys hand over their schedules.
WITH RECURSIVE chain AS (
    SELECT id AS first_id, replaced_by FROM api_keys WHERE replaced_by IS NOT NULL
    UNION
    SELECT chain.first_id, api_keys.replaced_by
    FROM chain JOIN api_keys ON api_keys.id = chain.replaced_by WHERE api_keys.replaced_by IS NOT NULL
)
UPDATE schedules SET key_id = chain.replaced_by FROM chain JOIN api_keys ON api_keys.id = chain.replaced_by
WHERE schedules.key_id = chain.first_id AND api_keys.replaced_by IS NULL;
