-- What an event is: the end of a batch, or a circuit that operators are to hear of. The latter is a batch by itself here.
ALTER TABLE rounds ADD COLUMN type text NOT NULL DEFAULT 'batch.finished.v1';
