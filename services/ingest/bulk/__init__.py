"""Actions on all batches that a filter selects."""
