"""Decides what runs next: priority, fairness, rates, chunk size, retry times; keeps the queues of RabbitMQ short."""

import shared.observability.lean_structlog  # noqa: F401  # before any module of the service
