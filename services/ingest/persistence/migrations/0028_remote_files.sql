-- Files from which ingest reads the items of a batch, until it has read them. `files` are their names, once they are known,
-- and `progress` says how far they are read, both as JSON; a process that reads them has them until `lease_until`.
CREATE TABLE remote_files (
    batch_id    uuid        PRIMARY KEY REFERENCES batches ON DELETE CASCADE,
    owner       text        NOT NULL,
    form        json        NOT NULL,
    files       json,
    progress    json        NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz NOT NULL DEFAULT now(),
    version     int         NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE INDEX remote_files_due ON remote_files (lease_until);
ALTER TABLE batches DROP CONSTRAINT batches_sourced_check;
ALTER TABLE batches ADD CONSTRAINT batches_sourced_check CHECK (sourced IN ('expand', 'estimate', 'files')) NOT VALID;
