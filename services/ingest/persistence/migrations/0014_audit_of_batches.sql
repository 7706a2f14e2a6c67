-- Commands that changed a batch are shown with it. Submissions and appended items, which are many, are not in the index.
CREATE INDEX audit_of_batch ON audit (object, id)
    WHERE action IN ('batch.pause', 'batch.resume', 'batch.cancel', 'batch.change', 'batch.retry', 'batch.seal');
