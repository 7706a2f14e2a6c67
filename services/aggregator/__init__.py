"""The ledger: one outcome for each item, the counters and the end of a batch, progress, results."""
