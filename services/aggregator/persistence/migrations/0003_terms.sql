-- Terms of a batch, each with the time of its command (a JSON object), and the reason why a service stopped the batch.
-- A failure threshold concerns one round: items that had failed or ended before the round was opened do not count.
ALTER TABLE batches ADD COLUMN terms text, ADD COLUMN stopped text,
    ADD COLUMN failed_before int NOT NULL DEFAULT 0, ADD COLUMN ended_before int NOT NULL DEFAULT 0;
