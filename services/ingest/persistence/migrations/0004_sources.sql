-- expand, estimate: item 0 of the batch is a source, which finds the others; NULL: the batch was handed in as items.
ALTER TABLE batches ADD COLUMN sourced text CHECK (sourced IN ('expand', 'estimate'));
