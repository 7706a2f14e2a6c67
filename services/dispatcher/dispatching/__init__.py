"""Sends chunks to the workers: the dispatch loop, the chunk publisher, chunks that the broker refuses."""
