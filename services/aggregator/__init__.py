"""The aggregator keeps the ledger: one outcome per item, counters and the end of each batch, progress and results."""

import shared.observability.lean_structlog  # noqa: F401  # before any module of the service
