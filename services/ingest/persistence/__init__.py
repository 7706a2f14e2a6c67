"""Ingest's tables, statements, outbox and migrations."""
