-- How the latest round of a batch ended, by its end event; NULL: it has not ended, or ended before this column was added.
ALTER TABLE batches ADD COLUMN result text;

-- Versions of templates. The owner '*' is that of shared ones, which all owners see. Versions never change.
CREATE TABLE templates (
    owner      text        NOT NULL,
    name       text        NOT NULL,
    version    int         NOT NULL,
    workload   text        NOT NULL,
    form       json        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text        NOT NULL,
    PRIMARY KEY (owner, name, version)
);

CREATE TABLE schedules (
    schedule_id uuid        PRIMARY KEY,
    owner       text        NOT NULL,
    name        text        NOT NULL,
    workload    text        NOT NULL,
    form        json        NOT NULL,
    key_id      text,
    paused      boolean     NOT NULL DEFAULT false,
    note        text        NOT NULL DEFAULT '',
    -- next time for which it is due; NULL: it has ended
    next_at     timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (owner, name)
) WITH (fillfactor = 80);
CREATE INDEX schedules_due ON schedules (next_at) WHERE NOT paused AND next_at IS NOT NULL;
CREATE INDEX schedules_of_template ON schedules ((form ->> 'template')) WHERE form ->> 'template' IS NOT NULL;

-- Runs of schedules: the row of a time decides that it starts once. A row of missed times stands for all `times`.
CREATE TABLE schedule_runs (
    schedule_id uuid        NOT NULL REFERENCES schedules ON DELETE CASCADE,
    nominal_at  timestamptz NOT NULL,
    origin      text        NOT NULL CHECK (origin IN ('schedule', 'manual', 'backfill')),
    -- starting: a batch id is chosen, and the batch is submitted under it, again after a crash; started: it is accepted
    state       text        NOT NULL
                CHECK (state IN ('waiting', 'starting', 'started', 'ended', 'skipped', 'failed', 'missed')),
    overlap     text        NOT NULL,
    due_at      timestamptz NOT NULL,
    batch_id    uuid,
    template_version int,
    reason      text,
    last_at     timestamptz,
    times       int         NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    started_at  timestamptz,
    PRIMARY KEY (schedule_id, nominal_at, origin)
) WITH (fillfactor = 80);
CREATE INDEX schedule_runs_due ON schedule_runs (due_at) WHERE state IN ('waiting', 'starting');
CREATE INDEX schedule_runs_active ON schedule_runs (schedule_id) WHERE state IN ('waiting', 'starting', 'started');
CREATE INDEX schedule_runs_of_batch ON schedule_runs (batch_id) WHERE batch_id IS NOT NULL;
CREATE INDEX schedule_runs_by_age ON schedule_runs (created_at);
