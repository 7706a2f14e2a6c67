"""Periodic work: expired uploads, idle batches, counts that have drifted."""
