"""Controls batches that were accepted: pause, cancel, change, retry; invalidates cached results."""
