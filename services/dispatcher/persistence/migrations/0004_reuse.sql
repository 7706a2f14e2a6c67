-- Options for the reuse of results, as the JSON in the header of the batch; null: those of the workload.
ALTER TABLE batches ADD COLUMN reuse text;
