"""The aggregator keeps the ledger: one outcome per item, counters and the end of each batch, progress and results."""
