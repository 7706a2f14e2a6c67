"""The aggregator's tables, statements, outbox and migrations."""
