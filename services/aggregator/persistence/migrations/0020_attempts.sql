-- Failed attempts after which an item ran again, or was to. Items that succeed at once have no row.
CREATE TABLE attempts (
    batch bigint NOT NULL REFERENCES batches ON DELETE CASCADE,
    ordinal int NOT NULL,
    round int NOT NULL,
    attempt int NOT NULL,
    elapsed_ms int NOT NULL,
    error_code text NOT NULL,
    error_message text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch, ordinal, round, attempt)
);
