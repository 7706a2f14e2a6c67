"""Asks the aggregator about batches and reads results."""
