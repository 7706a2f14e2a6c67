-- Exports of results as files. Each is written part by part; `progress` is what its parts so far have, as JSON, and a
-- process that works on one has it until `lease_until`.
CREATE TABLE exports (
    export_id   uuid        PRIMARY KEY,
    owner       text        NOT NULL,
    batch_id    uuid        NOT NULL,
    idempotency_key text,
    form        json        NOT NULL,
    progress    json        NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    lease_until timestamptz,
    version     int         NOT NULL DEFAULT 0,
    error       text
) WITH (fillfactor = 70);
CREATE INDEX exports_running ON exports (created_at) WHERE ended_at IS NULL;
CREATE INDEX exports_ended ON exports (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX exports_of_batch ON exports (batch_id, created_at);
CREATE INDEX exports_of_owner ON exports (owner) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX exports_by_key ON exports (owner, idempotency_key) WHERE idempotency_key IS NOT NULL;
