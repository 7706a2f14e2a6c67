"""Reason for a rejection, which the HTTP API and the AMQP handlers turn into their replies."""

from dataclasses import dataclass, replace
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Rejection:
    """Reason why a command is rejected as a whole. `code` is stable for the same cause; `detail` says what to do."""

    code: str
    detail: str
    status: int = 422
    """HTTP status."""
    line: int | None = None
    """Number of the first invalid item, counted from 1; in a file its line."""
    retry_after_s: float | None = None
    """Seconds after which a retry may succeed; None unless the limits on waiting items are exceeded."""
    batch_id: UUID | None = None
    items: int | None = None
    """For an interrupted upload: the batch that stays open, and the number of its items."""

    def __str__(self) -> str:
        place = f" (line {self.line})" if self.line is not None else ""
        return f"{self.code}{place}: {self.detail}"

    def at(self, line: int) -> "Rejection":
        """Return the rejection with the line where it was found."""
        return replace(self, line=line)
