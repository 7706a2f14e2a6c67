"""Decisions about incoming batches and items: pure, without I/O, clock or randomness."""
