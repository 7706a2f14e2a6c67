-- On what terms a batch runs, each with the time at which it was told (a JSON object), and why a service stopped it.
-- A threshold judges its round alone: what had failed and ended when that was opened is left out.
ALTER TABLE batches ADD COLUMN terms text, ADD COLUMN stopped text,
    ADD COLUMN failed_before int NOT NULL DEFAULT 0, ADD COLUMN ended_before int NOT NULL DEFAULT 0;
