"""The door: checks commands, gives batches their identity, numbers their items, passes pages on, and serves HTTP."""
