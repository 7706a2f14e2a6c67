"""Periodic maintenance: leases of uploads, idle batches, reconciliation of progress."""
