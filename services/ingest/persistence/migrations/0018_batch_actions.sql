-- Actions on all batches that a filter selects. They run page by page behind `last_batch`, in the order of acceptance, on
-- batches that were accepted before the action; a process that works on one renews its lease with each page.
CREATE TABLE batch_actions (
    action_id   uuid        PRIMARY KEY,
    owner       text        NOT NULL,
    actor       text        NOT NULL,
    key_id      text,
    door        text        NOT NULL,
    address     text,
    idempotency_key text,
    form        json        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    lease_until timestamptz,
    last_batch  uuid,
    done        int         NOT NULL DEFAULT 0,
    refused     int         NOT NULL DEFAULT 0,
    error       text
) WITH (fillfactor = 80);
CREATE INDEX batch_actions_running ON batch_actions (created_at) WHERE ended_at IS NULL;
CREATE INDEX batch_actions_of_owner ON batch_actions (owner, created_at);
CREATE UNIQUE INDEX batch_actions_by_key ON batch_actions (owner, idempotency_key) WHERE idempotency_key IS NOT NULL;
