"""Reads uploaded files row by row: NDJSON and CSV."""
