"""The time before which everything happened, for pages that begin with the newest."""

from datetime import UTC, datetime

EVER = datetime(9000, 1, 1, tzinfo=UTC)
