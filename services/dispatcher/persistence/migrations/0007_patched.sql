-- Payloads that a retry has patched, in place of those in the pages, for as long as the batch is stored. `round` is the
-- round of the newest patch, so that a command that arrives twice does not apply it twice.
CREATE TABLE patched (
    batch_id uuid NOT NULL,
    ordinal int NOT NULL,
    round int NOT NULL,
    partition text NOT NULL,
    item bytea NOT NULL,
    PRIMARY KEY (batch_id, ordinal)
);
