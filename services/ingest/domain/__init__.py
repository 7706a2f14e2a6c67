"""Decisions about batches and items on their way in: pure, without I/O, clock or randomness."""
