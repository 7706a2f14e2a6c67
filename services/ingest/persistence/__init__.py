"""Tables, statements, outbox and migrations of ingest."""
