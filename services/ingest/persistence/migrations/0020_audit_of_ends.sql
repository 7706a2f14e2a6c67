-- The ends of batches by operators are commands, too.
CREATE INDEX audit_of_batch_commands ON audit (object, id) WHERE action IN (
    'batch.pause', 'batch.resume', 'batch.cancel', 'batch.finish', 'batch.change', 'batch.retry', 'batch.seal'
);
DROP INDEX audit_of_batch;
