"""The ingest service: validates commands, numbers items, forwards pages to the dispatcher, and serves the HTTP API."""

import shared.observability.lean_structlog  # noqa: F401  # before any module of the service
