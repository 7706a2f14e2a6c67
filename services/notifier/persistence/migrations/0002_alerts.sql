-- Type of the event: the end of a batch, or the change of a circuit, of which operators are notified. A circuit has an id
-- of its own in place of a batch id.
ALTER TABLE rounds ADD COLUMN type text NOT NULL DEFAULT 'batch.finished.v1';
