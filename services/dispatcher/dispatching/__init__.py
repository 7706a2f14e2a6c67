"""Sends chunks to the workers: the dispatch loop, the chunk publisher, and chunks that the broker refuses."""
