"""The notifier reports finished batches by signed webhooks and e-mail, and retries failed deliveries."""

import shared.observability.lean_structlog  # noqa: F401  # before any module of the service
