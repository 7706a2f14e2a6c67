"""Starts of the keys in Redis, by what they hold. The rights of the services are made of them (`acl.py`)."""

RATES = "pace:"
"""Reserved starts and backoffs of each rate."""
CACHED_RESULTS = "cache:"
"""Results and claims of the workloads with a cache."""
SHARED_RESULTS = "attach:"
"""Results and claims that batches of one owner share."""
PROGRESS = "ingest:progress:"
"""Last known progress of each batch."""
FINGERPRINTS = "ingest:dedup:"
"""Fingerprints of the items of each unfinished batch."""
LIMITS = "ingest:use:"
"""Use of limits in each process of ingest."""
OF_WORKLOADS = "batchyard:"
"""Data that workloads store: what batches have spent, jobs of providers, known routes."""


def slot_of_workload(workload: str) -> str:
    """Return the first part of the keys of a workload. In braces: they share a slot of a Redis cluster."""
    return f"{CACHED_RESULTS}{{{workload}}}"


def shared_results_index(owner: str, workload: str) -> str:
    """Return the key of the sorted set with the keys of all results that batches of an owner share, by expiry."""
    return f"{SHARED_RESULTS}{owner}:{slot_of_workload(workload)}:index"
