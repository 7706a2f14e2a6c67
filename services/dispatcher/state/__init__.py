"""In-memory state of the active dispatcher."""
