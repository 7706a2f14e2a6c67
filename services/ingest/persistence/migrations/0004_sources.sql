-- sourced: item 0 is a source whose items run (expand) or are only counted (estimate). NULL: the batch has no source.
ALTER TABLE batches ADD COLUMN sourced text CHECK (sourced IN ('expand', 'estimate'));
