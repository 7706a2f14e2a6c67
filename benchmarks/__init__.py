"""Measures Batchyard and its peers on the same servers: `python -m benchmarks`."""
