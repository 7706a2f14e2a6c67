"""The ingest service: validates commands, numbers items, forwards pages to the dispatcher, and serves the HTTP API."""
