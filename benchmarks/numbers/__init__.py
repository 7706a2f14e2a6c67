"""What one submitter and one watcher feel: latencies, memory, and a batch from end to end."""
