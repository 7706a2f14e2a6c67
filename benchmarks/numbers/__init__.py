"""Figures of one submitter and one watcher: latencies, memory, and a batch from end to end."""
