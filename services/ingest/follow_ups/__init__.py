"""Follow-up batches: batches that start when another one has ended."""
