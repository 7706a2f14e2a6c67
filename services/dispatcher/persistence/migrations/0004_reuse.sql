-- Which known results may answer the items of a batch, as the JSON that its header had; null: as the workload says.
ALTER TABLE batches ADD COLUMN reuse text;
