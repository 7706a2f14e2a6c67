"""Runs a workload on the items of a chunk and reports one outcome for each."""

import shared.observability.lean_structlog  # noqa: F401  # before any module of the service
