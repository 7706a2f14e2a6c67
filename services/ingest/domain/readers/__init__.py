"""Readers of uploaded files: NDJSON and CSV."""
