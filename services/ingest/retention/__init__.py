"""Retention: how long what belongs to batches is kept, and its deletion in all services."""
