-- Payloads that a retry changed, in place of those in the pages, for as long as the batch is kept. `round`: that for
-- which the newest patch was applied, so that a command that comes twice does not apply it twice.
CREATE TABLE patched (
    batch_id uuid NOT NULL,
    ordinal int NOT NULL,
    round int NOT NULL,
    partition text NOT NULL,
    item bytea NOT NULL,
    PRIMARY KEY (batch_id, ordinal)
);
